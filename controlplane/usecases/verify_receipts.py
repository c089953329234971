"""receipts verify, head: whether the chain is whole by itself and by every head that is known of it, and how far that goes."""

from __future__ import annotations

from controlplane.domain.chain import Anchor, Head, Named, anchor_faults, chain_faults, is_reset, newest_anchor
from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.receipt import ChainFault
from controlplane.domain.values import Value
from controlplane.ports.clocks import Clock
from controlplane.ports.receipts import AnchorSource, ReceiptStore
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.record_run import STAMP


class Verified(Value):
    """The JSON of `receipts verify`.

    `signatures` says whether there was anything to check them by; `anchored` is the number of the last receipt that a head or a closeout holds in
    its place: of what came after it, a cut-off end leaves no trace. `time_resets` are the numbers at which the site's time was set back.
    """

    receipts: int
    faults: tuple[ChainFault, ...]
    signatures: bool
    anchors: tuple[Anchor, ...]
    anchored: int
    time_resets: tuple[int, ...]


def verify_receipts(receipts: ReceiptStore, anchors: AnchorSource) -> Verified:
    """Return everything that is wrong with a chain. Raises `InputInvalidError` for heads and signers that can't be read, also without a receipt."""
    named, faults = receipts.examine()
    held, loose = anchored(named, anchors)
    newest = newest_anchor(held)
    return Verified(
        receipts=len(named),
        faults=(*faults, *chain_faults(named), *loose),
        signatures=receipts.checks_signatures,
        anchors=held,
        anchored=newest.length if newest is not None else 0,
        time_resets=tuple(one.seq for _, one in named if is_reset(one)),
    )


def anchored(receipts: Named, anchors: AnchorSource) -> tuple[tuple[Anchor, ...], tuple[ChainFault, ...]]:
    """Return what holds the chain in its place, and each of these that the chain does not fit or that is gone; a file is named once.

    Raises `InputInvalidError` for a named head that is none.
    """
    held, broken = anchors.read()
    loose = (*broken, *anchor_faults(receipts, held))
    told = {fault.file for fault in loose}
    return held, (*loose, *(fault for fault in anchors.lost(receipts) if fault.file not in told))


def trail_faults(receipts: ReceiptStore, anchors: AnchorSource) -> tuple[ChainFault, ...]:
    """Return everything that is wrong with a site's trail, for who only looks. Raises `RunFailedError` where it can't be read."""
    named = receipts.load()
    return (*chain_faults(named), *receipts.signature_faults(), *anchored(named, anchors)[1])


def head_of(receipts: ReceiptStore, *, operator: str, clock: Clock) -> Head:
    """Return the chain's head as it is now. Raises `RunFailedError` for a chain that does not hold, `InputInvalidError` for an empty one."""
    now = clock.now()
    chain = sound_chain(receipts, now=now)
    if not chain:
        raise InputInvalidError([Fault("receipts", 0, "", "there are none yet, so there is no head to keep")])
    last = chain[-1][1]
    return Head(site=last.site, length=len(chain), head=last.digest(), at=now.strftime(STAMP), by=operator)
