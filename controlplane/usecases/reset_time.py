"""receipts reset-time: a person decides that a clock had run ahead, and that the site's time is this controller's from now on.

Rules:
- It is on record, signed like every receipt, before the store's time is set.
- Approvals that do not name it were given before it and hold no more, and leases that the wrong clock gave end: it revives nothing.
- Where no clock ran ahead there is nothing to reset, and it is refused; unless to stand for an earlier reset by a key that ended meanwhile.
"""

from __future__ import annotations

from controlplane.domain.chain import RESET, LooseReset, Named, behind, chain_faults
from controlplane.domain.errors import RefusedError
from controlplane.domain.run_key import make_run_key
from controlplane.ports.clocks import Clock, Entropy, SiteTime
from controlplane.ports.receipts import ReceiptStore
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.record_run import STAMP, Ledger


def reset_time(site: str, *, operator: str, reason: str, receipts: ReceiptStore, store: SiteTime, clock: Clock, entropy: Entropy) -> str:
    """Set the site's time back to the clock's, and return the key of the receipt.

    Raises `RefusedError`, also where the operator's key is not allowed at the latest time that was seen, and `RunFailedError`: then nothing was
    changed.
    """
    named, is_loose = _chain(receipts)
    now = clock.now()
    seen = behind([receipt for _, receipt in named], now)
    if seen is None and not is_loose and _believed(store, clock):
        raise RefusedError(f"this controller's clock says {now.strftime(STAMP)}, and the site has seen no later time. Nothing was changed.")
    key = make_run_key(RESET, now, entropy.four_hex())
    ledger = Ledger(receipts, clock, run=key, site=site, plan="", policy="", operator=operator)
    ledger.intend(key, host="*", capability=RESET, step="*")
    store.reset_time(now)
    ledger.close(key, host="*", capability=RESET, step="*", outcome="done", reason=reason, told={"from": seen})
    return key


def _chain(receipts: ReceiptStore) -> tuple[Named, bool]:
    """Return the chain, and whether an earlier reset in it is one that nobody stands for. Raises `RunFailedError` where anything else is wrong."""
    named = receipts.load()
    faults = (*chain_faults(named), *receipts.signature_faults())
    if all(isinstance(fault, LooseReset) for fault in faults):
        return named, bool(faults)
    return sound_chain(receipts), False


def _believed(store: SiteTime, clock: Clock) -> bool:
    try:
        store.assert_time(clock.now())
    except RefusedError:
        return False
    return True
