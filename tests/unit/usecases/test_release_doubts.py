"""What is not proven of a way back is said by the verb of releases, once, however the way back ends."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.ports.plays import StepResult
from tests.fakes.promotions import PromotedSite
from tests.fakes.releases import STACK

TOLD = {"container": "shop-db", "paths": [{"data": "/data", "proof": {"not_proven": ["its large objects"]}}]}


def doubt(host: str) -> str:
    return f"{host}/010 | roll back: /data of shop-db is not proven: its large objects"


def ended(status: Any = "done", *, doubted: bool = False) -> StepResult:
    return StepResult(status=status, message="no room" if status == "failed" else "", told={"told": TOLD} if doubted else {})


@pytest.fixture
def site() -> PromotedSite:
    """Return a site with r1 in production and r2 at its gate."""
    made = PromotedSite()
    assert made.promote(made.bring_to_gate(1)).outcome == "done"
    return made


def test_a_rollback_that_was_asked_for_says_it(site: PromotedSite) -> None:
    assert site.promote(site.bring_to_gate(2)).outcome == "done"
    site.runner.ends = [ended(doubted=True), ended(doubted=True)]
    result = site.roll_back()
    assert (result.outcome, result.messages) == ("rolled-back", (doubt("mint-data"), doubt("mint-apps")))


def test_one_over_two_releases_says_each_sentence_once_and_its_own_last(site: PromotedSite) -> None:
    for number in (2, 3):
        assert site.promote(site.bring_to_gate(number)).outcome == "done"
    site.runner.ends = [ended(doubted=True) for _ in range(4)]
    site.stubs = {1}
    result = site.roll_back(to="r1")
    assert (result.outcome, len(result.returned)) == ("failed", 2)
    assert result.messages[:2] == (doubt("mint-data"), doubt("mint-apps"))
    assert result.messages[2].startswith("r1 is back by its digests, and its behaviour is not proven")
    assert len(set(result.messages)) == len(result.messages) == 4


def test_a_promotion_that_goes_back_by_itself_says_it_behind_why(site: PromotedSite) -> None:
    plan = site.bring_to_gate(2)
    site.stubs = {2}
    site.runner.ends = [ended(), ended(), ended(doubted=True)]
    result = site.promote(plan)
    assert result.outcome == "rolled-back"
    assert result.messages[0].startswith("r2 was taken back by itself: its behaviour is not proven, see CAP-")
    assert result.messages[1:] == (doubt("mint-data"),)


def test_hosts_that_went_back_one_by_one_say_it_each(site: PromotedSite) -> None:
    """The first attempt of the whole fails on its second host, which goes back by itself then."""
    assert site.promote(site.bring_to_gate(2)).outcome == "done"
    site.runner.ends = [ended(doubted=True), ended("failed"), ended(doubted=True)]
    result = site.roll_back()
    assert (result.outcome, result.messages) == ("rolled-back", (doubt("mint-data"), doubt("mint-apps")))


def test_a_host_that_is_away_keeps_no_other_from_saying_it_and_neither_does_an_end_in_between(site: PromotedSite) -> None:
    assert site.promote(site.bring_to_gate(2)).outcome == "done"
    site.evidence.unreached = {"mint-apps": "no route"}
    site.runner.ends = [ended(doubted=True)]
    away = site.roll_back()
    assert away.outcome == "interrupted"
    assert away.messages[0] == doubt("mint-data")
    assert "mint-apps: no route" in away.messages[1]
    site.evidence.unreached = {}
    again = site.roll_back()
    assert (again.outcome, again.messages) == ("rolled-back", (doubt("mint-data"),))


@pytest.mark.parametrize("last", ["failed", "interrupted"])
def test_a_way_back_that_does_not_come_to_its_end_says_it_too(site: PromotedSite, last: str) -> None:
    """The whole stops at its second host; tried by itself that one fails once more, or somebody stops it."""
    assert site.promote(site.bring_to_gate(2)).outcome == "done"
    site.runner.ends = [ended(doubted=True), ended("failed"), ended(last)]
    result = site.roll_back()
    assert (result.outcome, result.messages[0]) == (last, doubt("mint-data"))
    assert result.messages[-1].startswith("Go on with it: ")
    assert len(set(result.messages)) == len(result.messages)


def test_no_line_of_a_promotion_that_went_back_stands_twice(site: PromotedSite) -> None:
    twice = site.files.held[STACK, "r2"].model_copy(update={"irreversible": ("orders: schema 1 to 2", "orders: schema 1 to 2")})
    site.files.held[STACK, "r2"] = twice
    plan = site.bring_to_gate(2)
    site.stubs = {2}
    assert site.promote(plan).messages[1:] == ("not undone: orders: schema 1 to 2 (r2)",)
