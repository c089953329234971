"""snapshot: every STOR finding with its gaps, loops and waves, and what its checks say now."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.finding import AuditReport, Finding, Verdict
from controlplane.domain.governance import Governance
from controlplane.domain.values import Value


class FindingNow(Value):
    """One STOR finding. `verdict` is the weightiest of what its checks say of it now; None where no check of these judges it."""

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


def snapshot(report: AuditReport, governance: Governance) -> Snapshot:
    """Return the snapshot of an audit. Raises `InputInvalidError` where the site has no registers, or they can't be read."""
    registers = governance.checked_registers()
    if governance.registers is None:
        raise InputInvalidError([Fault("registers", 0, "", "the site has none: write registers/gaps.yml, loops.yml and findings.yml")])
    rows = []
    for row in governance.linkages():
        held = registers.findings[row.id]
        own = tuple(one for one in report.findings if row.id in one.stor)
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
                verdict=_worst(own),
                findings=own,
            )
        )
    loose = tuple(one for one in report.findings if not one.stor and one.verdict in (Verdict.DRIFTED, Verdict.UNKNOWN))
    return Snapshot(site=report.site, judged_at=report.judged_at, stor=tuple(rows), unregistered=loose)


def _worst(findings: Sequence[Finding]) -> Verdict | None:
    return min((one.verdict for one in findings), key=_WEIGHT.index, default=None)
