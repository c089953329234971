"""Look at every host of a wave once, keep what was seen, and judge it: the evidence that gates open and close on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.finding import Finding
from controlplane.domain.gates.report import GateReport
from controlplane.domain.plan import Plan
from controlplane.domain.waves.gates import GateCase
from controlplane.domain.waves.record import GateJudged, Looked, PackRan, Planned, WaveRecord
from controlplane.domain.waves.values import ApprovalGate, Wave
from controlplane.domain.windows import Opening, next_opening, open_now
from controlplane.usecases.approval_guard import judge_approval
from controlplane.usecases.audit import judge
from controlplane.usecases.gate_standings import history_of, standings
from controlplane.usecases.judge_hosts import judge_by_two
from controlplane.usecases.plan_again import observe
from controlplane.usecases.record_run import STAMP
from controlplane.usecases.run_gates import host_digests, run_gates
from controlplane.usecases.wave_ports import WavePorts, WaveSite, last_run_of


class Look(NamedTuple):
    """What was seen of a wave's hosts, and what is said of it; `pack` is the run of the wave's pack on the same evidence."""

    seen: Mapping[str, Evidence | Unreached]
    findings: tuple[Finding, ...]
    looked: Looked
    pack: GateReport | None


def look_at(name: str, wave: Wave, site: WaveSite, ports: WavePorts, *, attempt: str, what: Literal["preflight", "post"]) -> Look:
    """Collect once from every host of the wave, keep the evidence, judge it, and run the wave's pack on it.

    After changes (`post`) what is MET has to be confirmed by the second witness.
    """
    seen = observe(site.view, wave.seen, ports.apply)
    now = ports.apply.clock.now()
    desired = [one for one, _ in site.view.chosen(wave.seen)] if wave.seen else []
    if what == "post" and desired:
        report = judge_by_two(site.view, hosts=wave.seen, seen=seen, now=now, witness=ports.apply.witness)
    else:
        report = judge(seen, desired, only=None, site=site.view, now=now, max_age=site.view.max_age)
    pack = None
    if wave.pack is not None:
        pack = run_gates(site.view, pack=wave.pack, hosts=wave.seen, operator=site.operator, ports=ports.gates, seen=seen, more=wave.checks)
    judged = {one.check for one in report.findings}
    findings = (*report.findings, *(one for one in (pack.findings if pack else ()) if one.check not in judged))
    looked = Looked(
        at=now.strftime(STAMP),
        file=ports.folder.keep_evidence(name, attempt, what, seen),
        evidence={host: one.digest() for host, one in seen.items() if isinstance(one, Evidence)},
        summary=report.summary,
    )
    return Look(seen, findings, looked, pack)


def pack_ran(report: GateReport, after: str) -> PackRan:
    """Return what the wave keeps of a run of its pack."""
    bad = report.not_passed()
    reason = "; ".join(f"{one.check} on {one.host}: {one.reason}" for one in bad) or "every check passed"
    return PackRan(run=report.run, at=report.judged_at, after=after, passed=not bad, reason=reason)


def opening_now(wave: Wave, site: WaveSite, now: datetime) -> tuple[Opening | None, str | None]:
    """Return the window that is open, and None; or why none is. Without windows any time will do."""
    windows = wave.windows or site.view.windows
    if not windows:
        return None, None
    opening = open_now(windows, timezone=site.view.timezone, now=now)
    if opening is not None:
        return opening, None
    coming = next_opening(windows, timezone=site.view.timezone, now=now)
    return None, f"no maintenance window is open; the next one is {coming}"


def case_of(
    wave: Wave,
    record: WaveRecord,
    site: WaveSite,
    ports: WavePorts,
    *,
    look: Look | None,
    plan: Plan | None = None,
    planned: Planned | None = None,
) -> GateCase:
    """Return what gates are judged on, now."""
    now = ports.apply.clock.now()
    hosts = record.without_carved(wave.seen)
    digests = None if look is None else {host: digest for host, digest in host_digests(look.seen).items() if digest != "unreached"}
    last = planned or record.last_plan
    return GateCase(
        hosts=hosts,
        findings=None if look is None else look.findings,
        registers=site.governance.registers,
        history=lambda check, host: history_of(ports.gates.runs, check, host),
        standings=lambda checks, names: standings(
            site.view, checks=checks, hosts=names, runs=ports.gates.runs, checkers=ports.gates.checkers, now=now, seen=digests
        ),
        closed_waves={held.wave: held.state for held in ports.waves.waves()},
        unlinked=[*map(str, site.governance.register_faults), *(f"{rule.id}: {rule.message}" for rule in site.governance.broken)],
        packs=(*record.packs, *((pack_ran(look.pack, "*"),) if look is not None and look.pack is not None else ())),
        changed_at=_changed_at(record),
        window=opening_now(wave, site, now)[1],
        approval=_approval(wave, site, ports, last, now),
        undo=_undo(plan),
        backup=lambda most: _backup(ports, most),
    )


def _changed_at(record: WaveRecord) -> datetime | None:
    ran = [one.run for one in record.plans if one.run is not None]
    # A run's key begins with its time; the pack that followed its last step is newer.
    return datetime.strptime(ran[-1][4:19], "%Y%m%d-%H%M%S").replace(tzinfo=UTC) if ran else None


def _approval(wave: Wave, site: WaveSite, ports: WavePorts, planned: Planned | None, now: datetime) -> str | None:
    if planned is None:
        return "there is no plan yet that could be approved"
    asked = [gate.by for gate in wave.entry if isinstance(gate, ApprovalGate)]
    strict = [site.view.approval, *(by for by in asked if by is not None)]
    demanded: Literal["none", "self", "other"] = "other" if "other" in strict else "self" if "self" in strict or asked else "none"
    chain = [receipt for _, receipt in ports.apply.receipts.load()]
    # A run that was killed had no time to tell the wave of itself.
    ran = last_run_of(planned.plan, ports)
    return judge_approval(planned.plan, demanded=demanded, operator=site.operator, approvals=ports.apply.approvals, chain=chain, run=ran, now=now)[1]


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
