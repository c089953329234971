"""What became of one step: why it failed, if it did, what its services missed, what its role wants known, and what a person does next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from controlplane.domain.capabilities import CAPABILITIES
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.finding import Finding
from controlplane.domain.plan import Change, Step
from controlplane.domain.receipt import ChangeStatus
from controlplane.ports.plays import StepResult


class StepOutcome(NamedTuple):
    """Why a step failed (None: done), what became of its changes, its downtime by service, how its host was seen afterwards, and `notes_of` it."""

    failure: str | None
    changes: tuple[ChangeStatus, ...]
    downtime_s: dict[str, float]
    seen: Mapping[str, Evidence | Unreached]
    notes: tuple[str, ...] = ()


def what_next(step: Step, key: str) -> str:
    """Return how to go on after a step that failed."""
    left_out = f"The other steps of {step.host} were left out."
    rest = f"controlplane plan --host {step.host}{f' --capability {step.capability}' if CAPABILITIES[step.capability].only_by_name else ''}"
    if deletes(step.capability, step.changes):
        # What is deleted can't be taken back; what is left of it is ended by a plan of its own.
        return f"{left_out} Go on with what is left by a new plan: {rest}"
    if CAPABILITIES[step.capability].led_by:
        return f"{left_out} See what goes on with it: controlplane release status"
    return f"{left_out} See what is left with '{rest}'; take the step back with 'controlplane rollback {key}'."


def deletes(capability: str, changes: Sequence[Change]) -> bool:
    """Say whether a step with these changes deletes what no way back brings again.

    Of what runs only by name that is whatever is destructive: a cleaning of Docker's store, not the step that sets up its timer. What others destroy
    (a blank disk, the containers of a release) their own way back makes good.
    """
    return CAPABILITIES[capability].only_by_name and any(change.destructive for change in changes)


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


def notes_of(step: Step, result: StepResult) -> tuple[str, ...]:
    """Return what the role wants a person to know, however the step ended: that it went on with what an earlier run had left, for one."""
    told = result.told.get("told")
    notes = told.get("notes") if isinstance(told, dict) else None
    return tuple(f"{step.id} {step.capability}: {note}" for note in notes if isinstance(note, str)) if isinstance(notes, list) else ()


def still_holds(step: Step, outcome: StepOutcome) -> bool:
    """Say whether what was seen after the step serves the final verdict, while nothing else is changed.

    Not where the step failed, where its host was not reached, or where it made the host from elsewhere: only now that one's key is known.
    """
    reached = all(isinstance(seen, Evidence) for seen in outcome.seen.values())
    return outcome.failure is None and reached and step.host == step.target
