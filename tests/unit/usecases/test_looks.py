"""How often a host is looked at: each time costs it seconds, and each has something to tell that the one before it could not."""

from __future__ import annotations

from collections.abc import Callable

from tests.fakes.site import FakeSite


def _looks(site: FakeSite, work: Callable[[], object]) -> int:
    before = site.evidence.asked
    work()
    return site.evidence.asked - before


def test_an_apply_looks_once_before_it_and_once_after_each_step_and_the_last_look_is_that_of_the_verdict() -> None:
    site = FakeSite()
    assert _looks(site, site.plan) == 1
    plan = site.plan()
    assert len(plan.steps) == 3
    assert _looks(site, lambda: site.apply(plan)) == 1 + 3


def test_an_applied_plan_of_which_nothing_is_left_looks_once() -> None:
    site = FakeSite()
    plan = site.plan()
    site.apply(plan)
    assert _looks(site, lambda: site.apply(plan)) == 1
