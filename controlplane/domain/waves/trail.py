"""What the chain of receipts says of a wave: how its runs ended, which hosts failed, what is still open.

Rules:
- The receipts say what happened to machines, the store only who may go on: where a kill came between the two, the receipts are believed.
- What was taken back counts as taken back, by whichever verb.
- A closing counts, also where the store does not know it yet, as long as nothing of the wave's plans came behind what its closeout holds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from controlplane.domain.receipt import Outcome, Receipt, open_intents, undone_keys
from controlplane.domain.waves.record import OPEN, Planned, WaveRecord

# The step of the receipt that is about a whole run.
_WHOLE = "*"
# What begins and ends an attempt at a wave.
_TURNS = ("wave.open", "wave.close", "wave.abort")


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


def gone_back(run: str, chain: Sequence[Receipt]) -> tuple[str, ...]:
    """Return the hosts on which a step of the run was taken back."""
    undone = undone_keys(chain)
    return tuple(dict.fromkeys(one.host for one in chain if one.run == run and one.phase == "intent" and one.key in undone))


def failed_hosts(planned: Planned, chain: Sequence[Receipt]) -> dict[str, str]:
    """Return the hosts on which a step of the plan's last run failed, and was neither done later nor taken back, with the reason.

    With those that were gone when that run, or the way back of a step of it, was abandoned.
    """
    undone, found = undone_keys(chain), dict[str, tuple[str, str]]()
    mine = [one for one in chain if one.run == planned.run and one.plan == planned.plan]
    for one in mine:
        if one.phase != "result" or one.step == _WHOLE or one.undoes is not None:
            continue
        if one.outcome == "failed" and one.key not in undone:
            found[one.host] = (one.step, f"{one.step} {one.capability} failed: {one.reason}")
        elif (one.outcome != "interrupted" or one.key in undone) and found.get(one.host, ("", ""))[0] == one.step:
            del found[one.host]
    return _gone_hosts(mine, undone) | {host: reason for host, (_, reason) in found.items()}


def _gone_hosts(mine: Sequence[Receipt], undone: Collection[str]) -> dict[str, str]:
    """Return the hosts that a run of these receipts was abandoned for; one that came back, and whose steps all went back, is no more of them."""
    begun = [one for one in mine if one.phase == "intent" and one.step != _WHOLE and one.undoes is None]
    returned = {one.host for one in begun} - {one.host for one in begun if one.key not in undone}
    found: dict[str, str] = {}
    for one in mine:
        if one.phase == "result" and one.outcome == "interrupted" and one.undoes not in undone:
            for host in (one.told or {}).get("unreached", ()):
                found.setdefault(host, f"{_named(one)} was {one.reason}")
    return {host: reason for host, reason in found.items() if host not in returned}


def _named(one: Receipt) -> str:
    if one.step == _WHOLE:
        return "its run"
    return f"{one.step} {one.capability}{', on its way back,' if one.undoes is not None else ''}"


def unclosed(chain: Sequence[Receipt], *, hosts: Collection[str], plans: Collection[str] = ()) -> tuple[Receipt, ...]:
    """Return the open receipts of these plans, and of every run that touched these hosts, the oldest first."""
    touched = {one.run for one in chain if one.plan and one.host in hosts}
    return tuple(one for one in open_intents(chain) if one.plan in plans or one.host in hosts or (one.step == _WHOLE and one.run in touched))


def is_left_unbegun(run: str, chain: Sequence[Receipt]) -> bool:
    """Say whether an aborted wave left this run open before its first step: nothing goes on with it, and taking it back closes it."""
    if any(one.run == run and one.phase == "intent" and one.step != _WHOLE and one.undoes is None for one in chain):
        return False
    ends = (one.told or {} for one in chain if one.phase == "result" and one.capability == "wave.abort")
    return any(run in told.get("unclosed", ()) for told in ends)


def closing_of(name: str, attempt: object, chain: Sequence[Receipt]) -> Receipt | None:
    """Return the receipt that closed this attempt at a wave, None where the chain's last word of the wave is another one."""
    said = [one for one in chain if one.phase == "result" and one.capability in _TURNS and one.step == name and one.outcome != "refused"]
    if not said or (said[-1].capability, said[-1].outcome) != ("wave.close", "done") or (said[-1].told or {}).get("attempt") != attempt:
        return None
    return said[-1]


def closings_of(name: str, attempt: str, chain: Sequence[Receipt]) -> tuple[tuple[int, Receipt], ...]:
    """Return the receipts by which this attempt at a wave was closed, each with its place in the chain; those behind which it went on too."""
    wanted = ("wave.close", name, "result", "done")
    mine = ((place, one) for place, one in enumerate(chain) if (one.capability, one.step, one.phase, one.outcome) == wanted)
    return tuple((place, one) for place, one in mine if (one.told or {}).get("attempt") == attempt)


def standing_closing(name: str, record: WaveRecord, chain: Sequence[Receipt]) -> Receipt | None:
    """Return the receipt that closed this attempt; None where none did, or a run or a rollback of its plans is on record behind its closeout.

    What is done to a host that was carved out by then is no concern of the wave's any more.
    """
    closings = closings_of(name, record.attempt, chain)
    if not closings:
        return None
    place, last = closings[-1]
    since = int((last.told or {}).get("chain_length", place))
    known, plans = {one.key for one in chain[:since]}, {one.plan for one in record.plans}
    out = {one.host for one in record.carved if one.receipt in known}
    return None if any(one.plan in plans and one.host not in out for one in chain[since:]) else last
