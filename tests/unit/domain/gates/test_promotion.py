"""Which recorded runs count for a promotion, why the others don't, and what is proposed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.domain.gates.promotion import Digests, Judged, Standing, standing
from controlplane.domain.gates.values import Mode, Promotion

NOW = datetime(2026, 1, 20, tzinfo=UTC)
BY = Digests(policy="p", checker="c", host="h")
DAY = 24


def run(name: str, hours_ago: float, **more: Any) -> Judged:
    at = (NOW - timedelta(hours=hours_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
    plain = {"run": name, "at": at, "verdict": "MET", "passed": True, "reason": "as declared", **BY.model_dump()}
    return Judged.model_validate(plain | more)


def stands(*runs: Judged, mode: Mode = "report", now_by: Digests | None = BY, unlinked: tuple[str, ...] = (), **demanded: Any) -> Standing:
    return standing("D235", "mint-data", mode, runs, now_by=now_by, demanded=Promotion(**demanded), unlinked=unlinked, now=NOW)


GOOD = (run("C", 0), run("B", DAY), run("A", 2 * DAY))


def test_three_runs_a_day_apart_that_pass_propose_a_promotion() -> None:
    found = stands(*GOOD)
    assert (found.streak, found.proposes, found.held_by) == (3, "promote", ())
    assert [row.reason for row in found.runs] == ["counts"] * 3


def test_no_run_proposes_nothing_in_either_mode() -> None:
    assert (stands().proposes, stands().held_by) == (None, ("0 of 3 consecutive runs passed",))
    assert (stands(mode="enforce").proposes, stands(mode="enforce").held_by) == (None, ())


@pytest.mark.parametrize(
    ("runs", "streak", "reasons"),
    [
        ((run("C", 0), run("B", 23.99), run("A", DAY)), 2, ["counts", "less than 1d before the one that counts", "counts"]),
        (
            (run("D", 0), run("C", DAY, passed=False, verdict="UNKNOWN", reason="no evidence"), run("B", 2 * DAY), run("A", 3 * DAY)),
            1,
            ["counts", "did not pass: no evidence", "before that, C did not pass", "before that, C did not pass"],
        ),
        (
            (run("C", 0), run("B", DAY, policy="old", host="old"), run("A", 2 * DAY, passed=False)),
            1,
            ["counts", "the policy and the host changed since", "before that, the policy and the host changed after B"],
        ),
        ((run("C", -0.1), run("B", DAY), run("A", 2 * DAY)), 2, ["is dated later than now, so a clock was wrong", "counts", "counts"]),
        ((run("C", -0.08), run("B", DAY)), 2, ["counts", "counts"]),
    ],
)
def test_why_a_run_does_not_count_is_said(runs: tuple[Judged, ...], streak: int, reasons: list[str]) -> None:
    found = stands(*runs)
    assert (found.streak, found.proposes, [row.reason for row in found.runs]) == (streak, None, reasons)


def test_what_the_site_demands_decides() -> None:
    runs = (run("B", 0), run("A", 1))
    assert stands(*runs, runs=2, interval=3600).proposes == "promote"
    assert stands(*runs, runs=2, interval=3601).held_by == ("1 of 2 consecutive runs passed",)
    assert stands(*runs, runs=1).proposes == "promote"


def test_a_streak_whose_newest_run_is_too_old_says_nothing_of_now() -> None:
    ago = (run("C", 8 * DAY), run("B", 9 * DAY), run("A", 10 * DAY))
    assert (stands(*ago).streak, stands(*ago).proposes) == (3, None)
    assert stands(*ago).held_by == ("the newest run that counts is of 2026-01-12T00:00:00Z, more than 7d ago: controlplane gates run",)
    assert stands(run("C", 7 * DAY), *ago[1:]).proposes == "promote"
    # A site that runs its gates every three days at least has had a chance to run them again within nine.
    assert stands(*ago, runs=1, interval=3 * 86400).proposes == "promote"
    assert stands(*ago, mode="enforce").held_by == ()


def test_a_host_that_was_not_observed_and_linkage_that_lacks_hold_it_back() -> None:
    assert stands(*GOOD, now_by=None).held_by == ("the host was not observed, so nobody knows whether those runs judged it as it is",)
    assert stands(*GOOD, unlinked=("STOR-001: has no gap",)).held_by == ("linkage: STOR-001: has no gap",)


@pytest.mark.parametrize(
    ("last", "proposes"),
    [
        ({}, None),
        ({"verdict": "WAIVED"}, None),
        ({"verdict": "DRIFTED", "passed": False}, "demote"),
        ({"verdict": "UNKNOWN", "passed": False}, "demote"),
        # Expected in report mode is a failure once it is enforced.
        ({"verdict": "DRIFTED", "passed": True}, "demote"),
    ],
)
def test_a_failure_under_enforcement_proposes_a_demotion(last: dict[str, Any], proposes: str | None) -> None:
    assert stands(run("D", 0, **last), *GOOD[1:], mode="enforce").proposes == proposes


def test_a_failure_that_is_dated_later_than_now_ends_the_streak_and_one_that_passed_counts_for_nothing() -> None:
    failed = run("D", -DAY, verdict="DRIFTED", passed=False)
    assert (stands(failed, *GOOD).streak, stands(failed, *GOOD).proposes) == (0, None)
    assert stands(failed, *GOOD, mode="enforce").proposes == "demote"
    # Nothing that is dated later hides it.
    assert stands(run("E", -2 * DAY), failed, *GOOD, mode="enforce").proposes == "demote"
    assert (stands(run("E", -DAY), *GOOD).streak, stands(run("E", -DAY), *GOOD, mode="enforce").proposes) == (3, None)
