"""Whether a chain of receipts is whole: every number once, each naming the one before it, times that don't run back, and every anchor in it.

Rules:
- All breaks are named, not the first alone; of two receipts with one number both are, since only a person knows which is the right one.
- A receipt is judged at its own time, and that time is held by its place: not before what came earlier. So nobody dates one back to when their
  key was still allowed. Only a reset of the site's time goes back, and it is a signed receipt itself: its key has to be allowed also at the latest
  time before it. Else whoever kept a key that ended could set the time back to before its end.
- A key that resets the time may end later, before the time that the wrong clock showed. So a reset is good as well once a run was begun after it by
  a key that is allowed at that time: nobody else begins one on a chain with a reset in doubt.
- A head that is kept elsewhere, and each closeout, says how long the chain was and what its last receipt was: a shorter or another chain is a
  fault. What was cut off behind the newest of them leaves no trace in the files.
- The other way round a closeout that is gone is a fault too: the receipt of its closing names its files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field

from controlplane.domain.coordination import Stamp, moment_of
from controlplane.domain.coordination_rules import BEHIND
from controlplane.domain.errors import RefusedError
from controlplane.domain.receipt import ChainFault, Receipt
from controlplane.domain.values import Value

RESET = "site.time"
CLOSINGS = ("wave.close", "release.close")
BEGINNING = "release.begin"
_FORKS = "the chain forks here, two controllers wrote it or one of the two was put in"

Named = Sequence[tuple[str, Receipt]]


class Head(Value):
    """How long a chain was at one time, and the digest of its last receipt; `at` is when this was said."""

    site: str
    length: int = Field(ge=1)
    head: str
    at: Stamp
    by: str


class Anchor(Value):
    """What a head or a closeout says of the chain.

    Of a closeout, `receipt` is the digest that its own receipt has to name, and `closing` the capability of that receipt; None for a head.
    """

    source: str
    kind: Literal["head", "closeout"]
    site: str
    length: int = Field(ge=0)
    head: str | None
    at: str
    attempt: str | None = None
    receipt: str | None = None
    closing: Literal["wave.close", "release.close"] | None = None


class LooseReset(ChainFault):
    """A reset of the site's time that nobody stands for whose key is allowed at the latest time before it. One who is does so by another reset."""


def link(receipt: Receipt, last: Receipt | None) -> Receipt:
    """Return the receipt as the link after `last`. Its time is never before that one's, whatever the clock says meanwhile, unless it resets it.

    Raises `RefusedError` for a receipt of another site.
    """
    if last is None:
        return receipt.model_copy(update={"seq": 1, "previous": None})
    if receipt.site != last.site:
        raise RefusedError(
            f"the receipts are of site {last.site}, and site.yml names {receipt.site}: {receipt.key} was not written. Give the site its name back, "
            "or start the renamed one with a state folder of its own."
        )
    at = receipt.at if is_reset(receipt) else max(receipt.at, last.at)
    return receipt.model_copy(update={"seq": last.seq + 1, "previous": last.digest(), "at": at})


def chain_faults(receipts: Named) -> tuple[ChainFault, ...]:
    """Return every break in the order of `receipts`, given as (file name, receipt)."""
    return (*_broken_links(receipts), *_broken_pairs(receipts), *_backward_times(receipts))


def latest_time(chain: Sequence[Receipt]) -> str | None:
    """Return the latest time that the chain shows since the site's time was reset last; None for an empty one."""
    return max((receipt.at for receipt in _since_reset(chain)), default=None)


def last_reset(chain: Sequence[Receipt]) -> Receipt | None:
    """Return the intent of the newest reset of the site's time; None where it never was reset."""
    return next((receipt for receipt in reversed(chain) if is_reset(receipt)), None)


def loose_resets(chain: Sequence[Receipt], holds: Callable[[int, str], bool]) -> tuple[tuple[int, str], ...]:
    """Return the place in the chain of each reset that goes back and that nobody stands for, and the time from which it goes back.

    `holds` says whether the key of the receipt at a place is allowed at a time.
    """
    loose: list[tuple[int, str]] = []
    for place, receipt in enumerate(chain):
        before = latest_time(chain[:place]) if is_reset(receipt) else None
        if before is None or before <= receipt.at:
            continue
        begun = (number for number in range(place + 1, len(chain)) if begins(chain[number]))
        if not holds(place, before) and not any(chain[number].at >= before or holds(number, before) for number in begun):
            loose.append((place, before))
    return tuple(loose)


def begins(receipt: Receipt) -> bool:
    """Say whether with this receipt a run begins; the steps of a run have keys of their own."""
    return receipt.phase == "intent" and receipt.key == receipt.run


def is_reset(receipt: Receipt) -> bool:
    """Say whether with this receipt the site's time begins anew."""
    return receipt.capability == RESET and receipt.phase == "intent"


def behind(chain: Sequence[Receipt], now: datetime) -> str | None:
    """Return the time that the chain shows already, where `now` is more than five minutes before it; else None."""
    seen = latest_time(chain)
    return seen if seen is not None and now < moment_of(seen) - BEHIND else None


def anchor_faults(receipts: Named, anchors: Sequence[Anchor]) -> tuple[ChainFault, ...]:
    """Return each anchor that the chain does not hold."""
    return tuple(ChainFault(file=anchor.source, reason=why) for anchor in anchors if (why := _why_loose(anchor, receipts)) is not None)


