"""What a dry run of a rollback tells: whether each host could go back now, and what would start, stop and change there. Nothing is changed.

Rules:
- Evidence is fresh; a host that was not observed, or that another run or a wave holds, keeps the rollback from being begun, and is said.
- The role itself is asked, in check mode, for each run that would go back: what its undo would refuse it refuses here, in the same words.
- What a host did not tell is UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.finding import Verdict
from controlplane.domain.receipt import Receipt
from controlplane.domain.releases.gate import GateLine
from controlplane.domain.releases.history import Deployment
from controlplane.domain.releases.lease import holder_of, shown
from controlplane.domain.releases.values import EnvironmentName
from controlplane.domain.run_key import make_run_key
from controlplane.domain.site_view import SiteView
from controlplane.domain.values import Value
from controlplane.ports.plays import StepResult
from controlplane.usecases.apply_guards import held_by_another
from controlplane.usecases.ask_release import dry_result, verdict_of
from controlplane.usecases.hold_release import leases_of
from controlplane.usecases.hosts_in_wave import wave_line
from controlplane.usecases.judge_hosts import judge_site
from controlplane.usecases.release_case import Progress, ReleasePorts, ReleaseSite, history
from controlplane.usecases.release_way_back import WayBack, wanted_by, way_back
from controlplane.usecases.rollback_guards import open_rollback

Seen = Mapping[str, Evidence | Unreached]


class OnReturn(Value):
    """What one host would become: what it runs now, by fresh evidence; files and services that change (target, before, after); what is pulled."""

    host: str
    runs: str
    files: tuple[dict[str, str], ...] = ()
    services: tuple[dict[str, str], ...] = ()
    pull: tuple[str, ...] = ()


class RehearsedReturn(NamedTuple):
    """A way back, what speaks for and against it now, and what each host would become; neither where it is back already."""

    back: WayBack
    lines: tuple[GateLine, ...]
    hosts: tuple[OnReturn, ...]


def rehearse_return(
    site: ReleaseSite, stack: str, name: EnvironmentName, to: str | None, ports: ReleasePorts, *, progress: Progress
) -> RehearsedReturn:
    """Return what a rollback would do. Raises as `way_back` does, and `InterruptedRunError`."""
    back = way_back(site, stack, name, to, ports)
    if back.already is not None:
        return RehearsedReturn(back, (), ())
    chain = tuple(receipt for _, receipt in ports.apply.receipts.load())
    on_hosts = [one for one in history(site, stack, name, chain, ports.apply).hosts if one.host in back.hosts]
    progress(f"{stack} in {name}: what runs, by evidence")
    brought = {one.host: one.current for one in on_hosts if one.current is not None}
    # What is asked of a host is what was brought there.
    view = site.view.releasing({host: wanted_by(one, ports) for host, one in brought.items()})
    chosen = view.chosen(back.hosts)
    seen = ports.apply.evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})
    runs = _runs_now(view, stack, brought, seen, ports)
    lines = [*_held(site, stack, name, ports), *_in_wave(back, ports)]
    hosts: list[OnReturn] = []
    for one in on_hosts:
        going = [each for run in back.runs for each in reversed(one.deployments) if each.run == run and each.state != "undone"]
        observed = _observed(one.host, seen, going, chain, ports)
        lines.append(observed)
        said: dict[str, Any] = {}
        if going and observed.verdict is Verdict.MET:
            line, said = _asked(site, going, ports, progress)
            lines.append(line)
        hosts.append(OnReturn(host=one.host, runs=runs.get(one.host, "no release was brought here"), **said))
    return RehearsedReturn(back, tuple(lines), tuple(hosts))


def _held(site: ReleaseSite, stack: str, name: EnvironmentName, ports: ReleasePorts) -> list[GateLine]:
    own, now = holder_of(site.operator, ports.apply.locks.place), ports.apply.clock.now()
    held = next((one for one in leases_of(stack, ports.leases) if one.holder != own and one.leased(now)), None)
    if held is None:
        return []
    what = "it" if held.environment == name else f"{stack} in {held.environment}"
    told = f"{shown(held.holder)} changes {what}, release {held.verb} since {held.taken_at}, by a lease until {held.expires_at}"
    return [GateLine(name="lease", verdict=Verdict.DRIFTED, reason=told, next="wait for it")]


def _in_wave(back: WayBack, ports: ReleasePorts) -> list[GateLine]:
    line = wave_line(back.hosts if back.runs else (), ports.waves)
    return [] if line.verdict is Verdict.MET else [line]


def _runs_now(view: SiteView, stack: str, brought: Mapping[str, Deployment], seen: Seen, ports: ReleasePorts) -> dict[str, str]:
    """Return what D249 says of what was brought to each host last."""
    if not brought:
        return {}
    report = judge_site(view, hosts=tuple(brought), seen=seen, now=ports.apply.clock.now())
    found = [one for one in report.findings if (one.check, one.surface) == ("D249", f"release:{stack}")]
    return {one.host: f"{brought[one.host].manifest_name}: {one.verdict.value}: {one.reason}" for one in found}


def _observed(host: str, seen: Seen, going: Sequence[Deployment], chain: Sequence[Receipt], ports: ReleasePorts) -> GateLine:
    record = seen.get(host) or Unreached(host=host, reason="it gave no evidence")
    name = f"evidence of {host}"
    if isinstance(record, Unreached):
        return GateLine(name=name, verdict=Verdict.UNKNOWN, reason=f"it was not reached: {record.reason}")
    if not record.reached:
        return GateLine(name=name, verdict=Verdict.UNKNOWN, reason="its hypervisor answers, it does not")
    own = {one.key for one in going}
    own |= {again for key in own if (again := open_rollback(key, tuple(chain))) is not None}
    held = held_by_another({host: record}, own=frozenset(own), now=ports.apply.clock.now())
    if held is not None:
        return GateLine(name=name, verdict=Verdict.DRIFTED, reason=held.replace(" Nothing was changed.", ""))
    return GateLine(name=name, verdict=Verdict.MET, reason="it was observed, and no other run holds it")


def _asked(site: ReleaseSite, going: Sequence[Deployment], ports: ReleasePorts, progress: Progress) -> tuple[GateLine, dict[str, Any]]:
    """Ask a host for each of its runs that would go back, the newest first; what it would become is what the last one says."""
    host, passed, apply = going[0].host, list[str](), ports.apply
    name, said = f"Docker of {host}", dict[str, Any]()
    for one in going:
        plan = apply.plans.get(one.plan)
        step = next(step for step in plan.steps if step.host == host)
        told_of = step.model_copy(update={"variables": {**step.variables, "compose_stack_rollback_passed": list(passed)}})
        key = make_run_key(step.capability, apply.clock.now(), apply.entropy.four_hex())
        result = dry_result(site, told_of, key, ports, progress, undoes={step.id: one.key})
        passed.append(one.key)
        if _never_came(one, result):
            continue
        told = (result.told.get("told") or {}).get("undo")
        against = verdict_of(result)
        if against is not None or told is None:
            verdict, why = against or (Verdict.UNKNOWN, "it did not say what would change")
            return GateLine(name=name, verdict=verdict, reason=why), {}
        said = {key: tuple(told[key]) for key in ("files", "services", "pull")}
    reason = "its undo finds nothing in its way: the images are there or in their registry, and Compose reads the files"
    return GateLine(name=name, verdict=Verdict.MET, reason=reason if said else "nothing of it is on the host: there is nothing to undo"), said


def _never_came(one: Deployment, result: StepResult) -> bool:
    """Say whether a deployment that did not end well never came to its host: then no undo lies there, and none is needed."""
    return one.state != "done" and result.status == "failed" and f"knows no run {one.key}" in result.message
