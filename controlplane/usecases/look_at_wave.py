"""Look at every host of a wave once, keep what was seen, and judge it: the evidence that gates open and close on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from controlplane.domain.checks import CHECKS
from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import UnknownError
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.finding import Finding
from controlplane.domain.gates.marks import marked
from controlplane.domain.gates.report import GateReport
from controlplane.domain.waves.record import Looked, PackRan
from controlplane.domain.waves.values import Wave
from controlplane.usecases.audit import judge, refuse_one_machine_twice
from controlplane.usecases.judge_hosts import judge_by_two
from controlplane.usecases.plan_again import observe
from controlplane.usecases.record_run import STAMP
from controlplane.usecases.run_gates import run_gates
from controlplane.usecases.wave_ports import WavePorts, WaveSite


class Look(NamedTuple):
    """What was seen of a wave's hosts, and what is said of it; `pack` is the run of the wave's pack on the same evidence."""

    seen: Mapping[str, Evidence | Unreached]
    findings: tuple[Finding, ...]
    looked: Looked
    pack: GateReport | None

    @property
    def reached(self) -> bool:
        """Say whether every host gave evidence."""
        return all(isinstance(one, Evidence) for one in self.seen.values())


def look_at(
    name: str, wave: Wave, site: WaveSite, ports: WavePorts, *, attempt: str, what: Literal["preflight", "post"], out: Collection[str] = ()
) -> Look:
    """Collect once from every host of the wave, keep the evidence, judge it, and run the wave's pack on it, but for the hosts that were carved `out`.

    After changes (`post`) what is MET has to be confirmed by the second witness.
    """
    seen = observe(site.view, wave.seen, ports.apply)
    refuse_one_machine_twice(seen, wave.seen)
    now = ports.apply.clock.now()
    desired = [one for one, _ in site.view.chosen(wave.seen)] if wave.seen else []
    if what == "post" and desired:
        report = judge_by_two(site.view, hosts=wave.seen, seen=seen, now=now, witness=ports.apply.witness)
    else:
        report = judge(seen, desired, only=None, site=site.view, now=now, max_age=site.view.max_age)
    pack = None
    if wave.pack is not None:
        hosts = hosts_of_pack(wave, out)
        left = {host: one for host, one in seen.items() if host in hosts}
        pack = run_gates(site.view, pack=wave.pack, hosts=hosts, operator=site.operator, ports=ports.gates, seen=left, more=wave.checks)
    more = pack.findings if pack is not None else _named(wave, site, ports, desired=desired, seen=seen, now=now)
    judged = {(one.check, one.host) for one in report.findings}
    findings = (*report.findings, *(one for one in more if (one.check, one.host) not in judged))
    looked = Looked(
        at=now.strftime(STAMP),
        # Never over an earlier look: what receipts and records name stays as it was.
        file=ports.folder.keep_evidence(name, attempt, f"{what}-{now:%Y%m%d-%H%M%S}", seen),
        evidence={host: one.digest() for host, one in seen.items() if isinstance(one, Evidence)},
        summary=report.summary,
    )
    return Look(seen, findings, looked, pack)


def hosts_of_pack(wave: Wave, out: Collection[str]) -> tuple[str, ...]:
    """Return the hosts that the wave's pack is run on: what was carved `out` is not asked about any more.

    Where that is all of them the pack says how they stand: nothing closes on it, and without a host it would be run on the whole site.
    """
    return tuple(host for host in wave.seen if host not in out) or wave.seen


def _named(
    wave: Wave, site: WaveSite, ports: WavePorts, *, desired: Sequence[DesiredHost], seen: Mapping[str, Evidence | Unreached], now: datetime
) -> tuple[Finding, ...]:
    """Judge the checks that the gates name, for a wave that runs no pack: also those that are not judged by default, and the site's own."""
    builtin = frozenset(check for check in wave.checks if check in CHECKS)
    found = judge(seen, desired, only=builtin, site=site.view, now=now, max_age=site.view.max_age).findings if builtin else ()
    own = {check: held for check, held in site.view.gates.checks.items() if check in wave.checks}
    if not own:
        return found
    routes = [route for _, route in site.view.chosen(wave.seen)] if wave.seen else []
    ran = ports.gates.site_checks.run(own, routes)
    return (*found, *marked(ran, site.view.gates, site.view.registers))


def refuse_unreached(what: str, look: Look, hosts: Sequence[str], again: str) -> None:
    """Raise `UnknownError` where one of these hosts gave no evidence."""
    blind = why_unreached(look, hosts)
    if blind is not None:
        raise UnknownError(f"{what}: {blind}. Restore them, then: {again}")


def why_unreached(look: Look, hosts: Sequence[str]) -> str | None:
    """Return which of these hosts gave no evidence, None where each did."""
    blind = {host: one for host, one in look.seen.items() if host in hosts and isinstance(one, Unreached)}
    told = "; ".join(f"{host}: {one.reason}" for host, one in sorted(blind.items()))
    return f"{len(blind)} of {len(hosts)} hosts could not be observed, limit 0 ({told})" if blind else None


def pack_ran(report: GateReport, after: str) -> PackRan:
    """Return what the wave keeps of a run of its pack: how the pack's own checks went. What gates name beside them, those gates ask."""
    bad = report.pack_not_passed()
    reason = "; ".join(f"{one.check} on {one.host}: {one.reason}" for one in bad) or "every check passed"
    unknown = any(one.verdict == "UNKNOWN" for one in bad)
    return PackRan(run=report.run, pack=report.pack, at=report.judged_at, after=after, passed=not bad, unknown=unknown, reason=reason)
