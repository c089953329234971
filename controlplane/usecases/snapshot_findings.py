"""snapshot: every STOR finding with its gaps, loops and waves, and what its checks say now.

Rules:
- Every check that a finding names is judged, also one that is not by default, and the site's own: a part of them gives no verdict.
- A named check that said nothing, or could not observe all of it, makes the finding UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from controlplane.domain.checks import CHECKS
from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.finding import AuditReport, Finding, Verdict, summarise
from controlplane.domain.gates.marks import marked
from controlplane.domain.gates.values import SITE
from controlplane.domain.governance import Governance
from controlplane.domain.registers import Registers, StorFinding
from controlplane.domain.site_view import SiteView
from controlplane.domain.values import Value
from controlplane.ports.clocks import Clock
from controlplane.ports.gates import SiteChecks
from controlplane.ports.hosts import EvidenceSource
from controlplane.usecases.audit import judge, refuse_one_machine_twice


class FindingNow(Value):
    """One STOR finding. `verdict` is the weightiest of what its checks say of it now, UNKNOWN where one of them could not (`unsaid`).

    None where no check judges it, or none of its hosts was looked at.
    """

    id: str
    title: str
    severity: str
    status: str
    root_cause: str | None
    waves: tuple[str, ...]
    gaps: dict[str, str]
    loops: dict[str, str]
    checks: tuple[str, ...]
    linked: bool
    faults: tuple[str, ...]
    verdict: Verdict | None
    findings: tuple[Finding, ...]
    unsaid: tuple[str, ...] = ()


class Snapshot(Value):
    """All of them, and what was not foreseen: drift that belongs to no STOR finding."""

    site: str | None
    judged_at: str
    stor: tuple[FindingNow, ...]
    unregistered: tuple[Finding, ...]

    def exit_code(self) -> int:
        """Return 5 where anything is UNKNOWN, 3 where a finding is not linked or a drift belongs to none, else 0."""
        seen = [one.verdict for one in self.stor] + [one.verdict for one in self.unregistered]
        if Verdict.UNKNOWN in seen:
            return 5
        return 3 if self.unregistered or any(not one.linked for one in self.stor) else 0


_WEIGHT = (Verdict.UNKNOWN, Verdict.DRIFTED, Verdict.WAIVED, Verdict.MET)


def take_snapshot(
    site: SiteView, governance: Governance, *, hosts: tuple[str, ...], clock: Clock, evidence: EvidenceSource, site_checks: SiteChecks
) -> Snapshot:
    """Look once at the named hosts, or all, and return the snapshot. Raises `InputInvalidError` where the site has no registers."""
    registers = _registers(governance)
    chosen = site.chosen(hosts)
    seen = evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})
    refuse_one_machine_twice(seen, [desired.host for desired, _ in chosen])
    desired, now = [one for one, _ in chosen], clock.now()
    report = judge(seen, desired, only=None, site=site, now=now, max_age=site.max_age)
    named = {check for held in registers.findings.values() for check in held.checks}
    judged = {(one.check, one.host) for one in report.findings}
    more = judge(seen, desired, only=frozenset(named & CHECKS.keys()), site=site, now=now, max_age=site.max_age, digests=False).findings
    own = {check: held for check, held in site.gates.checks.items() if check in named}
    ran = marked(site_checks.run(own, [route for _, route in chosen]), site.gates, site.registers) if own else ()
    findings = (*report.findings, *(one for one in more if (one.check, one.host) not in judged), *ran)
    return snapshot(report.model_copy(update={"findings": findings, "summary": summarise(findings)}), governance)


def snapshot(report: AuditReport, governance: Governance) -> Snapshot:
    """Return the snapshot of a report of every check that a finding names. Raises `InputInvalidError` where there are no registers."""
    registers = _registers(governance)
    looked = [row.host for row in report.hosts]
    rows = []
    for row in governance.linkages():
        held = registers.findings[row.id]
        own = tuple(one for one in report.findings if row.id in one.stor)
        unsaid = _unsaid(held, looked, report.findings)
        rows.append(
            FindingNow(
                id=row.id,
                title=held.title,
                severity=held.severity,
                status=held.status,
                root_cause=held.root_cause,
                waves=held.waves,
                gaps={gap: registers.gaps[gap].status if gap in registers.gaps else "missing" for gap in row.gaps},
                loops={loop: registers.loops[loop].status if loop in registers.loops else "missing" for loop in row.loops},
                checks=held.checks,
                linked=not row.faults,
                faults=row.faults,
                verdict=Verdict.UNKNOWN if unsaid else _worst(own),
                findings=own,
                unsaid=unsaid,
            )
        )
    loose = tuple(one for one in report.findings if not one.stor and one.verdict in (Verdict.DRIFTED, Verdict.UNKNOWN))
    return Snapshot(site=report.site, judged_at=report.judged_at, stor=tuple(rows), unregistered=loose)


def _registers(governance: Governance) -> Registers:
    registers = governance.checked_registers()
    if governance.registers is None:
        raise InputInvalidError([Fault("registers", 0, "", "the site has none: write registers/gaps.yml, loops.yml and findings.yml")])
    return registers


def _unsaid(held: StorFinding, looked: Collection[str], findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return which of a finding's checks said nothing, or could not observe all of it, on its hosts that were looked at.

    A surface that a check does not show any more is gone; one that it could not observe may be there.
    """
    hosts = {host for host in looked if not held.hosts or host in held.hosts}
    told: list[str] = []
    for check in held.checks if hosts else ():
        # What is said of the site is said of every host.
        said = [one for one in findings if one.check == check and one.host in (*hosts, SITE)]
        told += [] if said else [f"{check}: nothing was judged of it"]
        told += [f"{check} on {one.host}: {one.reason}" for one in said if one.verdict is Verdict.UNKNOWN]
    return tuple(dict.fromkeys(told))


def _worst(findings: Sequence[Finding]) -> Verdict | None:
    return min((one.verdict for one in findings), key=_WEIGHT.index, default=None)
