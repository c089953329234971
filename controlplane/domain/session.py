"""What an operator's session begins with: where things stand, and what drifted or was mended since the last one."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from controlplane.domain.finding import AuditReport, Finding, Verdict, summarise
from controlplane.domain.values import Value
from controlplane.domain.waiver_ends import WaiverEnd

_BAD = (Verdict.DRIFTED, Verdict.UNKNOWN)


class SessionStart(Value):
    """`since` is when the last session began; `drifted` and `mended` compare with it. None for the first, and where `lost` says what became of it.

    `ended` are waivers of which a limit is crossed, seen here first of all.
    """

    site: str | None
    at: str
    operator: str
    since: str | None
    lost: str | None = None
    report: AuditReport
    drifted: tuple[Finding, ...]
    mended: tuple[Finding, ...]
    open_runs: tuple[str, ...]
    waves: tuple[dict[str, Any], ...]
    gaps: dict[str, int]
    loops: dict[str, int]
    proposed: tuple[str, ...]
    ended: tuple[WaiverEnd, ...] = ()
    receipt: str | None = None

    def exit_code(self) -> int:
        """Return 5 where something could not be observed, 3 where anything drifts, else 0."""
        return self.report.exit_code()


def compared(now: Sequence[Finding], before: Sequence[Finding]) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """Return (what drifts or is unknown and did not or was not before, what did and does not any more).

    What is no longer named is mended only where nothing of its check is UNKNOWN on its host: who sees nothing names no surfaces.
    """
    then = {_place(one): one.verdict for one in before}
    here = {_place(one): one.verdict for one in now}
    blind = {(one.check, one.host) for one in now if one.verdict is Verdict.UNKNOWN}
    drifted = tuple(one for one in now if one.verdict in _BAD and then.get(_place(one)) is not one.verdict)
    gone = (one for one in before if one.verdict in _BAD and here.get(_place(one)) not in _BAD)
    mended = tuple(one for one in gone if _place(one) in here or (one.check, one.host) not in blind)
    return drifted, mended


def remembered(seen: AuditReport, last: AuditReport | None, governed: Container[str]) -> AuditReport:
    """Return what the next session compares with: what this one saw, and of the governed hosts that it left out what was seen of them last."""
    if last is None:
        return seen
    looked = {row.host for row in seen.hosts}
    left = tuple(row for row in last.hosts if row.host not in looked and row.host in governed)
    names = {row.host for row in left}
    findings = (*seen.findings, *(one for one in last.findings if one.host in names))
    return seen.model_copy(update={"hosts": (*seen.hosts, *left), "findings": findings, "summary": summarise(findings)})


def _place(finding: Finding) -> tuple[str, str, str]:
    return finding.check, finding.host, finding.surface
