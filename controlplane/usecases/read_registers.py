"""Read the registers as people ask for them: what is open, what may be closed, what does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controlplane.domain.checks import CHECKS
from controlplane.domain.errors import Fault
from controlplane.domain.gates.run_order import beginnings
from controlplane.domain.governance import Governance
from controlplane.domain.receipt import Receipt
from controlplane.domain.registers.closing import Resting, recommend
from controlplane.domain.values import Value
from controlplane.ports.clocks import Clock
from controlplane.ports.gates import GateReports
from controlplane.ports.receipts import ReceiptStore
from controlplane.usecases.apply_guards import sound_chain

# A gap that no run of these shows as mended is not mended yet: a pack that runs hourly fills them in a week.
_RUNS = 200


class RegisterStatus(Value):
    """How a site's registers stand: counts by status, what may be closed, and every rule that does not hold."""

    kind: str
    counts: dict[str, int]
    closable: tuple[str, ...]
    faults: tuple[str, ...]

    def exit_code(self) -> int:
        """Return 1 where a rule does not hold, so that an orphan fails."""
        return 1 if self.faults else 0


@dataclass(frozen=True)
class Record:
    """What is on record of gate runs, and the time at which it is read."""

    reports: GateReports
    receipts: ReceiptStore
    clock: Clock


def resting(
    governance: Governance,
    record: Record,
    *,
    governed: Sequence[str],
    named: Sequence[str] = (),
    sound: bool = False,
    chain: Sequence[tuple[str, Receipt]] | None = None,
) -> Resting:
    """Return what closings rest on; `chain` are the receipts, where they were read a moment ago.

    With `sound`, which a closeout asks for, raises `RunFailedError` where the chain of receipts is broken.
    """
    if chain is None:
        chain = sound_chain(record.receipts) if sound else record.receipts.load()
    began = beginnings([receipt for _, receipt in chain])
    held = {receipt.run: receipt.evidence for _, receipt in chain if receipt.phase == "result" and receipt.evidence}
    return Resting(
        registers=governance.checked_registers(),
        reports=record.reports.latest(_RUNS, began),
        governed=tuple(governed),
        now=record.clock.now(),
        named=tuple(named),
        receipts=held,
        began=began,
        checks=frozenset((*CHECKS, *governance.gates.checks)),
    )


def register_status(governance: Governance, record: Record, register: str, *, governed: Sequence[str]) -> RegisterStatus:
    """Return how one register stands, `gaps` or `loops`; faults of the others count for it as well, because links lead through all of them."""
    held = governance.checked_registers()
    records = held.gaps if register == "gaps" else held.loops
    counts: dict[str, int] = {}
    for one in records.values():
        counts[one.status] = counts.get(one.status, 0) + 1
    rests = resting(governance, record, governed=governed)
    closable: tuple[str, ...]
    if register == "gaps":
        closable = tuple(name for name, gap in held.gaps.items() if gap.is_open and recommend(name, rests).closable)
    else:
        busy = {loop for gap in held.gaps.values() if gap.is_open for loop in gap.loops}
        # In one that holds no gap yet the work has not begun.
        begun = {loop for gap in held.gaps.values() for loop in gap.loops}
        closable = tuple(name for name, loop in held.loops.items() if loop.status == "open" and name in begun and name not in busy)
    return RegisterStatus(kind=register, counts=dict(sorted(counts.items())), closable=closable, faults=tuple(map(str, _faults(governance))))


def _faults(governance: Governance) -> tuple[Fault, ...]:
    return (*governance.register_faults, *governance.wave_faults, *governance.broken_faults)
