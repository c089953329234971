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
from controlplane.domain.waves.trail import failed_hosts, standing_closing, unclosed
from controlplane.domain.waves.values import Wave
from controlplane.usecases.interrupted_run import if_gone
from controlplane.usecases.record_run import STAMP
from controlplane.usecases.wave_ports import WavePorts, WaveSite, abort_command, begin_entry, close_command, entry_of, held_wave, loaded
from controlplane.usecases.way_on import goes_back, way_on


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


def refuse_closed(what: str, name: str, record: WaveRecord, chain: Sequence[Receipt]) -> None:
    """Raise `RefusedError` where a receipt says that the wave is closed, and a kill or another terminal kept the store from saying so."""
    said = standing_closing(name, record, chain)
    if said is not None:
        raise RefusedError(
            f"{what}: it was closed by {said.key}, and the store does not know that yet. Nothing was changed. Bring that to its end: "
            f"{close_command(name)}"
        )


def refuse_open_runs(what: str, name: str, record: WaveRecord, chain: Sequence[Receipt]) -> None:
    """Raise `RefusedError` where a run of the wave, or its rollback, is not closed; that of a host that was carved out keeps nobody else."""
    still = [one for one in unclosed(chain, hosts=(), plans=_plans(record)) if one.undoes is None or one.host not in record.out]
    undone = [one for one in still if one.undoes is not None]
    if undone:
        raise RefusedError(
            f"{what}: a rollback is open since {undone[0].at}. Go on with it: controlplane rollback {undone[0].undoes}. {if_gone(undone[0].run)}"
        )
    if still:
        back = f"; or take it back: controlplane rollback {still[0].run}" if goes_back(still[0].run, chain) else ""
        raise RefusedError(f"{what}: run {still[0].run} is not closed. Go on: controlplane wave run {name}{back}. {if_gone(still[0].run)}")


def why_unclosed(hosts: Collection[str], chain: Sequence[Receipt], ports: WavePorts, *, own: Collection[str]) -> tuple[str, str] | None:
    """Return which receipts of runs that touched these hosts are not closed, and what to do about it; None where all are.

    `own` are plans that are not asked about.
    """
    still = [one for one in unclosed(chain, hosts=hosts) if one.plan not in own]
    if not still:
        return None
    held = next((one for one in ports.waves.waves() if one.ended_at is None and still[0].plan in _plans(record_of(one.record))), None)
    resume = f"by controlplane wave run {held.wave}" if held is not None else "by 'controlplane apply' with its plan file"
    return _told(still), f"{way_on(still[0], chain, resume=resume)}. {if_gone(still[0].run)}"


def refuse_open_beside(name: str, wave: Wave, record: WaveRecord, chain: Sequence[Receipt], ports: WavePorts) -> None:
    """Raise `RefusedError` where a run beside the wave touched a host that it still has in view, and is not closed: what it sees there may go on."""
    hosts = record.without_carved(wave.seen)
    told = why_unclosed(hosts, chain, ports, own=_plans(record))
    if told is None:
        return
    what = f"wave {name} does not close, it stays open: {told[0]}"
    first = next(one for one in unclosed(chain, hosts=hosts) if one.plan not in _plans(record))
    back = _own_way_back(name, first, chain, ports)
    if back is not None:
        raise RefusedError(f"{what}. {back}. {if_gone(first.run)}. Then: {close_command(name)}")
    if wave.mutation != "controlled":
        raise RefusedError(f"{what}. {told[1]}. Then: {close_command(name)}")
    # On the hosts of a wave that changes machines nothing else is resumed or taken back before it ends.
    raise RefusedError(f"{what}. End this attempt, which keeps it off: {abort_command(name)}. Then: {told[1]}")


def _own_way_back(name: str, first: Receipt, chain: Sequence[Receipt], ports: WavePorts) -> str | None:
    """Return what takes back a run of an earlier attempt at the wave, while this one goes on; None of any other run, and where nothing does."""
    earlier = {plan for held in ports.waves.history(name) for plan in _plans(record_of(held.record))}
    if first.plan not in earlier:
        return None
    if first.undoes is not None:
        return f"Go on with it: controlplane rollback {first.undoes}"
    return f"Take it back: controlplane rollback {first.run}" if goes_back(first.run, chain) else None


def _told(still: Sequence[Receipt]) -> str:
    return f"an earlier run left receipts unclosed: {'; '.join(f'{one.key} on {one.host} since {one.at}' for one in still)}"


def _plans(record: WaveRecord) -> list[str]:
    return [one.plan for one in record.plans]
