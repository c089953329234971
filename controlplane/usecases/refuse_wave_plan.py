"""Keep a wave's plan with its wave: applied beside it, nobody would ask its window, its gates or whether somebody took it over.

Rules:
- While the wave goes on its plans are run there alone. One that has ended leaves its open run to be resumed or taken back, and begins nothing more: a
  run of it that has begun no step yet is closed, not resumed.
- An approval that was given for a wave serves that wave alone, whatever became of its record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from controlplane.domain.coordination import WaveHeld
from controlplane.domain.errors import RefusedError
from controlplane.domain.plan import Plan
from controlplane.domain.receipt import Receipt
from controlplane.domain.waves.record import record_of
from controlplane.domain.waves.trail import last_run
from controlplane.ports.receipts import ApprovalStore
from controlplane.ports.waves import WaveStore


def every_attempt(waves: WaveStore) -> tuple[WaveHeld, ...]:
    """Return every attempt at every wave: the plan may be one of an attempt that another one followed."""
    return tuple(held for latest in waves.waves() for held in waves.history(latest.wave))


def refuse_wave_plan(plan: Plan, attempts: Iterable[WaveHeld], *, approvals: ApprovalStore, chain: Sequence[Receipt], now: datetime) -> None:
    """Raise `RefusedError` where the plan, or its approval, belongs to a wave: to one that goes on, or that has ended and left no run of it open."""
    mine = [held for held in attempts if any(one.plan == plan.plan for one in record_of(held.record).plans)]
    for held in mine:
        if held.ended_at is None:
            raise RefusedError(
                f"plan {plan.plan[:19]} belongs to wave {held.wave} (state {held.state}, {held.holder}). Nothing was changed. "
                f"Run it there: controlplane wave run {held.wave}"
            )
    last = last_run(plan.plan, chain)
    is_open = last is not None and last.outcome is None
    if last is not None and is_open and last.steps:
        return
    approval = approvals.find(plan.plan, at=now)
    made_for = mine[-1].wave if mine else approval.wave if approval is not None else None
    if made_for is not None and last is not None and is_open:
        raise RefusedError(
            f"plan {plan.plan[:19]} was made for wave {made_for}, which does not go on with it, and its run {last.run} has begun no step. Nothing "
            f"was changed. Close that run: controlplane rollback {last.run}"
        )
    if made_for is not None:
        raise RefusedError(
            f"plan {plan.plan[:19]} was made for wave {made_for}, which does not go on with it, and no run of it is open. Nothing was changed. "
            f"Open the wave anew: controlplane wave open {made_for}; or, beside it, make a plan of its own: controlplane plan --out FILE"
        )
