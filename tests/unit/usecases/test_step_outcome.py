"""What was seen after a step serves the final verdict only where it is whole, and nothing can look different now."""

from __future__ import annotations

import pytest

from controlplane.domain.evidence import Evidence, Unreached
from controlplane.usecases.step_outcome import StepOutcome, still_holds
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
