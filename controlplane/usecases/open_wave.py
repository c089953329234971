"""wave open, preflight, abort: take a wave, look at its hosts, and let it go.

Rules:
- A wave opens only where every entry gate is MET on fresh evidence; UNKNOWN never opens. What holds for a time only is asked when it runs.
- One wave that changes machines goes on at a time, whatever controller opened it. An unclosed receipt on a host of its scope keeps it shut.
- Nothing on a host is changed here.
"""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.coordination import WaveHeld
from controlplane.domain.errors import RefusedError, UnknownError
from controlplane.domain.receipt import Receipt, open_intents
from controlplane.domain.waves.gates import judge_gates
from controlplane.domain.waves.record import GateJudged, WaveRecord
from controlplane.domain.waves.values import Wave
from controlplane.usecases.apply_guards import refuse_unless_free, sound_chain
from controlplane.usecases.look_at_wave import case_of, look_at, pack_ran, shut
from controlplane.usecases.wave_ports import TTL, WavePorts, WaveSite, held_wave, put_on_record


def open_wave(name: str, site: WaveSite, ports: WavePorts) -> tuple[WaveHeld, WaveRecord]:
    """Open a wave. Raises `RefusedError` or `UnknownError` with every gate that is not open; then nothing was changed."""
    wave = site.wave(name)
    held = ports.waves.find(name)
    if held is not None and held.ended_at is None:
        raise RefusedError(
            f"wave {name} is open already (state {held.state}, {held.holder}). Nothing was changed. Next: controlplane wave status {name}"
        )
    chain = [receipt for _, receipt in sound_chain(ports.apply.receipts, now=ports.apply.clock.now())]
    _refuse_unclosed(name, wave, chain)
    now = ports.apply.clock.now()
    attempt = now.strftime("%Y%m%d-%H%M%S")
    record = WaveRecord(opened_by=site.operator, attempt=attempt, head=ports.history.head())
    look = look_at(name, wave, site, ports, attempt=attempt, what="preflight")
    if wave.mutation == "controlled":
        refuse_unless_free({host: look.seen[host] for host in wave.hosts}, own=frozenset(), now=now)
    judged = judge_gates(wave, "entry", case_of(wave, record, site, ports, look=look), at_run=False)
    refuse_shut(f"wave {name} does not open", judged)
    packs = (pack_ran(look.pack, "*"),) if look.pack is not None else ()
    record = record.model_copy(update={"entry": judged, "preflight": look.looked, "packs": packs})
    taken = ports.waves.take(
        name,
        state="open",
        mutating=wave.mutation == "controlled",
        holder=site.operator,
        record=record.plain(),
        now=ports.apply.clock.now(),
        ttl=TTL,
    )
    put_on_record(
        "open", name, site, ports, told={"attempt": attempt, "token": taken.token, "entry": [one.model_dump(mode="json") for one in judged]}
    )
    return taken, record


def preflight(name: str, site: WaveSite, ports: WavePorts) -> tuple[GateJudged, ...]:
    """Return how all entry gates stand on fresh evidence; a wave that is open keeps that evidence as its preflight."""
    wave = site.wave(name)
    held = ports.waves.find(name)
    goes_on = held is not None and held.ended_at is None and held.holder == site.operator
    if held is not None and goes_on:
        record = held_wave(name, ports, site.operator)[1]
    else:
        record = WaveRecord(opened_by=site.operator, attempt=ports.apply.clock.now().strftime("%Y%m%d-%H%M%S"), head=None)
    look = look_at(name, wave, site, ports, attempt=record.attempt, what="preflight")
    plan = ports.apply.plans.get(record.last_plan.plan) if record.last_plan is not None else None
    judged = judge_gates(wave, "entry", case_of(wave, record, site, ports, look=look, plan=plan))
    if held is not None and goes_on and held.state in ("open", "planned"):
        kept = record.model_copy(update={"preflight": look.looked})
        ports.waves.write(held, state=held.state, record=kept.plain(), now=ports.apply.clock.now())
    return judged


def abort_wave(name: str, site: WaveSite, ports: WavePorts, *, reason: str) -> str:
    """End a wave without its gates; what is half done keeps its open receipts, which block the next wave on that host. Return the receipt's key."""
    held, record = held_wave(name, ports, site.operator)
    chain = [receipt for _, receipt in sound_chain(ports.apply.receipts, now=ports.apply.clock.now())]
    left = [receipt.key for receipt in open_intents(chain) if receipt.plan in {one.plan for one in record.plans}]
    ports.waves.write(held, state="aborted", record=record.plain(), now=ports.apply.clock.now(), ended=True)
    return put_on_record("abort", name, site, ports, outcome="interrupted", reason=reason, told={"attempt": record.attempt, "unclosed": left})


def refuse_shut(what: str, judged: Sequence[GateJudged]) -> None:
    """Raise `UnknownError` where a gate is UNKNOWN, `RefusedError` where one is shut, with all of them."""
    told = shut(judged)
    if not told:
        return
    listed = "\n  ".join(told)
    text = f"{what}, {len(told)} of {len(judged)} gates are not open:\n  {listed}\nNothing was changed."
    raise UnknownError(text) if any(one.verdict == "UNKNOWN" for one in judged) else RefusedError(text)


def _refuse_unclosed(name: str, wave: Wave, chain: Sequence[Receipt]) -> None:
    still = [receipt for receipt in open_intents(chain) if receipt.host in wave.hosts]
    if still:
        told = "; ".join(f"{one.key} on {one.host} since {one.at}" for one in still)
        raise RefusedError(
            f"wave {name} does not open: an earlier run left receipts unclosed: {told}. Nothing was changed. Resume it with its plan, or take it "
            f"back: controlplane rollback {still[0].run}"
        )
