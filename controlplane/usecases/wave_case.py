"""What the gates of a wave are judged on, and which gates hold whether its file names them or not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from controlplane.domain.approval import Approval
from controlplane.domain.errors import RefusedError
from controlplane.domain.gates.promoted import promoted
from controlplane.domain.gates.run_order import beginnings, in_order
from controlplane.domain.plan import Plan
from controlplane.domain.receipt import Receipt
from controlplane.domain.site_view import SiteView
from controlplane.domain.waves.changed import last_change
from controlplane.domain.waves.gates import GateCase
from controlplane.domain.waves.record import GateJudged, Planned, WaveRecord
from controlplane.domain.waves.values import ApprovalGate, ClosedGate, FreshBackupGate, Gate, UndoGate, Wave, WindowGate
from controlplane.domain.windows import Opening, open_now, why_shut
from controlplane.usecases.approval_guard import judge_approval
from controlplane.usecases.closed_waves import proven_state
from controlplane.usecases.gate_standings import history_of, standings
from controlplane.usecases.look_at_wave import Look, pack_ran
from controlplane.usecases.run_gates import host_digests
from controlplane.usecases.wave_ports import WavePorts, WaveSite, loaded, without_end


def governed(wave: Wave, view: SiteView) -> Wave:
    """Return the wave with the gates that hold for every change of machines, whether its file names them or not."""
    if wave.mutation != "controlled":
        return wave
    kinds = {gate.kind for gate in wave.entry}
    implied: list[Gate] = []
    if "window" not in kinds and (wave.windows or view.windows):
        implied.append(WindowGate(kind="window"))
    if "approval" not in kinds and view.approval != "none":
        implied.append(ApprovalGate(kind="approval"))
    if "undo" not in kinds:
        implied.append(UndoGate(kind="undo"))
    if "backup" not in kinds and view.backup_gate is not None:
        implied.append(FreshBackupGate(kind="backup", max_age=view.backup_gate.max_age))
    return wave.model_copy(update={"entry": (*wave.entry, *implied)})


def demanded_of(wave: Wave, site: WaveSite) -> Literal["none", "self", "other"]:
    """Return whose approval a plan of the wave needs: what the site asks for, or what the wave does where that is stricter."""
    asked = [gate.by for gate in wave.entry if isinstance(gate, ApprovalGate)]
    strict = [site.view.approval, *(by for by in asked if by is not None)]
    return "other" if "other" in strict else "self" if "self" in strict or asked else "none"


def opening_now(wave: Wave, site: WaveSite, now: datetime) -> tuple[Opening | None, str | None]:
    """Return the window that is open, and None; or why none is. Without windows any time will do."""
    windows = wave.windows or site.view.windows
    if not windows:
        return None, None
    return open_now(windows, timezone=site.view.timezone, now=now), why_shut(windows, timezone=site.view.timezone, now=now)


def case_of(
    name: str,
    wave: Wave,
    record: WaveRecord,
    site: WaveSite,
    ports: WavePorts,
    *,
    look: Look | None,
    plan: Plan | None = None,
    planned: Planned | None = None,
    now: datetime | None = None,
) -> GateCase:
    """Return what gates are judged on; `now` is the site's time where that is known."""
    now = now or ports.apply.clock.now()
    hosts = record.without_carved(wave.seen)
    digests = None if look is None else {host: digest for host, digest in host_digests(look.seen).items() if digest != "unreached"}
    last = planned or record.last_plan
    chain = loaded(ports)
    began = beginnings(chain)
    return GateCase(
        hosts=hosts,
        carved=record.out,
        findings=None if look is None else look.findings,
        registers=site.governance.registers,
        # What says nothing is passed over as in a promotion.
        history=lambda check, host: in_order((run for run in history_of(ports.gates.runs, check, host) if not run.says_nothing(now)), began, now),
        interval=site.view.gates.promotion.interval,
        standings=lambda checks, names: standings(
            site.view, checks=checks, hosts=names, runs=ports.gates.runs, checkers=ports.gates.checkers, began=began, now=now, seen=digests
        ),
        closed_waves=_states(wave, chain, ports),
        unlinked=[*map(str, site.governance.register_faults), *(f"{rule.id}: {rule.message}" for rule in site.governance.broken)],
        packs=(*record.packs, *((pack_ran(look.pack, "*"),) if look is not None and look.pack is not None else ())),
        promoted=promoted(chain),
        changed=last_change(chain, wave=name, attempt=record.attempt, opened_at=record.opened_at, hosts=record.without_carved(wave.hosts), now=now),
        window=_window(wave, site, now),
        approval=_approval(name, wave, site, ports, planned=last, now=now),
        undo=_undo(plan),
        backup=lambda most: _backup(ports, most),
    )


