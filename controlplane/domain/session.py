"""What an operator's session begins with: where things stand, and what drifted or was mended since the last one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from controlplane.domain.finding import AuditReport, Finding, Verdict
from controlplane.domain.values import Value


class SessionStart(Value):
    """`since` is when the last session began, None for the first; `drifted` and `mended` compare with it. `previous` findings are never shown."""

    site: str | None
    at: str
    operator: str
    since: str | None
    report: AuditReport
    drifted: tuple[Finding, ...]
    mended: tuple[Finding, ...]
    open_runs: tuple[str, ...]
    waves: tuple[dict[str, Any], ...]
    gaps: dict[str, int]
    loops: dict[str, int]
    proposed: tuple[str, ...]
    receipt: str | None = None

    def exit_code(self) -> int:
        """Return 5 where something could not be observed, 3 where anything drifts, else 0."""
        return self.report.exit_code()


def compared(now: Sequence[Finding], before: Sequence[Finding]) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """Return (what drifts or is unknown and did not or was not before, what did and does not any more)."""
    then = {_place(one): one.verdict for one in before}
    here = {_place(one): one.verdict for one in now}
    bad = (Verdict.DRIFTED, Verdict.UNKNOWN)
    drifted = tuple(one for one in now if one.verdict in bad and then.get(_place(one)) is not one.verdict)
    mended = tuple(one for one in before if one.verdict in bad and here.get(_place(one)) not in bad)
    return drifted, mended


def _place(finding: Finding) -> tuple[str, str, str]:
    return finding.check, finding.host, finding.surface
