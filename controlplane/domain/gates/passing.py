"""Whether a check passes on a host in the mode that it has there, by all that one run says of it.

Rules:
- UNKNOWN never passes, and a check that said nothing of a host did not look at it.
- A drift passes only in report mode, and only where it is expected: it belongs to a STOR finding with an open gap. Enforced, no drift passes.
- A waiver in force passes in either mode; it names who approved it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.registers import Registers
from controlplane.domain.values import Value

# The weightiest first: what a check says of a host as a whole.
_WEIGHT = (Verdict.UNKNOWN, Verdict.DRIFTED, Verdict.WAIVED, Verdict.MET)


class Passing(Value):
    """What one check says of one host: its weightiest verdict, whether that passes, and why not or on whose account."""

    check: str
    host: str
    verdict: Literal["MET", "DRIFTED", "WAIVED", "UNKNOWN"]
    passed: bool
    reason: str


def passings(findings: Sequence[Finding], registers: Registers | None) -> tuple[Passing, ...]:
    """Return what each check says of each host, in the order of the findings."""
    grouped: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        grouped.setdefault((finding.check, finding.host), []).append(finding)
    return tuple(_passing(check, host, held, registers or Registers()) for (check, host), held in grouped.items())


def _passing(check: str, host: str, findings: Sequence[Finding], registers: Registers) -> Passing:
    worst = min((finding.verdict for finding in findings), key=_WEIGHT.index)
    doubts = [f"{one.surface}: {one.reason}" for one in findings if one.verdict is Verdict.UNKNOWN]
    drifts = [one for one in findings if one.verdict is Verdict.DRIFTED]
    strange = [one for one in drifts if one.mode == "enforce" or not open_gaps(one, registers)]
    if doubts:
        return Passing(check=check, host=host, verdict="UNKNOWN", passed=False, reason="; ".join(doubts))
    if strange:
        told = "; ".join(f"{one.surface}: {one.reason} ({_account(one, registers)})" for one in strange)
        return Passing(check=check, host=host, verdict="DRIFTED", passed=False, reason=told)
    if drifts:
        gaps = dict.fromkeys(gap for one in drifts for gap in open_gaps(one, registers))
        return Passing(check=check, host=host, verdict="DRIFTED", passed=True, reason=f"expected, by {', '.join(gaps)}")
    # A waiver's reason names who approved it, and until when.
    waived = "; ".join(f"{one.surface}: {one.reason}" for one in findings if one.verdict is Verdict.WAIVED)
    return Passing(check=check, host=host, verdict=worst.value, passed=True, reason=waived or "as declared")


def open_gaps(finding: Finding, registers: Registers) -> tuple[str, ...]:
    """Return the open gaps that a finding's STOR findings lead to."""
    named = [gap for stor in finding.stor if stor in registers.findings for gap in registers.findings[stor].gaps]
    return tuple(dict.fromkeys(gap for gap in named if gap in registers.gaps and registers.gaps[gap].is_open))


def _account(finding: Finding, registers: Registers) -> str:
    gaps = open_gaps(finding, registers)
    if gaps:
        return f"expected by {', '.join(gaps)}, and enforced: mend it, or demote the check"
    return f"{', '.join(finding.stor)} has no open gap" if finding.stor else "no STOR finding is linked to it"
