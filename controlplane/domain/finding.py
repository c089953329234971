"""What a check says of one surface of one host: MET, DRIFTED, WAIVED or UNKNOWN."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from controlplane.domain.values import Value


class Verdict(StrEnum):
    """Three-valued, and WAIVED for a drift that a person has accepted until a day."""

    MET = "MET"
    DRIFTED = "DRIFTED"
    WAIVED = "WAIVED"
    UNKNOWN = "UNKNOWN"


Severity = Literal["low", "medium", "high"]


class Finding(Value):
    """One verdict with its reason; the field names are those of the JSON interface."""

    check: str
    host: str
    surface: str
    verdict: Verdict
    severity: Severity
    mode: Literal["report", "enforce"] = "report"
    reason: str
    stor: tuple[str, ...] = ()


class HostSeen(Value):
    """Whether one host was reached, and by which evidence it was judged."""

    host: str
    reached: bool
    collected_at: str | None
    evidence_digest: str | None


class Summary(Value):
    """How many findings came to each verdict."""

    met: int
    drifted: int
    waived: int
    unknown: int


class AuditReport(Value):
    """The JSON of `audit` and `verify`; `policy_digest` is None without a site."""

    site: str | None
    policy_digest: str | None
    judged_at: str
    summary: Summary
    hosts: tuple[HostSeen, ...]
    findings: tuple[Finding, ...]

    def exit_code(self) -> int:
        """Return 5 if anything is UNKNOWN, else 3 if anything is DRIFTED, else 0."""
        if self.summary.unknown:
            return 5
        return 3 if self.summary.drifted else 0


def summarise(findings: tuple[Finding, ...]) -> Summary:
    """Count the verdicts."""
    count = {verdict: sum(1 for finding in findings if finding.verdict is verdict) for verdict in Verdict}
    return Summary(
        met=count[Verdict.MET],
        drifted=count[Verdict.DRIFTED],
        waived=count[Verdict.WAIVED],
        unknown=count[Verdict.UNKNOWN],
    )
