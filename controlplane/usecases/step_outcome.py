"""What became of one step: why it failed, if it did, what its services missed, and what a person does next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from controlplane.domain.capabilities import CAPABILITIES
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.finding import Finding
from controlplane.domain.plan import Step
from controlplane.domain.receipt import ChangeStatus
from controlplane.ports.plays import StepResult


class StepOutcome(NamedTuple):
    """Why a step failed (None: done), what became of its changes, its downtime by service, and what its host looked like afterwards."""

    failure: str | None
    changes: tuple[ChangeStatus, ...]
    downtime_s: dict[str, float]
    seen: Mapping[str, Evidence | Unreached]


def what_next(step: Step, key: str) -> str:
    """Return how to go on after a step that failed."""
    left_out = f"The other steps of {step.host} were left out."
    if CAPABILITIES[step.capability].only_by_name:
        # What is deleted can't be taken back; what is left of it is ended by a plan of its own.
        return f"{left_out} Go on with what is left by a new plan: controlplane plan --host {step.host} --capability {step.capability}"
    if CAPABILITIES[step.capability].led_by:
        return f"{left_out} See what goes on with it: controlplane release status"
    return f"{left_out} See what is left with 'controlplane plan --host {step.host}'; take the step back with 'controlplane rollback {key}'."


def failure_of(result: StepResult, statuses: tuple[ChangeStatus, ...], unmet: list[Finding]) -> str | None:
    """Return why the step failed, None where it did what it promised."""
    if result.status != "done":
        return result.message or "Ansible gave no reason"
    told = [f"{f.check} {f.surface} is still {f.verdict}: {f.reason}" for f in unmet]
    # A plan that would change the same thing again has not been carried out, whatever its findings say.
    told = told or [f"{change.kind} {change.target} is not seen to be done" for change in statuses if change.status != "done"]
    return "; ".join(told) or None


def downtime_of(result: StepResult) -> dict[str, float]:
    """Return the seconds that each service was down, as the role measured them."""
    told = result.told.get("downtime_s")
    if not isinstance(told, dict):
        return {}
    return {str(name): float(seconds) for name, seconds in told.items() if isinstance(seconds, int | float)}


def still_holds(step: Step, outcome: StepOutcome) -> bool:
    """Say whether what was seen after the step serves the final verdict, while nothing else is changed.

    Not where the step failed, where its host was not reached, or where it made the host from elsewhere: only now that one's key is known.
    """
    reached = all(isinstance(seen, Evidence) for seen in outcome.seen.values())
    return outcome.failure is None and reached and step.host == step.target
