"""wave open, preflight, abort: take a wave, look at its hosts, and let it go.

Rules:
- A wave opens only where every host could be observed and every entry gate is MET on fresh evidence; UNKNOWN never opens. What holds for a
  time only is asked when it runs.
- One wave that changes machines goes on at a time, whatever controller opened it. An unclosed receipt on a host that it changes or looks at keeps
  any wave shut.
- The intent is on record before the store is written, the result after it; a kill in between is made good by the same command.
- What keeps a wave from opening, a preflight tells: it asks the same, and takes nothing.
- Nothing on a host is changed here.
"""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.coordination import WaveHeld
from controlplane.domain.errors import Fault, InputInvalidError, RefusedError, UnknownError
from controlplane.domain.receipt import Receipt
from controlplane.domain.waves.gates import judge_gates
from controlplane.domain.waves.record import GateJudged, WaveRecord, record_of
from controlplane.domain.waves.trail import settled, standing_closing, unclosed
from controlplane.usecases.apply_guards import refuse_unless_free, sound_chain
from controlplane.usecases.before_opening import in_the_way, refuse_unclosed, to_be_seen
from controlplane.usecases.close_wave_unchanged import governing
from controlplane.usecases.look_at_wave import look_at, pack_ran, refuse_unreached
from controlplane.usecases.wave_case import case_of, governed, shut
from controlplane.usecases.wave_ports import TTL, WavePorts, WaveSite, begin_entry, entry_of, held_wave, loaded, new_record


def open_wave(name: str, site: WaveSite, ports: WavePorts) -> tuple[WaveHeld, WaveRecord]:
    """Open a wave. Raises `RefusedError` or `UnknownError` with every gate that is not open; then nothing was changed."""
    wave = governed(site.wave(name), site.view)
    chain = [receipt for _, receipt in sound_chain(ports.apply.receipts, now=ports.apply.clock.now())]
    held = ports.waves.find(name)
    if held is not None and held.ended_at is None:
        return _opened_already(name, held, site, ports, chain)
    refuse_unclosed(f"wave {name} does not open", wave, ports, chain)
    record = new_record(site.wave(name), site, ports, ports.history.head()).model_copy(update={"governing": governing(wave, site)})
    look = look_at(name, wave, site, ports, attempt=record.attempt, what="preflight")
    refuse_unreached(f"wave {name} does not open. Nothing was changed", look, to_be_seen(wave), f"controlplane wave open {name}")
    if wave.mutation == "controlled":
        refuse_unless_free({host: look.seen[host] for host in wave.hosts}, own=frozenset(), now=ports.apply.clock.now())
    judged = judge_gates(wave, "entry", case_of(name, wave, record, site, ports, look=look), at_run=False)
    refuse_shut(f"wave {name} does not open", judged, "Nothing was changed.")
    packs = (pack_ran(look.pack, "*"),) if look.pack is not None else ()
    record = record.model_copy(update={"entry": judged, "preflight": look.looked, "packs": packs})
    entry = begin_entry("open", name, site, ports, told={"attempt": record.attempt})
    try:
        taken = ports.waves.take(
            name,
            state="open",
            mutating=wave.mutation == "controlled",
            holder=site.operator,
            record=record.plain(),
            now=ports.apply.clock.now(),
            ttl=TTL,
            anew=True,
        )
    except RefusedError as lost:
        entry.close(outcome="refused", reason=str(lost))
        raise
    entry.close(told=_told(taken, record))
    return taken, record


