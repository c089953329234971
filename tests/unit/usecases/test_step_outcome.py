"""What was seen after a step serves the final verdict only where it is whole, and nothing can look different now."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.evidence import Evidence, Unreached
from controlplane.ports.plays import StepResult
from controlplane.usecases.step_outcome import StepOutcome, notes_of, still_holds
from tests.fakes.site import FakeSite


@pytest.mark.parametrize(
    ("failure", "target", "is_reached", "holds"),
    [
        (None, "mint-data", True, True),
        ("it failed", "mint-data", True, False),
        (None, "mint-data", False, False),
        # Made on a hypervisor: its key was pinned after it was looked at.
        (None, "hypervisor", True, False),
    ],
)
def test_whether_it_still_holds(failure: str | None, target: str, is_reached: bool, holds: bool) -> None:
    site = FakeSite()
    step = site.plan().steps[0].model_copy(update={"runs_on": None if target == "mint-data" else target})
    seen: Evidence | Unreached = site.host.evidence("2026-01-02T12:00:00Z") if is_reached else Unreached(host="mint-data", reason="no route")
    assert still_holds(step, StepOutcome(failure, (), {}, {"mint-data": seen})) is holds


def test_the_last_host_is_looked_at_once_and_the_others_again() -> None:
    site = FakeSite()
    plan = site.plan()
    before = site.evidence.asked
    assert site.apply(plan).outcome == "done"
    # Before the first step and after each: of the last one's evidence the verdict is made as well.
    assert site.evidence.asked - before == 1 + len(plan.steps)


def test_what_a_role_wants_known_is_in_the_messages_of_a_run_that_is_done_and_in_its_receipt() -> None:
    site = FakeSite()
    plan = site.plan()
    told = {"went_on_with": "CAP-0", "notes": ["went on with what run CAP-0 left half made: started"]}
    site.runner.ends = [StepResult(status="done", message="", told={"told": told})]
    result = site.apply(plan)
    first = plan.steps[0]
    said = f"{first.id} {first.capability}: went on with what run CAP-0 left half made: started"
    assert (result.outcome, result.messages, result.exit_code()) == ("done", (said,), 0)
    assert [receipt.told for _, receipt in site.receipts.load() if receipt.phase == "result" and receipt.step == first.id] == [told]


def test_it_comes_before_what_failed_and_what_is_next() -> None:
    site = FakeSite()
    plan = site.plan()
    site.runner.ends = [StepResult(status="failed", message="disk full", told={"told": {"notes": ["removed what was half made"]}})]
    note, failure = site.apply(plan).messages
    assert (note.endswith("removed what was half made"), "disk full" in failure) == (True, True)


@pytest.mark.parametrize("told", [{}, {"told": None}, {"told": {"before": 1}}, {"told": {"notes": "one"}}, {"told": {"notes": [1, None]}}])
def test_a_role_that_says_nothing_for_a_person_adds_no_message(told: dict[str, Any]) -> None:
    assert notes_of(FakeSite().plan().steps[0], StepResult(status="done", message="", told=told)) == ()
