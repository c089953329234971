"""When a gap may be closed: on which runs, and what speaks against it."""

from __future__ import annotations

from typing import Any

from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.registers import Registers
from controlplane.domain.registers.closing import Recommendation, Resting, RunReport, recommend

HELD = Registers.model_validate(
    {
        "gaps": {
            "GAP-OP-1": {"title": "root and cache", "loops": ["LOOP-A"]},
            "GAP-OP-2": {"title": "contract", "loops": ["LOOP-A"]},
            "GAP-OP-3": {"title": "x"},
        },
        "loops": {"LOOP-A": {"title": "work"}},
        "findings": {
            "STOR-004": {
                "title": "root",
                "severity": "high",
                "gaps": ["GAP-OP-1"],
                "checks": ["D235"],
                "hosts": ["mint-data"],
                "surfaces": ["docker.*"],
            },
            "STOR-005": {"title": "cache", "severity": "high", "gaps": ["GAP-OP-1"], "checks": ["D237"], "hosts": ["mint-apps"]},
            "STOR-007": {"title": "contract", "severity": "high", "gaps": ["GAP-OP-2"]},
        },
    }
)


def report(run: str, at: str, *rows: tuple[str, str, str, Verdict]) -> RunReport:
    found = tuple(
        Finding(check=check, host=host, surface=surface, verdict=verdict, severity="high", reason="as seen") for check, host, surface, verdict in rows
    )
    return RunReport(run=run, at=at, findings=found)


ROOT = ("D235", "mint-data", "docker.data_root")
OTHER = ("D235", "mint-data", "mount:/srv")
CACHE = ("D237", "mint-apps", "budget.images")


def asked(gap: str, *reports: RunReport, **more: Any) -> Recommendation:
    return recommend(gap, Resting(registers=HELD, reports=reports, governed=("mint-apps", "mint-data"), **more))


def test_a_gap_closes_when_every_finding_that_links_to_it_is_met() -> None:
    first = report("CAP-1", "2026-01-01T00:00:00Z", (*ROOT, Verdict.MET))
    assert asked("GAP-OP-1", first).objections == ("STOR-005: D237 on mint-apps: no recorded run judged it: controlplane gates run",)
    second = report("CAP-2", "2026-01-02T00:00:00Z", (*CACHE, Verdict.MET))
    both = asked("GAP-OP-1", first, second)
    assert (both.closable, both.runs) == (True, ("CAP-1", "CAP-2"))


def test_only_the_surfaces_of_a_finding_speak_for_or_against_it() -> None:
    seen = report("CAP-1", "2026-01-01T00:00:00Z", (*ROOT, Verdict.MET), (*OTHER, Verdict.DRIFTED), (*CACHE, Verdict.MET))
    assert asked("GAP-OP-1", seen).closable
    doubt = report("CAP-2", "2026-01-02T00:00:00Z", (*ROOT, Verdict.MET), (*OTHER, Verdict.UNKNOWN))
    assert "mount:/srv is UNKNOWN in CAP-2" in asked("GAP-OP-1", seen, doubt).objections[0]


def test_a_later_run_that_says_otherwise_is_an_objection_also_where_an_earlier_one_is_named() -> None:
    good = report("CAP-1", "2026-01-01T00:00:00Z", (*ROOT, Verdict.MET), (*CACHE, Verdict.MET))
    bad = report("CAP-2", "2026-01-02T00:00:00Z", (*ROOT, Verdict.DRIFTED))
    assert asked("GAP-OP-1", good, bad, named=("CAP-1",)).objections == (
        "STOR-004: D235 on mint-data: docker.data_root is DRIFTED in CAP-2: as seen",
    )


def test_a_run_that_was_named_has_to_show_it_itself() -> None:
    bad = report("CAP-1", "2026-01-01T00:00:00Z", (*ROOT, Verdict.DRIFTED), (*CACHE, Verdict.MET))
    good = report("CAP-2", "2026-01-02T00:00:00Z", (*ROOT, Verdict.MET), (*CACHE, Verdict.MET))
    assert asked("GAP-OP-1", bad, good, named=("CAP-1",)).objections == ("STOR-004: D235 on mint-data: it was not met in CAP-1; name CAP-2",)
    assert asked("GAP-OP-1", bad, good, named=("CAP-9",)).objections[0].endswith("none of the runs that were named judged it; CAP-2 did")


def test_a_waiver_is_no_evidence_that_something_was_mended() -> None:
    seen = report("CAP-1", "2026-01-01T00:00:00Z", (*ROOT, Verdict.WAIVED), (*CACHE, Verdict.MET))
    assert not asked("GAP-OP-1", seen).closable


def test_what_no_check_judges_is_a_persons_to_say() -> None:
    found = asked("GAP-OP-2")
    assert (found.unjudged, found.objections, found.closable) == (("STOR-007",), (), False)


def test_a_gap_that_serves_no_finding_shows_nothing() -> None:
    assert asked("GAP-OP-3").objections == ("no finding names it, so nothing shows that it is mended: link it to one, or accept it with a reason",)
