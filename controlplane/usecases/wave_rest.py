"""What an abandoned run of a wave left undone on hosts that are still part of it, and which plan does that.

Rules:
- A step that is left stays so until a later plan of the wave did what it was to change, or looked at its host for its capability and has nothing
  of it left to do: whatever else was planned or run meanwhile.
- A plan that could not see the host did not look. One that was refused something there left that, unless the abandoned plan was refused it as
  well: then it was no part of the step.
"""

from __future__ import annotations

import re
from collections import Counter
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

# An amount by itself, such as `16.4 GB`: what is over a budget is another number each time that it is measured. Names with digits stay.
_AMOUNT = re.compile(r"(?<![\w./:-])\d+(\.\d+)?( ([kMGT]?B|bytes))?(?![\w/:-])")


class Rest(NamedTuple):
    """What is left of one abandoned run: on which hosts, and of which capabilities."""

    run: str
    hosts: tuple[str, ...]
    capabilities: tuple[str, ...]

    def way_on(self, name: str, wave: Wave, record: WaveRecord) -> str:
        """Return the command that plans it; where too many hosts failed for that, the one that ends the wave, with the reason."""
        stopped = self._stopped(wave, record)
        if stopped is not None:
            return f"{abort_command(name)}    ({stopped})"
        by_name = [one for one in self.capabilities if CAPABILITIES[one].only_by_name]
        # Of what deletes each has a plan of its own, after the others.
        alone = f" --capability {by_name[0]}" if len(by_name) == len(self.capabilities) else ""
        return f"controlplane wave plan {name}{alone}"

    def or_end(self, name: str, wave: Wave, record: WaveRecord) -> str:
        """Return what there is to do where that plan is refused what is left; nothing where `way_on` ends the wave already."""
        if self._stopped(wave, record) is not None:
            return ""
        return f"    (if that plan is refused: mend what it names, or end this attempt: {abort_command(name)})"

    def _stopped(self, wave: Wave, record: WaveRecord) -> str | None:
        stopped = left_alone(wave, record.out)
        return stopped[self.hosts[0]] if all(host in stopped for host in self.hosts) else None


def rest_of(record: WaveRecord, chain: Sequence[Receipt], plan_of: Callable[[str], Plan]) -> Rest | None:
    """Return what is left of the first run that was abandoned and whose rest is not done, None where nothing is.

    `plan_of` gives a plan by its digest; raises `RunFailedError` where it is gone.
    """
    for number, planned in enumerate(record.plans):
        if planned.run is None or not planned.was_abandoned:
            continue
        left = [step for step in _undone(planned, plan_of(planned.plan), chain) if step.host not in record.out]
        for later in record.plans[number + 1 :] if left else ():
            left = _without_settled(left, later, plan_of(later.plan), chain, before=plan_of(planned.plan))
        if left:
            return Rest(planned.run, tuple(sorted({step.host for step in left})), tuple(dict.fromkeys(step.capability for step in left)))
    return None


def _undone(planned: Planned, plan: Plan, chain: Sequence[Receipt]) -> list[Step]:
    """Return the steps of a plan that are not done, or were taken back."""
    finished = finished_steps(planned.run, chain) if planned.run is not None else {}
    return [step for step in plan.steps if step.id not in finished]


def _without_settled(left: Sequence[Step], later: Planned, plan: Plan, chain: Sequence[Receipt], *, before: Plan) -> list[Step]:
    """Return the steps, of the plan `before`, without those that a later one did, or for which it looked and has nothing of them left to do."""
    undone = _undone(later, plan, chain)
    unsettled = {(one.host, one.capability) for one in undone} | {(host, capability) for host, capability, _ in _refused(plan) - _refused(before)}
    changed = {what for step in plan.steps if step not in undone for what in _whats(step)}

    def is_settled(step: Step) -> bool:
        looked = step.capability in later.capabilities and step.host in plan.binds.evidence
        did = all(what in changed for what in _whats(step))
        return looked and (did or (step.host, step.capability) not in unsettled)

    return [step for step in left if not is_settled(step)]


def _whats(step: Step) -> list[tuple[str, str, str, str, str | None]]:
    """Return what a step changes: where, and into what. Several changes may be of one target, such as the lines of a file."""
    return [(step.host, step.capability, one.kind, one.target, one.after) for one in step.changes]


def _refused(plan: Plan) -> Counter[tuple[str, str, str]]:
    """Return what a plan was refused, by host, capability and reason, whatever amounts the reason names, and how often."""
    return Counter((one.host, one.capability, _AMOUNT.sub("N", one.reason)) for one in plan.refusals)


def unseen_in(record: WaveRecord, plan_of: Callable[[str], Plan]) -> dict[str, tuple[str, ...]]:
    """Return the hosts, still part of the wave, that the newest plan for a capability could not see, each with these capabilities.

    `plan_of` gives a plan by its digest; raises `RunFailedError` where it is gone.
    """
    unseen: dict[tuple[str, str], None] = {}
    for planned in record.plans:
        plan = plan_of(planned.plan)
        for one in plan.refusals:
            if one.host not in plan.binds.evidence and one.host not in record.out:
                unseen[one.host, one.capability] = None
        for host in plan.binds.evidence:
            for capability in planned.capabilities:
                unseen.pop((host, capability), None)
    hosts = dict.fromkeys(host for host, _ in unseen)
    return {host: tuple(capability for other, capability in unseen if other == host) for host in hosts}
