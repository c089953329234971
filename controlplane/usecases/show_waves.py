"""wave list, show, status, brief: what a wave is for, where it stands, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from controlplane.domain.capabilities import CAPABILITIES
from controlplane.domain.coordination import WaveHeld
from controlplane.domain.errors import ControlPlaneError
from controlplane.domain.gates.promotion import shown
from controlplane.domain.receipt import Receipt
from controlplane.domain.waves.gates import describe
from controlplane.domain.waves.order import left_alone
from controlplane.domain.waves.record import WaveRecord, record_of
from controlplane.domain.waves.trail import gone_back, settled, standing_closing
from controlplane.domain.waves.values import DecidedGate, PromotableGate, PromotedGate, StableGate, Wave
from controlplane.domain.windows import next_opening, open_now
from controlplane.usecases.closed_waves import proven_state
from controlplane.usecases.record_run import STAMP
from controlplane.usecases.wave_case import governed
from controlplane.usecases.wave_ports import WavePorts, WaveSite, abort_command, close_command, loaded
from controlplane.usecases.wave_rest import Rest, rest_of, unseen_in


def wave_rows(site: WaveSite, ports: WavePorts) -> list[dict[str, Any]]:
    """Return each wave of the site with where it stands, the latest attempt of those that were opened; and those that go on without their file.

    `doubt` is what is missing: the file, or what proves that one is closed which the store calls so.
    """
    held = {one.wave: one for one in ports.waves.waves()}
    chain = loaded(ports)
    now = ports.apply.clock.now().strftime(STAMP)
    rows: list[dict[str, Any]] = []
    for name, wave in site.governance.checked_waves().items():
        one = held.get(name)
        record = settled(record_of(one.record), chain) if one is not None else None
        proven = proven_state(one, chain, ports.folder.read) if one is not None else None
        rows.append(
            {
                "wave": name,
                "goal": wave.goal,
                "mutation": wave.mutation,
                "hosts": list(wave.hosts),
                "read_only": list(wave.read_only),
                "state": one.state if one is not None else "not opened",
                "doubt": proven if one is not None and proven != one.state else None,
                "holder": one.holder if one is not None and one.ended_at is None else None,
                "lease_until": one.expires_at if one is not None and one.ended_at is None else None,
                "next": _next(name, governed(wave, site.view), one, record, chain, ports, now=now),
            }
        )
    return [*rows, *(_without_file(one, record_of(one.record)) for one in fileless(held.values(), site.governance.waves))]


def fileless(attempts: Iterable[WaveHeld], known: Container[str]) -> tuple[WaveHeld, ...]:
    """Return the attempts that go on and whose wave has no file any more: machines and other waves are kept from all else by them."""
    return tuple(one for one in attempts if one.ended_at is None and one.wave not in known)


def _without_file(held: WaveHeld, record: WaveRecord) -> dict[str, Any]:
    """Return the row of a wave that goes on without its file."""
    file = f"waves/{held.wave}.yml"
    return {
        "wave": held.wave,
        "goal": f"{file} is gone, which says what it is for",
        "mutation": "controlled" if held.mutating else "none",
        # Which of them it changes the file alone would say: it may be any.
        "hosts": list(record.hosts or ()) if held.mutating else [],
        "read_only": [] if held.mutating else list(record.hosts or ()),
        "state": held.state,
        "doubt": f"{file} is gone: nothing of it goes on without. Bring it back, or end this attempt",
        "holder": held.holder,
        "lease_until": held.expires_at,
        "next": f"{abort_command(held.wave)}    (or bring {file} back)",
    }


def wave_status(name: str, site: WaveSite, ports: WavePorts) -> dict[str, Any]:
    """Return all that is known of a wave: its file, its latest attempt with gates, plans, packs and carved hosts, and what is next."""
    held = ports.waves.find(name)
    rows = {one["wave"]: one for one in wave_rows(site, ports)}
    if name not in rows:
        # Neither a file nor an attempt that goes on: it says what there is.
        site.wave(name)
    row = rows[name]
    record = settled(record_of(held.record), loaded(ports)).plain() if held is not None else None
    return {**row, "opened_at": held.opened_at if held else None, "ended_at": held.ended_at if held else None, "record": record}


def _next(  # noqa: PLR0917 - all that decides it
    name: str, wave: Wave, held: WaveHeld | None, record: WaveRecord | None, chain: Sequence[Receipt], ports: WavePorts, *, now: str
) -> str | None:
    """Return the command that a wave waits for; `wave` is as it is governed, `now` a stamp."""
    if held is not None and held.state == "closed":
        return None
    if held is None or record is None or held.state == "aborted":
        return f"controlplane wave open {name}"
    if wave.mutation != "controlled" or standing_closing(name, record, chain) is not None:
        return close_command(name)
    last = record.last_plan
    if last is not None and last.is_open:
        return f"controlplane wave run {name}"
    if not record.without_carved(wave.hosts):
        return f"{abort_command(name)}    (every host was carved out)"
    try:
        rest, unseen = rest_of(record, chain, ports.apply.plans.get), unseen_in(record, ports.apply.plans.get)
    except ControlPlaneError:
        # A plan is gone: closing names the file, and other waves are shown all the same.
        rest, unseen = None, {}
    return _next_plan(name, wave, record, rest, anew=_not_as_run(name, record, chain, unseen), now=now)


def _not_as_run(name: str, record: WaveRecord, chain: Sequence[Receipt], unseen: Mapping[str, Sequence[str]]) -> str | None:
    """Return what plans once more what went back on a host that is still part of the wave, or could not be seen; None where neither is so."""
    last = record.last_plan
    if last is not None and last.run is not None and set(gone_back(last.run, chain)) - record.out:
        return f"controlplane wave plan {name}    (its last run went back in part; or take back the rest: controlplane rollback {last.run})"
    if not unseen:
        return None
    missed = next(iter(unseen.values()))
    alone = f" --capability {missed[0]}" if all(CAPABILITIES[one].only_by_name for one in missed) else ""
    return f"controlplane wave plan {name}{alone}    ({', '.join(unseen)} could not be seen by its last plan; or end it: {close_command(name)})"


def _next_plan(name: str, wave: Wave, record: WaveRecord, rest: Rest | None, *, anew: str | None, now: str) -> str:
    last = record.last_plan
    if last is None or last.outcome == "rolled-back":
        return f"controlplane wave plan {name}"
    if last.waits:
        asked = any(gate.kind == "approval" for gate in wave.entry)
        lasts = not asked or (last.approved and (last.closes is None or last.closes > now))
        return f"controlplane wave {'run' if lasts else 'approve'} {name}"
    if rest is not None:
        # What an abandoned run did not come to is not done: the wave closes by the rest of it, or not at all.
        return f"{rest.way_on(name, wave, record)}{rest.or_end(name, wave, record)}"
    stopped = left_alone(wave, record.out)
    if stopped:
        return f"{abort_command(name)}    ({next(iter(stopped.values()))}; if its exit gates hold all the same: {close_command(name)})"
    done = {capability for one in record.plans for capability in one.capabilities if one.outcome in ("done", "nothing to do")}
    left = [one for one in wave.capabilities if CAPABILITIES[one].only_by_name and one not in done]
    if left and anew is None:
        return f"controlplane wave plan {name} --capability {left[0]}    (or end it: {close_command(name)})"
    return anew or close_command(name)


def brief(name: str, site: WaveSite, ports: WavePorts) -> list[str]:
    """Return the runbook of a wave for the person who does it, line by line."""
    wave, now = governed(site.wave(name), site.view), ports.apply.clock.now()
    windows = wave.windows or site.view.windows
    opening = open_now(windows, timezone=site.view.timezone, now=now)
    coming = next_opening(windows, timezone=site.view.timezone, now=now)
    when = f"open now, {opening}" if opening else f"next {coming}" if coming else "any time"
    lines = [f"# {name}: {wave.goal}", "", f"Mutation   {wave.mutation}", f"Window     {when}"]
    lines += [f"Changes    {', '.join(wave.hosts) or 'nothing'}{_course(wave)}", f"Looks at   {', '.join(wave.read_only) or 'no other host'}"]
    lines += [f"May use    {', '.join(wave.capabilities) or 'no capability'}", f"Gaps       {', '.join(wave.gaps) or 'none'}"]
    for phase, gates in (("Entry", wave.entry), ("Exit", wave.exit)):
        lines += ["", f"## {phase} gates", *(f"- {describe(gate)}" for gate in gates), *(["- none"] if not gates else [])]
    lines += ["", "## Commands", *_commands(name, wave, site.view.gates.promotion.interval)]
    lines += [
        "",
        "## It has to leave behind",
        *(f"- {output}" for output in wave.outputs),
        *(["- nothing in particular"] if not wave.outputs else []),
    ]
    return lines


def _course(wave: Wave) -> str:
    if len(wave.hosts) < 2:
        return ""
    return f" (first {wave.hosts[0]} alone, then {wave.batch} at a time; at most {wave.failure_limit} may fail)"


def _commands(name: str, wave: Wave, interval: int) -> list[str]:
    """Return the commands in their order; `interval` is how far apart runs have to be where a gate does not say."""
    quoted = shlex.quote(name)
    steps = [f"controlplane wave preflight {quoted}    (looks; changes nothing)", f"controlplane wave open {quoted}"]
    if wave.mutation == "controlled":
        steps += [
            f"controlplane wave plan {quoted}    (read the preview: steps, downtime, destructive actions)",
            f"controlplane wave approve {quoted}    (whoever approves; bound to the plan, its hosts and the window)",
            f"controlplane wave run {quoted}    (within the window; interrupted or stopped, the same command goes on)",
        ]
    lines = [f"{number}. {step}" for number, step in enumerate(steps, 1)]
    if wave.mutation == "controlled":
        alone = [one for one in wave.capabilities if CAPABILITIES[one].only_by_name]
        lines += [
            *(f"   then 3 to 5 once more: controlplane wave plan {quoted} --capability {one}" for one in alone),
            "   Way back: controlplane rollback RUN    (RUN stands in 'controlplane runs list'; at any time, it asks no window)",
            "   Way back without a controller, on the host itself: /var/lib/controlplane/RUN/undo",
        ]
    last = [*_for_exit(wave, interval), f'controlplane wave close {quoted} --attest "what you attest"']
    return [*lines, *(f"{number}. {step}" for number, step in enumerate(last, len(steps) + 1))]


def _for_exit(wave: Wave, interval: int) -> list[str]:
    """Return what a person does for exit gates that neither a run of the wave nor its closing brings about."""
    steps = []
    stable = [gate for gate in wave.exit if isinstance(gate, StableGate) and gate.runs > 1]
    if stable:
        runs = max(gate.runs for gate in stable)
        apart = shown(timedelta(seconds=max(gate.interval or interval for gate in stable)))
        run = f"controlplane gates run {wave.pack}" if wave.pack is not None else "controlplane gates run"
        steps.append(f"{run}    (until {runs} runs in a row passed, each {apart} after the one before at least; closing makes one itself)")
    for gate in wave.exit:
        if isinstance(gate, PromotableGate | PromotedGate):
            where = " ".join(f"--host {shlex.quote(host)}" for host in gate.hosts or wave.seen)
            steps += [
                f"controlplane gates promote {' '.join(gate.checks)} {where} --out promotion.json    (which runs count; promote, or hold)",
                "controlplane approve promotion.json    (whoever approves)",
                "controlplane gates promote --apply promotion.json    (then commit gates.yml)",
            ]
        elif isinstance(gate, DecidedGate):
            steps.append(f"controlplane gaps close GAP    (each that is open of {', '.join(gate.gaps)}: on its runs, or with --accept REASON)")
    # Two gates may ask for one and the same.
    return list(dict.fromkeys(steps))