def _window(wave: Wave, site: WaveSite, now: datetime) -> str | None:
    """Return why a gate that asks for a window is shut, or None. Who asks for one where there is none is not let through."""
    if not (wave.windows or site.view.windows):
        return "neither the wave nor site.yml names a window: name one, or leave this gate out"
    return opening_now(wave, site, now)[1]


def _states(wave: Wave, chain: Sequence[Receipt], ports: WavePorts) -> dict[str, str]:
    """Return the state of each wave; of those that a gate wants closed only what their receipts prove counts as closed."""
    asked = {gate.wave for gate in (*wave.entry, *wave.exit) if isinstance(gate, ClosedGate)}
    return {one.wave: proven_state(one, chain, ports.folder.read) if one.wave in asked else one.state for one in ports.waves.waves()}


def is_covered(name: str, wave: Wave, site: WaveSite, ports: WavePorts, *, planned: Planned, now: datetime) -> bool:
    """Say whether the open run of a plan goes on by the approval that it took, whoever goes on with it; or needs none."""
    if demanded_of(wave, site) == "none":
        return True
    try:
        held, _ = _judged_approval(wave, site, ports, planned=planned, now=now)
    except RefusedError:
        return False
    return held is not None and (held.wave, held.used_by) == (name, planned.run)


def _judged_approval(wave: Wave, site: WaveSite, ports: WavePorts, *, planned: Planned, now: datetime) -> tuple[Approval | None, str | None]:
    return judge_approval(
        planned.plan,
        demanded=demanded_of(wave, site),
        operator=site.operator,
        approvals=ports.apply.approvals,
        chain=loaded(ports),
        run=planned.run,
        now=now,
        author=planned.asked_by,
    )


def _approval(name: str, wave: Wave, site: WaveSite, ports: WavePorts, *, planned: Planned | None, now: datetime) -> str | None:
    if planned is None:
        return "there is no plan yet that could be approved"
    demanded = demanded_of(wave, site)
    if demanded == "other" and planned.asked_by is None and planned.run is None:
        return f"whose key made plan {planned.plan[7:19]} is not on record, and another person has to approve it: controlplane wave plan {name}"
    try:
        held, told = _judged_approval(wave, site, ports, planned=planned, now=now)
    except RefusedError as unsigned:
        return f"{without_end(str(unsigned)).rstrip('.')} (controlplane wave approve {name})"
    if demanded != "none" and (held is None or held.wave != name):
        other = "" if held is None else f", only one outside of it by {held.approver}, which no window bounds"
        return f"plan {planned.plan[7:19]} has no approval for this wave{other}: controlplane wave approve {name}"
    return None if told is None else f"{told} (controlplane wave approve {name})"


def _undo(plan: Plan | None) -> str | None:
    if plan is None:
        return "there is no plan yet whose steps could say how they are taken back"
    lacking = [step.id for step in plan.steps if not step.undo.strip()]
    return f"{', '.join(lacking)} does not say how it is taken back" if lacking else None


def _backup(ports: WavePorts, most: int) -> tuple[Literal["MET", "DRIFTED", "UNKNOWN"], str]:
    try:
        age = ports.backup.age_s()
    except ValueError as error:
        return "UNKNOWN", str(error)
    return ("MET", f"proven {age:.0f} s ago") if age <= most else ("DRIFTED", f"the proof is {age:.0f} s old, limit {most} s")


def shut(judged: Sequence[GateJudged]) -> list[str]:
    """Return the gates that do not stand open, in words."""
    return [f"{one.verdict}  {one.what}: {one.reason}" for one in judged if one.verdict != "MET"]
