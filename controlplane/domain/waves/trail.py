"""What the chain of receipts says of a wave: how its runs ended, which hosts failed, what is still open.

Rules:
- The receipts say what happened to machines, the store only who may go on: where a kill came between the two, the receipts are believed.
- What was taken back counts as taken back, by whichever verb.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from controlplane.domain.receipt import Outcome, Receipt, open_intents, undone_keys
from controlplane.domain.waves.record import OPEN, Planned, WaveRecord

# The step of the receipt that is about a whole run.
_WHOLE = "*"


class LastRun(NamedTuple):
    """The last run of a plan; `outcome` is None as long as it is open."""

    run: str
    outcome: Outcome | None
    undone: int
    steps: int


def last_run(plan: str, chain: Sequence[Receipt]) -> LastRun | None:
    """Return the last run of a plan that began, None where none did; one that was refused before its first step did not."""
    mine = [one for one in chain if one.plan == plan]
    refused = {one.run for one in mine if one.step == _WHOLE and one.outcome == "refused"}
    begun = [one.run for one in mine if one.step == _WHOLE and one.phase == "intent" and one.run not in refused]
    if not begun:
        return None
    run = begun[-1]
    ends = [one.outcome for one in mine if one.run == run and one.step == _WHOLE and one.phase == "result"]
    steps = {one.key for one in mine if one.run == run and one.phase == "intent" and one.step != _WHOLE and one.undoes is None}
    return LastRun(run, ends[-1] if ends else None, len(steps & undone_keys(chain)), len(steps))


def settled(record: WaveRecord, chain: Sequence[Receipt]) -> WaveRecord:
    """Return the record with the runs of its plans as the receipts show them."""
    return record.model_copy(update={"plans": tuple(_settled(one, chain) for one in record.plans)})


def _settled(planned: Planned, chain: Sequence[Receipt]) -> Planned:
    last = last_run(planned.plan, chain)
    if last is None:
        return planned
    outcome: str | None = last.outcome
    if last.undone:
        outcome = "rolled-back" if last.undone == last.steps and outcome is not None else f"{outcome or OPEN}, partly rolled back"
    return planned.model_copy(update={"run": last.run, "outcome": outcome})


def failed_hosts(planned: Planned, chain: Sequence[Receipt]) -> dict[str, str]:
    """Return the hosts on which a step of the plan's last run failed or was abandoned, and was neither done later nor taken back, with the reason."""
    undone, found = undone_keys(chain), dict[str, tuple[str, str]]()
    for one in chain:
        if one.run != planned.run or one.plan != planned.plan or one.phase != "result" or one.step == _WHOLE or one.undoes is not None:
            continue
        if one.outcome in ("failed", "interrupted") and one.key not in undone:
            found[one.host] = (one.step, f"{one.step} {one.capability} {'failed' if one.outcome == 'failed' else 'was'}: {one.reason}")
        elif found.get(one.host, ("", ""))[0] == one.step:
            del found[one.host]
    return {host: reason for host, (_, reason) in found.items()}


def unclosed(chain: Sequence[Receipt], *, hosts: Collection[str], plans: Collection[str] = ()) -> tuple[Receipt, ...]:
    """Return the open receipts of these plans, and of every run that touched these hosts, the oldest first."""
    touched = {one.run for one in chain if one.plan and one.host in hosts}
    return tuple(one for one in open_intents(chain) if one.plan in plans or one.host in hosts or (one.step == _WHOLE and one.run in touched))


def last_change(chain: Sequence[Receipt], *, hosts: Collection[str], since: str) -> datetime | None:
    """Return when a run or a rollback last changed one of these hosts since then (a stamp), None where none did."""
    done = [one.at for one in chain if one.plan and one.phase == "result" and one.host in hosts and one.at >= since]
    return datetime.fromisoformat(max(done).replace("Z", "+00:00")) if done else None