def files_of(receipt: Receipt) -> tuple[tuple[str, str, Literal["closeout", "page", "before"]], ...]:
    """Return the files that the receipt of a closing, or of a release's beginning, names, each with its digest; none of any other receipt.

    The digest of a closeout, and of what was before, is that of its JSON. The pages of closings from before they were held have none, and are left
    out.
    """
    if receipt.capability not in (*CLOSINGS, BEGINNING) or receipt.phase != "result" or receipt.outcome != "done":
        return ()
    told = receipt.told or {}
    named: tuple[tuple[object, object, Literal["closeout", "page", "before"]], ...] = (
        (told.get("file"), receipt.evidence, "before" if receipt.capability == BEGINNING else "closeout"),
        (told.get("page"), told.get("page_digest"), "page"),
    )
    return tuple((file, digest, kind) for file, digest, kind in named if isinstance(file, str) and isinstance(digest, str))


def newest_anchor(anchors: Sequence[Anchor]) -> Anchor | None:
    """Return the anchor that holds the most of the chain."""
    return max(anchors, key=lambda anchor: anchor.length, default=None)


def _broken_links(receipts: Named) -> list[ChainFault]:
    faults: list[ChainFault] = []
    site = receipts[0][1].site if receipts else ""
    # The digests of those with the number before, and of those with this number: more than one where the chain forks.
    before: dict[str | None, str] = {None: ""}
    here: dict[str | None, str] = {}
    number = 0
    for file, receipt in receipts:
        if here and receipt.seq == number:
            faults += [
                ChainFault(file=one, reason=f"has the number of {other}: {_FORKS}")
                for first in here.values()
                for one, other in ((first, file), (file, first))
            ]
        else:
            before = here or before
            if receipt.seq != number + 1:
                why = "a receipt is missing" if receipt.seq > number else "it is out of its order"
                faults.append(ChainFault(file=file, reason=f"has number {receipt.seq} where {number + 1} was due: {why}"))
                before = {receipt.previous: ""}
            number, here = receipt.seq, {}
        if receipt.previous not in before:
            faults.append(ChainFault(file=file, reason="does not name the receipt before it: one of the two was altered"))
        if file != receipt.file_name():
            faults.append(ChainFault(file=file, reason=f"is {receipt.file_name()} by what it says: it was renamed or put in"))
        if receipt.site != site:
            faults.append(ChainFault(file=file, reason=f"is of site {receipt.site}, and the chain is of {site}: it was put in"))
        here[receipt.digest()] = file
    return faults


def _broken_pairs(receipts: Named) -> list[ChainFault]:
    faults: list[ChainFault] = []
    closed: set[str] = set()
    opened: set[str] = set()
    for file, receipt in receipts:
        if receipt.phase == "intent" and receipt.key in opened:
            faults.append(ChainFault(file=file, reason=f"opens {receipt.key} a second time"))
        if receipt.phase == "result" and receipt.key not in opened:
            faults.append(ChainFault(file=file, reason=f"is the result of {receipt.key}, which has no intent"))
        if receipt.phase == "result" and receipt.key in closed:
            faults.append(ChainFault(file=file, reason=f"closes {receipt.key} a second time"))
        (opened if receipt.phase == "intent" else closed).add(receipt.key)
    return faults


def _backward_times(receipts: Named) -> list[ChainFault]:
    faults: list[ChainFault] = []
    latest: tuple[str, Receipt] | None = None
    for file, receipt in receipts:
        if latest is not None and not is_reset(receipt) and moment_of(latest[1].at) - moment_of(receipt.at) > BEHIND:
            told = f"says {receipt.at}, and number {latest[1].seq} before it {latest[1].at} already: it was dated back"
            faults.append(ChainFault(file=file, reason=told))
        if latest is None or is_reset(receipt) or receipt.at > latest[1].at:
            latest = (file, receipt)
    return faults


def _why_loose(anchor: Anchor, receipts: Named) -> str | None:
    """Return why the chain does not hold the anchor, or None."""
    if receipts and anchor.site != receipts[0][1].site:
        return f"is of site {anchor.site}, and the chain is of {receipts[0][1].site}"
    if len(receipts) < anchor.length:
        return f"was made when the chain had {anchor.length} receipts, now it has {len(receipts)}: its end was cut off"
    if anchor.length:
        file, last = receipts[anchor.length - 1]
        if last.digest() != anchor.head:
            return f"says that the chain's receipt {anchor.length} was another one than {file}: the chain forked or was written anew"
        if moment_of(last.at) - moment_of(anchor.at) > BEHIND:
            return f"was made at {anchor.at}, before {file} that it holds ({last.at}): one of the two times is wrong"
    return _why_unrecorded(anchor, receipts) if anchor.kind == "closeout" else None


def _why_unrecorded(anchor: Anchor, receipts: Named) -> str | None:
    mine = [
        r
        for _, r in receipts[anchor.length :]
        if r.capability == anchor.closing and r.phase == "result" and (r.told or {}).get("attempt") == anchor.attempt
    ]
    if not mine:
        verb = str(anchor.closing).replace(".", " ")
        what = verb.split()[0]
        killed = f"'{verb}' ended before it wrote it; then close the {what} again, or remove the file where that is no longer possible"
        return f"has no receipt in the chain: the chain's end was cut off, or {killed}"
    # An attempt is closed more than once where a closing came to nothing: each has a closeout of its own.
    if any(one.evidence == anchor.receipt for one in mine):
        return None
    closed = next((one for one in mine if (one.told or {}).get("file") == anchor.source), mine[-1])
    return f"was altered: {closed.key} names another digest"


def _since_reset(chain: Sequence[Receipt]) -> Sequence[Receipt]:
    last = next((number for number in range(len(chain) - 1, -1, -1) if is_reset(chain[number])), 0)
    return chain[last:]
