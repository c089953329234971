"""Keep a wave's plan with its wave: applied beside it, nobody would ask its window, its gates or whether somebody took it over."""

from __future__ import annotations

from controlplane.domain.errors import RefusedError
from controlplane.domain.plan import Plan
from controlplane.domain.waves.record import record_of
from controlplane.ports.waves import WaveStore


def refuse_wave_plan(plan: Plan, waves: WaveStore) -> None:
    """Raise `RefusedError` where the plan belongs to a wave that goes on. One that was aborted leaves its plans to be resumed or taken back."""
    for held in waves.waves():
        if held.ended_at is None and any(one.plan == plan.plan for one in record_of(held.record).plans):
            raise RefusedError(
                f"plan {plan.plan[:19]} belongs to wave {held.wave} (state {held.state}, {held.holder}). Nothing was changed. "
                f"Run it there: controlplane wave run {held.wave}"
            )
