"""When a gap may be closed: on which runs, and what speaks against it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.gates.run_order import Begun
from controlplane.domain.registers import Registers
from controlplane.domain.registers.closing import LASTS, Recommendation, Resting, RunReport, recommend
from controlplane.domain.waves.closeout import gap_impacts
from tests.counting import calls

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


NOW = datetime(2026, 1, 10, tzinfo=UTC)
ROOT = ("D235", "mint-data", "docker.data_root")
OTHER = ("D235", "mint-data", "mount:/srv")
CACHE = ("D237", "mint-apps", "budget.images")


def asked(gap: str, *reports: RunReport, **more: Any) -> Recommendation:
    return recommend(gap, Resting(reports=reports, **{"registers": HELD, "governed": ("mint-apps", "mint-data"), "now": NOW, **more}))


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


def with_criteria(gap: str, *criteria: str) -> Registers:
    return HELD.model_copy(update={"gaps": {**HELD.gaps, gap: HELD.gaps[gap].model_copy(update={"criteria": criteria})}})


def test_what_the_criteria_of_a_gap_name_is_asked_like_its_findings() -> None:
    more: dict[str, Any] = {
        "registers": with_criteria("GAP-OP-1", "D234 on mint-data", "STOR-007", "D235 twice"),
        "checks": frozenset(["D234", "D235"]),
    }
    seen = report(
        "CAP-1", "2026-01-01T00:00:00Z", (*ROOT, Verdict.MET), (*CACHE, Verdict.MET), ("D235", "mint-apps", "docker.data_root", Verdict.MET)
    )
    found = asked("GAP-OP-1", seen, **more)
    assert found.objections == ("criteria: D234 on mint-data: no recorded run judged it: controlplane gates run",)
    assert (found.unjudged, found.unstated) == (("STOR-007",), ("D235 twice",))
    usage = report("CAP-2", "2026-01-02T00:00:00Z", ("D234", "mint-data", "boot.usage", Verdict.MET), (*OTHER, Verdict.DRIFTED))
    assert asked("GAP-OP-1", seen, usage, **more).objections == ("criteria: D235 on mint-data: mount:/srv is DRIFTED in CAP-2: as seen",)


def test_a_criterion_that_takes_a_word_keeps_a_gap_from_being_recommended() -> None:
    seen = report("CAP-1", "2026-01-01T00:00:00Z", (*ROOT, Verdict.MET), (*CACHE, Verdict.MET))
    found = asked("GAP-OP-1", seen, registers=with_criteria("GAP-OP-1", "The vendor agrees"))
    assert (found.objections, found.unstated, found.closable) == ((), ("The vendor agrees",), False)
    [impact] = gap_impacts(HELD, [found])
    assert (impact.recommended, impact.objections) == (False, ("The vendor agrees: no check judges it",))


def test_a_gap_that_serves_no_finding_shows_nothing() -> None:
    assert asked("GAP-OP-3").objections == ("no finding names it, so nothing shows that it is mended: link it to one, or accept it with a reason",)


def test_a_run_of_a_day_to_come_speaks_for_nothing_and_hides_no_other() -> None:
    bad = report("CAP-1", "2026-01-02T00:00:00Z", (*ROOT, Verdict.DRIFTED), (*CACHE, Verdict.MET))
    ahead = report("CAP-2", "2026-01-10T00:05:01Z", (*ROOT, Verdict.MET), (*CACHE, Verdict.MET))
    assert asked("GAP-OP-1", bad, ahead).objections == ("STOR-004: D235 on mint-data: docker.data_root is DRIFTED in CAP-1: as seen",)
    assert "(CAP-2: dated later than now, so a clock was wrong)" in asked("GAP-OP-1", ahead).objections[0]
    within = report("CAP-3", "2026-01-10T00:05:00Z", (*ROOT, Verdict.MET), (*CACHE, Verdict.MET))
    assert asked("GAP-OP-1", bad, within).closable


def test_a_run_of_a_day_to_come_that_says_otherwise_is_an_objection() -> None:
    good = report("CAP-1", "2026-01-02T00:00:00Z", (*ROOT, Verdict.MET), (*CACHE, Verdict.MET))
    ahead = report("CAP-2", "2026-03-01T00:00:00Z", (*ROOT, Verdict.DRIFTED), (*CACHE, Verdict.MET))
    assert asked("GAP-OP-1", good, ahead).objections == (
        "STOR-004: D235 on mint-data: docker.data_root is DRIFTED in CAP-2, which is dated later than now (2026-03-01T00:00:00Z): as seen",
    )
    # It does not speak for what it found in order, and what is no matter of the finding is none there either.
    other = report("CAP-2", "2026-03-01T00:00:00Z", (*ROOT, Verdict.MET), (*OTHER, Verdict.DRIFTED))
    found = asked("GAP-OP-1", good, other)
    assert (found.closable, found.runs) == (True, ("CAP-1",))


def test_a_run_speaks_for_a_gap_only_where_its_receipt_holds_what_it_found_and_against_it_always() -> None:
    good = report("CAP-1", "2026-01-01T00:00:00Z", (*ROOT, Verdict.MET), (*CACHE, Verdict.MET)).model_copy(update={"digest": "sha256:1"})
    assert asked("GAP-OP-1", good, receipts={"CAP-1": "sha256:1"}).closable
    assert asked("GAP-OP-1", good, receipts={}).objections[0].endswith("CAP-1 has no receipt: run the gates again")
    assert asked("GAP-OP-1", good, receipts={"CAP-1": "sha256:2"}).objections[0].endswith("CAP-1 is not what its receipt holds: run the gates again")
    bad = report("CAP-2", "2026-01-02T00:00:00Z", (*ROOT, Verdict.DRIFTED))
    assert "is DRIFTED in CAP-2" in asked("GAP-OP-1", good, bad, receipts={"CAP-1": "sha256:1"}).objections[0]


def test_a_surface_that_no_run_ever_showed_is_no_evidence_and_one_that_is_gone_is() -> None:
    other = report("CAP-1", "2026-01-01T00:00:00Z", (*OTHER, Verdict.MET), (*CACHE, Verdict.MET))
    assert asked("GAP-OP-1", other).objections == (
        "STOR-004: D235 on mint-data: no recorded run showed a surface of it (docker.*): name the right one in findings.yml",
    )
    before = report("CAP-0", "2025-12-01T00:00:00Z", (*ROOT, Verdict.DRIFTED))
    assert asked("GAP-OP-1", before, other).closable


def by(told: RunReport, policy: str = "p", **checkers: str) -> RunReport:
    return told.model_copy(update={"policy": policy, "checkers": checkers})


def test_a_surface_that_went_because_policy_or_checker_changed_is_not_mended() -> None:
    before = by(report("CAP-0", "2026-01-01T00:00:00Z", (*ROOT, Verdict.DRIFTED), (*CACHE, Verdict.MET)), D235="c")
    rest = ((*OTHER, Verdict.MET), (*CACHE, Verdict.MET))
    after = report("CAP-1", "2026-01-02T00:00:00Z", *rest)
    told = "STOR-004: D235 on mint-data: docker.data_root was DRIFTED in CAP-0, and is gone since CAP-1, for which the {} had changed: "
    more = "nothing shows that it was mended. Let it be judged again, then run the gates"
    assert asked("GAP-OP-1", before, by(after, D235="c")).closable
    assert asked("GAP-OP-1", before, by(after, "relaxed", D235="c")).objections == (told.format("policy") + more,)
    assert asked("GAP-OP-1", before, by(after, D235="other")).objections == (told.format("checker") + more,)
    # A run from before checkers were kept says nothing of its own.
    assert asked("GAP-OP-1", before, by(after)).closable
    # What went while they stayed the same is mended, whatever changes later; what was met when it was last shown was mended before.
    later = by(report("CAP-2", "2026-01-03T00:00:00Z", *rest), "relaxed")
    assert asked("GAP-OP-1", before, by(after), later).closable
    met = by(report("CAP-0", "2026-01-01T00:00:00Z", (*ROOT, Verdict.MET), (*CACHE, Verdict.MET)))
    assert asked("GAP-OP-1", met, by(after, "relaxed")).closable


def test_a_surface_that_left_the_policy_is_not_hidden_by_others_of_its_finding_nor_by_a_run_that_saw_nothing() -> None:
    volume = ("D235", "mint-data", "docker.volumes")
    before = by(report("CAP-0", "2026-01-01T00:00:00Z", (*ROOT, Verdict.DRIFTED), (*volume, Verdict.MET), (*CACHE, Verdict.MET)))
    blind = by(report("CAP-1", "2026-01-02T00:00:00Z", ("D235", "mint-data", "D235", Verdict.UNKNOWN)))
    after = by(report("CAP-2", "2026-01-03T00:00:00Z", (*volume, Verdict.MET), (*CACHE, Verdict.MET)), "relaxed")
    assert "docker.data_root was DRIFTED in CAP-0, and is gone since CAP-2" in asked("GAP-OP-1", before, blind, after).objections[0]


def test_a_run_speaks_for_thirty_days() -> None:
    seen = report("CAP-1", "2026-01-10T00:00:00Z", (*ROOT, Verdict.MET), (*CACHE, Verdict.MET))
    assert asked("GAP-OP-1", seen, now=NOW + LASTS).closable
    told = "STOR-004: D235 on mint-data: CAP-1 is of 2026-01-10T00:00:00Z, more than 30 days ago: run the gates again"
    assert asked("GAP-OP-1", seen, now=NOW + LASTS + timedelta(seconds=1)).objections[0] == told


def test_a_finding_that_is_judged_on_no_host_closes_nothing() -> None:
    held = HELD.model_dump()
    held["findings"]["STOR-005"]["hosts"] = held["findings"]["STOR-004"]["hosts"] = ()
    found = recommend("GAP-OP-1", Resting(registers=Registers.model_validate(held), reports=(), governed=(), now=NOW))
    assert found.objections == ("STOR-004: the policy has no host to judge it on", "STOR-005: the policy has no host to judge it on")


def own(*reports: RunReport, **more: Any) -> Recommendation:
    held = {
        "gaps": {"GAP-OP-1": {"title": "x"}},
        "loops": {},
        "findings": {"STOR-001": {"title": "x", "severity": "low", "gaps": ["GAP-OP-1"], "checks": ["S001"]}},
    }
    return recommend("GAP-OP-1", Resting(registers=Registers.model_validate(held), reports=reports, governed=("a", "b"), now=NOW, **more))


def rows(verdict: Verdict, *hosts: str) -> list[tuple[str, str, str, Verdict]]:
    return [("S001", host, "check:test_it", verdict) for host in hosts]


def test_a_check_of_the_sites_own_is_asked_of_all_that_it_looks_at() -> None:
    on_site = report("CAP-1", "2026-01-01T00:00:00Z", *rows(Verdict.MET, "site"))
    assert [one.host for one in own(on_site).criteria] == ["site"]
    mixed = report("CAP-2", "2026-01-02T00:00:00Z", *rows(Verdict.MET, "site", "a"), *rows(Verdict.DRIFTED, "b"))
    assert [(one.host, one.objection is None) for one in own(mixed).criteria] == [("a", True), ("b", False), ("site", True)]


def test_a_file_that_broke_speaks_against_each_host_until_it_runs_again() -> None:
    good = report("CAP-1", "2026-01-01T00:00:00Z", *rows(Verdict.MET, "a", "b"))
    broke = report("CAP-2", "2026-01-02T00:00:00Z", *rows(Verdict.UNKNOWN, "site"))
    again = report("CAP-3", "2026-01-03T00:00:00Z", *rows(Verdict.MET, "a", "b"))
    assert [one.objection is None for one in own(good, broke).criteria] == [False, False, False]
    assert (own(good, broke, again).closable, own(good, broke, again).runs) == (True, ("CAP-3",))


def test_thousands_of_gaps_and_hundreds_of_runs_are_looked_at_once() -> None:
    def cost(count: int, of_runs: int) -> int:
        findings = {
            f"STOR-{n:05d}": {"title": "x", "severity": "low", "gaps": [f"GAP-OP-{n}"], "checks": ["D235"], "hosts": ["h"]} for n in range(count)
        }
        held = Registers.model_validate({"gaps": {f"GAP-OP-{n}": {"title": "x"} for n in range(count)}, "loops": {}, "findings": findings})
        runs = tuple(report(f"CAP-{n}", f"2026-01-01T{n // 60:02d}:{n % 60:02d}:00Z", ("D235", "h", "s", Verdict.MET)) for n in range(of_runs))
        rests = Resting(registers=held, reports=runs, governed=("h",), now=NOW)
        closable: list[bool] = []
        work = calls(lambda: closable.extend(recommend(name, rests).closable for name in held.gaps))
        assert closable == [True] * count
        return work

    assert cost(3000, 20) <= 10.5 * cost(300, 20)
    assert cost(300, 200) <= 10.5 * cost(300, 20)


# The first by a clock that was an hour ahead; the second after that was set right.
BY_AN_EARLY_CLOCK = (("CAP-A", "2026-01-09T01:00:00Z"), ("CAP-B", "2026-01-09T00:20:00Z"))
CHAIN = {"CAP-A": Begun(0, "2026-01-09T00:20:00Z"), "CAP-B": Begun(2, None)}


def test_a_run_by_a_clock_that_ran_ahead_hides_nothing_that_failed_after_it_once_its_time_has_come() -> None:
    good = report(*BY_AN_EARLY_CLOCK[0], (*ROOT, Verdict.MET), (*CACHE, Verdict.MET))
    bad = report(*BY_AN_EARLY_CLOCK[1], (*ROOT, Verdict.DRIFTED), (*CACHE, Verdict.MET))
    told = ("STOR-004: D235 on mint-data: docker.data_root is DRIFTED in CAP-B: as seen",)
    for now in (datetime(2026, 1, 9, 0, 30, tzinfo=UTC), datetime(2026, 1, 9, 1, 1, tzinfo=UTC), NOW):
        assert asked("GAP-OP-1", good, bad, began=CHAIN, now=now).objections == told
    # Without its receipts a run stands where its time puts it.
    assert asked("GAP-OP-1", good, bad).closable


def test_what_a_clock_that_ran_ahead_found_amiss_is_mended_by_the_run_after_it() -> None:
    bad = report(*BY_AN_EARLY_CLOCK[0], (*ROOT, Verdict.DRIFTED), (*CACHE, Verdict.MET))
    good = report(*BY_AN_EARLY_CLOCK[1], (*ROOT, Verdict.MET), (*CACHE, Verdict.MET))
    for now in (datetime(2026, 1, 9, 0, 30, tzinfo=UTC), datetime(2026, 1, 9, 1, 1, tzinfo=UTC), NOW):
        found = asked("GAP-OP-1", bad, good, began=CHAIN, now=now)
        assert (found.closable, found.runs) == (True, ("CAP-B",))


def test_which_hosts_a_check_of_the_sites_own_is_asked_of_the_order_of_the_receipts_says() -> None:
    broke = report(*BY_AN_EARLY_CLOCK[0], *rows(Verdict.UNKNOWN, "site"))
    good = report(*BY_AN_EARLY_CLOCK[1], *rows(Verdict.MET, "a", "b"))
    found = own(broke, good, began=CHAIN)
    assert ([one.host for one in found.criteria], found.closable) == (["a", "b"], True)
    later = {"CAP-A": Begun(2, None), "CAP-B": Begun(0, None)}
    assert [one.objection is None for one in own(broke, good, began=later).criteria] == [False, False, False]