def preflight(name: str, site: WaveSite, ports: WavePorts) -> tuple[GateJudged, ...]:
    """Return what else is in the way, and how all entry gates stand, on fresh evidence.

    A wave that is open and changed nothing yet keeps that evidence as its preflight.
    """
    wave = governed(site.wave(name), site.view)
    chain = [receipt for _, receipt in sound_chain(ports.apply.receipts, now=ports.apply.clock.now())]
    held = ports.waves.find(name)
    going_on = held if held is not None and held.ended_at is None else None
    record = new_record(site.wave(name), site, ports, None) if going_on is None else settled(record_of(going_on.record), chain)
    look = look_at(name, wave, site, ports, attempt=record.attempt, what="preflight", out=record.out)
    plan = ports.apply.plans.get(record.last_plan.plan) if record.last_plan is not None else None
    judged = judge_gates(wave, "entry", case_of(name, wave, record, site, ports, look=look, plan=plan))
    untouched = all(one.run is None for one in record.plans)
    # Whoever is closing the wave right now would find its record changed.
    is_closed = standing_closing(name, record, loaded(ports)) is not None
    if going_on is not None and going_on.holder == site.operator and untouched and look.reached and not is_closed:
        kept = record.model_copy(update={"preflight": look.looked})
        ports.waves.write(going_on, state=going_on.state, record=kept.plain(), now=ports.apply.clock.now())
    return (*in_the_way(name, wave, ports, look, chain, own=[one.plan for one in record.plans]), *judged)


def abort_wave(name: str, site: WaveSite, ports: WavePorts, *, reason: str) -> str:
    """End a wave without its gates; what is half done keeps its open receipts, which block the next wave on that host. Return the receipt's key."""
    if not reason.strip():
        raise InputInvalidError([Fault("--reason", 0, "", "is empty: say why the wave ends without its gates")])
    chain = loaded(ports)
    last = ports.waves.find(name)
    if last is not None and last.state == "aborted" and last.holder == site.operator:
        ended = record_of(last.record)
        if entry_of("abort", name, ended.attempt, chain) is None:
            # It was ended, and a kill kept that from being said.
            return begin_entry("abort", name, site, ports).close(outcome="interrupted", reason=reason, told=_left_by(ended, chain))
    held, record = held_wave(name, ports, site.operator)
    entry = begin_entry("abort", name, site, ports)
    try:
        ports.waves.write(held, state="aborted", record=record.plain(), now=ports.apply.clock.now(), ended=True)
    except RefusedError as lost:
        entry.close(outcome="refused", reason=str(lost))
        raise
    return entry.close(outcome="interrupted", reason=reason, told=_left_by(record, chain))


def _left_by(record: WaveRecord, chain: Sequence[Receipt]) -> dict[str, object]:
    """Return what the end of an attempt says of it: the receipts that it leaves open."""
    return {"attempt": record.attempt, "unclosed": [one.key for one in unclosed(chain, hosts=(), plans=[one.plan for one in record.plans])]}


def refuse_shut(what: str, judged: Sequence[GateJudged], end: str) -> None:
    """Raise `UnknownError` where a gate is UNKNOWN, `RefusedError` where one is shut, with all of them; `end` says in which state things are left."""
    told = shut(judged)
    if not told:
        return
    listed = "\n  ".join(told)
    text = f"{what}, {len(told)} of {len(judged)} gates are not open:\n  {listed}\n{end}"
    raise UnknownError(text) if any(one.verdict == "UNKNOWN" for one in judged) else RefusedError(text)


def _opened_already(name: str, held: WaveHeld, site: WaveSite, ports: WavePorts, chain: Sequence[Receipt]) -> tuple[WaveHeld, WaveRecord]:
    record = record_of(held.record)
    if held.holder != site.operator or entry_of("open", name, record.attempt, chain) is not None:
        raise RefusedError(
            f"wave {name} is open already (state {held.state}, {held.holder}). Nothing was changed. Next: controlplane wave status {name}"
        )
    # It was taken, and a kill kept that from being said.
    begin_entry("open", name, site, ports).close(told=_told(held, record))
    return held, record


def _told(held: WaveHeld, record: WaveRecord) -> dict[str, object]:
    looked = record.preflight.model_dump(mode="json") if record.preflight is not None else None
    entry = [one.model_dump(mode="json") for one in record.entry]
    files = record.files.model_dump(mode="json") if record.files is not None else None
    return {"attempt": record.attempt, "token": held.token, "files": files, "entry": entry, "preflight": looked}
