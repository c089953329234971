"""What an abandoned run of a wave left undone on hosts that are still part of it, and which plan does that.

Rules:
- A step that is left stays so until a later plan of the wave looked at its host for its capability, and has nothing of it left to do: whatever
  else was planned or run meanwhile.
- A plan that was refused there, or could not see the host, did not look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from controlplane.domain.capabilities import CAPABILITIES
from controlplane.domain.plan import Plan, Step
from controlplane.domain.receipt import Receipt
from controlplane.domain.waves.order import left_alone
from controlplane.domain.waves.record import Planned, WaveRecord
from controlplane.domain.waves.values import Wave
from controlplane.usecases.interrupted_run import finished_steps
from controlplane.usecases.wave_ports import abort_command


class Rest(NamedTuple):
    """What is left of one abandoned run: on which hosts, and of which capabilities."""

    run: str
    hosts: tuple[str, ...]
    capabilities: tuple[str, ...]

    def way_on(self, name: str, wave: Wave, record: WaveRecord) -> str:
        """Return the command that plans it; where too many hosts failed for that, the one that ends the wave, with the reason."""
        stopped = left_alone(wave, record.out)
        if all(host in stopped for host in self.hosts):
            return f"{abort_command(name)}    ({stopped[self.hosts[0]]})"
        by_name = [one for one in self.capabilities if CAPABILITIES[one].only_by_name]
        # Of what deletes each has a plan of its own, after the others.
        alone = f" --capability {by_name[0]}" if len(by_name) == len(self.capabilities) else ""
        return f"controlplane wave plan {name}{alone}"


def rest_of(record: WaveRecord, chain: Sequence[Receipt], plan_of: Callable[[str], Plan]) -> Rest | None:
    """Return what is left of the first run that was abandoned and whose rest is not done, None where nothing is.

    `plan_of` gives a plan by its digest; raises `RunFailedError` where it is gone.
    """
    for number, planned in enumerate(record.plans):
        if planned.run is None or not planned.was_abandoned:
            continue
        left = [step for step in _undone(planned, plan_of(planned.plan), chain) if step.host not in record.out]
        for later in record.plans[number + 1 :] if left else ():
            left = _without_settled(left, later, plan_of(later.plan), chain)
        if left:
            return Rest(planned.run, tuple(sorted({step.host for step in left})), tuple(dict.fromkeys(step.capability for step in left)))
    return None


def _undone(planned: Planned, plan: Plan, chain: Sequence[Receipt]) -> list[Step]:
    """Return the steps of a plan that are not done, or were taken back."""
    finished = finished_steps(planned.run, chain) if planned.run is not None else {}
    return [step for step in plan.steps if step.id not in finished]


def _without_settled(left: Sequence[Step], later: Planned, plan: Plan, chain: Sequence[Receipt]) -> list[Step]:
    """Return the steps without those for which a later plan looked, and of which nothing is left to do by it."""
    unsettled = {(one.host, one.capability) for one in _undone(later, plan, chain)} | {(one.host, one.capability) for one in plan.refusals}

    def is_settled(step: Step) -> bool:
        looked = step.capability in later.capabilities and step.host in plan.binds.evidence
        return looked and (step.host, step.capability) not in unsettled

    return [step for step in left if not is_settled(step)]
