"""Bring a wave's record up to what the receipts show: how its runs ended, and which hosts failed and are carved out.

Rules:
- A kill at any point between a host's change and the store's record is made good here, by whichever verb comes next.
- A host is carved out once: its receipt is looked for before one is written.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from controlplane.domain.coordination import WaveHeld
from controlplane.domain.errors import RefusedError
from controlplane.domain.receipt import Receipt
from controlplane.domain.waves.record import Carved, State, WaveRecord, record_of
from controlplane.domain.waves.trail import failed_hosts, unclosed
from controlplane.domain.waves.values import Wave
from controlplane.usecases.interrupted_run import if_gone
from controlplane.usecases.record_run import STAMP
from controlplane.usecases.wave_ports import WavePorts, WaveSite, abort_command, begin_entry, close_command, entry_of, held_wave, loaded


def caught_up(name: str, site: WaveSite, ports: WavePorts) -> tuple[WaveHeld, WaveRecord]:
    """Return a wave that goes on and is this operator's, its record up to date and kept. Raises `RefusedError`."""
    held, record = held_wave(name, ports, site.operator)
    record = with_carved(name, record, site, ports)
    state = state_of(record)
    if record.plain() == held.record and state == held.state:
        return held, record
    return ports.waves.write(held, state=state, record=record.plain(), now=ports.apply.clock.now()), record


def state_of(record: WaveRecord) -> State:
    """Return the state that a wave that goes on is in, by the runs of its plans."""
    last = record.last_plan
    if last is None:
        return "open"
    return "planned" if last.waits else "running" if last.is_open else "changed"


def with_carved(name: str, record: WaveRecord, site: WaveSite, ports: WavePorts) -> WaveRecord:
    """Return the record with every host carved out on which a step of the wave failed, each with its receipt."""
    chain = loaded(ports)
    for planned in record.plans:
        if planned.run is None:
            continue
        for host, reason in failed_hosts(planned, chain).items():
            if host in record.out:
                continue
            said = entry_of("carve", name, record.attempt, chain, host=host)
            if said is not None:
                key, at = said.key, said.at
            else:
                told = {"attempt": record.attempt, "plan": planned.plan, "run": planned.run}
                key = begin_entry("carve", name, site, ports, host=host).close(outcome="failed", reason=reason, told=told)
                at = ports.apply.clock.now().strftime(STAMP)
            record = record.model_copy(update={"carved": (*record.carved, Carved(host=host, at=at, reason=reason, receipt=key))})
    return record


def refuse_open_runs(what: str, name: str, record: WaveRecord, chain: Sequence[Receipt]) -> None:
    """Raise `RefusedError` where a run of the wave, or its rollback, is not closed."""
    still = unclosed(chain, hosts=(), plans=_plans(record))
    undone = [one for one in still if one.undoes is not None]
    if undone:
        raise RefusedError(
            f"{what}: a rollback is open since {undone[0].at}. Go on with it: controlplane rollback {undone[0].undoes}. {if_gone(undone[0].run)}"
        )
    if still:
        raise RefusedError(
            f"{what}: run {still[0].run} is not closed. Go on: controlplane wave run {name}; or take it back: controlplane rollback {still[0].run}. "
            f"{if_gone(still[0].run)}"
        )


def why_unclosed(hosts: Collection[str], chain: Sequence[Receipt], ports: WavePorts, *, own: Collection[str]) -> tuple[str, str] | None:
    """Return which receipts of runs that touched these hosts are not closed, and what to do about it; None where all are.

    `own` are plans that are not asked about.
    """
    still = [one for one in unclosed(chain, hosts=hosts) if one.plan not in own]
    if not still:
        return None
    first = still[0]
    told = "; ".join(f"{one.key} on {one.host} since {one.at}" for one in still)
    if first.undoes is not None:
        go_on = f"Go on with the rollback: controlplane rollback {first.undoes}"
    else:
        held = next((one for one in ports.waves.waves() if one.ended_at is None and first.plan in _plans(record_of(one.record))), None)
        resume = f"controlplane wave run {held.wave}" if held is not None else "'controlplane apply' with its plan file"
        go_on = f"Resume it by {resume}, or take it back: controlplane rollback {first.run}"
    return f"an earlier run left receipts unclosed: {told}", f"{go_on}. {if_gone(first.run)}"


def refuse_open_beside(name: str, wave: Wave, record: WaveRecord, chain: Sequence[Receipt], ports: WavePorts) -> None:
    """Raise `RefusedError` where a run beside the wave touched a host that it still has in view, and is not closed: what it sees there may go on."""
    told = why_unclosed(record.without_carved(wave.seen), chain, ports, own=_plans(record))
    if told is None:
        return
    # On the hosts of a wave that changes machines nothing else is resumed or taken back before it ends.
    first = f"End this attempt, which keeps it off: {abort_command(name)}. Then: " if wave.mutation == "controlled" else ""
    then = "" if first else f". Then: {close_command(name)}"
    raise RefusedError(f"wave {name} does not close, it stays open: {told[0]}. {first}{told[1]}{then}")


def _plans(record: WaveRecord) -> list[str]:
    return [one.plan for one in record.plans]
