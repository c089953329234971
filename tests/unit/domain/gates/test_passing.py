"""What passes: never doubt, and a drift only where it is expected and the check reports."""

from __future__ import annotations

import pytest

from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.gates.passing import passings
from controlplane.domain.registers import Registers

CLOSED = {"at": "2026-03-01T12:00:00Z", "by": "ops@desk"}
HELD = Registers.model_validate(
    {
        "gaps": {
            "GAP-OP-1": {"title": "x", "loops": ["LOOP-A"]},
            "GAP-OP-2": {"title": "y", "status": "fixed", "loops": ["LOOP-A"], "closed": CLOSED},
        },
        "loops": {"LOOP-A": {"title": "work"}},
        "findings": {
            "STOR-001": {"title": "x", "severity": "high", "gaps": ["GAP-OP-1", "GAP-OP-2"], "checks": ["D235"]},
            "STOR-002": {"title": "y", "severity": "high", "status": "closed", "gaps": ["GAP-OP-2"], "checks": ["D235"]},
        },
    }
)


def finding(verdict: Verdict, *stor: str, surface: str = "docker.data_root", check: str = "D235", host: str = "mint-data") -> Finding:
    return Finding(check=check, host=host, surface=surface, verdict=verdict, severity="high", reason="as seen", stor=stor)


@pytest.mark.parametrize(
    ("findings", "verdict", "passed", "reason"),
    [
        ([finding(Verdict.MET)], "MET", True, "as declared"),
        ([finding(Verdict.MET), finding(Verdict.WAIVED)], "WAIVED", True, "docker.data_root: as seen"),
        ([finding(Verdict.DRIFTED, "STOR-001"), finding(Verdict.MET)], "DRIFTED", True, "expected, by GAP-OP-1"),
        ([finding(Verdict.DRIFTED)], "DRIFTED", False, "docker.data_root: as seen (no STOR finding is linked to it)"),
        ([finding(Verdict.DRIFTED, "STOR-002")], "DRIFTED", False, "docker.data_root: as seen (STOR-002 has no open gap)"),
        ([finding(Verdict.DRIFTED, "STOR-099")], "DRIFTED", False, "docker.data_root: as seen (STOR-099 has no open gap)"),
        (
            [finding(Verdict.DRIFTED, "STOR-001"), finding(Verdict.DRIFTED, surface="b")],
            "DRIFTED",
            False,
            "b: as seen (no STOR finding is linked to it)",
        ),
        ([finding(Verdict.DRIFTED, "STOR-001"), finding(Verdict.UNKNOWN, "STOR-001")], "UNKNOWN", False, "docker.data_root: as seen"),
    ],
)
def test_what_a_check_says_of_a_host_comes_to_its_weightiest_verdict(findings: list[Finding], verdict: str, passed: bool, reason: str) -> None:
    [one] = passings(findings, HELD)
    assert (one.verdict, one.passed, one.reason) == (verdict, passed, reason)


def test_enforced_no_drift_passes_however_expected_it_is_and_a_waiver_does() -> None:
    [one] = passings([finding(Verdict.DRIFTED, "STOR-001").model_copy(update={"mode": "enforce"})], HELD)
    told = "docker.data_root: as seen (expected by GAP-OP-1, and enforced: mend it, or demote the check)"
    assert (one.verdict, one.passed, one.reason) == ("DRIFTED", False, told)
    [one] = passings([finding(Verdict.WAIVED).model_copy(update={"mode": "enforce"})], HELD)
    assert one.passed


def test_without_registers_no_drift_is_expected() -> None:
    [one] = passings([finding(Verdict.DRIFTED, "STOR-001")], None)
    assert not one.passed


def test_hosts_and_checks_are_judged_apart_and_nothing_said_is_nothing_passed() -> None:
    found = passings([finding(Verdict.MET), finding(Verdict.UNKNOWN, host="mint-apps"), finding(Verdict.MET, check="D236")], HELD)
    assert [(one.check, one.host, one.passed) for one in found] == [
        ("D235", "mint-data", True),
        ("D235", "mint-apps", False),
        ("D236", "mint-data", True),
    ]
    assert passings([], HELD) == ()
