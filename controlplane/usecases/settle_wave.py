"""Bring a wave's record up to what the receipts show: how its runs ended, and which hosts failed and are carved out.

Rules:
- A kill at any point between a host's change and the store's record is made good here, by whichever verb comes next.
- A host is carved out once: its receipt is looked for before one is written.
"""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.coordination import WaveHeld
from controlplane.domain.errors import RefusedError
from controlplane.domain.receipt import Receipt
from controlplane.domain.waves.record import Carved, State, WaveRecord
from controlplane.domain.waves.trail import failed_hosts, unclosed
from controlplane.usecases.interrupted_run import if_gone
from controlplane.usecases.record_run import STAMP
from controlplane.usecases.wave_ports import WavePorts, WaveSite, begin_entry, entry_of, held_wave, loaded


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
    still = unclosed(chain, hosts=(), plans=[one.plan for one in record.plans])
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
