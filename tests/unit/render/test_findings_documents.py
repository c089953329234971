"""An audit as JUnit and SARIF: every verdict has its place, and nothing that a host said can break the document."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from controlplane.domain.finding import AuditReport, Finding, HostSeen, Severity, Verdict, summarise
from controlplane.render.junit import junit_of
from controlplane.render.sarif import sarif_of


def report() -> AuditReport:
    """Return a report with one finding of each verdict, in which a host tried to write its own document."""

    def one(surface: str, verdict: Verdict, severity: Severity, reason: str) -> Finding:
        return Finding(check="D235", host="mint-data", surface=surface, verdict=verdict, severity=severity, reason=reason)

    findings = (
        one("a", Verdict.MET, "high", "as declared"),
        one("b", Verdict.DRIFTED, "high", 'lies on "vda" <&>\x1b[2J\n]]>'),
        one("c", Verdict.WAIVED, "medium", "waived"),
        one("d", Verdict.UNKNOWN, "low", "no answer"),
    )
    seen = HostSeen(host="mint-data", reached=True, collected_at="2026-01-01T00:00:00Z", evidence_digest="sha256:0")
    return AuditReport(
        site="lab", policy_digest="sha256:1", judged_at="2026-01-01T00:00:00Z", summary=summarise(findings), hosts=(seen,), findings=findings
    )


def parsed() -> ET.Element:
    return ET.fromstring(junit_of(report()))  # noqa: S314 - a document of our own


def test_junit_has_a_case_for_each_surface_and_counts_that_agree() -> None:
    root = parsed()
    assert root.attrib == {"name": "controlplane audit", "tests": "4", "failures": "1", "errors": "1", "skipped": "1", "time": "0"}
    cases = {case.get("name"): [child.tag for child in case] for case in root.iter("testcase")}
    assert cases == {"a": [], "b": ["failure"], "c": ["skipped"], "d": ["error"]}
    assert {case.get("classname") for case in root.iter("testcase")} == {"mint-data.D235"}


def test_junit_keeps_what_a_host_said_as_text() -> None:
    failure = next(parsed().iter("failure"))
    assert failure.attrib == {"message": 'lies on "vda" <&>\ufffd[2J\n]]>', "type": "high"}


def test_sarif_has_what_its_schema_requires() -> None:
    document = json.loads(json.dumps(sarif_of(report())))
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    assert run["tool"]["driver"]["name"] == "controlplane"
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["D235"]
    assert run["invocations"] == [{"executionSuccessful": True, "endTimeUtc": "2026-01-01T00:00:00Z"}]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        assert result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"].startswith("mint-data/")


@pytest.mark.parametrize(
    ("at", "kind", "level", "suppressed"),
    [(0, "pass", "none", False), (1, "fail", "error", False), (2, "fail", "warning", True), (3, "open", "none", False)],
)
def test_sarif_gives_each_verdict_its_kind_and_level(at: int, kind: str, level: str, suppressed: bool) -> None:
    result = sarif_of(report())["runs"][0]["results"][at]
    assert (result["kind"], result["level"], "suppressions" in result) == (kind, level, suppressed)
