"""release smoke of what no release brought: no host is left out in silence, neither one where nothing ran nor one of which nobody can tell."""

from __future__ import annotations

import copy

import pytest

from tests.fakes.promotions import GOOD, PromotedSite
from tests.fakes.releases import STACK
from tests.unit.usecases.test_judge_return import PROJECT, by_hand, first_release


@pytest.fixture
def site() -> PromotedSite:
    """What somebody started on mint-apps runs there again, and on mint-data nothing did."""
    fake = PromotedSite()
    by_hand(fake, ("mint-apps",))
    first_release(fake)
    assert fake.roll_back().outcome == "rolled-back"
    fake.tests.tests = GOOD
    return fake


def test_it_is_proven_where_the_emptied_host_has_nothing_and_no_test_runs_there(site: PromotedSite) -> None:
    report = site.smoke("production")
    assert (report.passed, report.manifest, report.doubt) == (True, "", None)
    assert site.tests.given["hosts"] == ["mint-apps"]


def test_what_is_left_on_a_host_where_nothing_ran_is_doubt(site: PromotedSite) -> None:
    left = copy.deepcopy(site.service("mint-data", "seeds") | {"compose_project": PROJECT, "name": "left-1"})
    site.hosts["mint-data"].probes["docker_containers"].append(left)
    report = site.smoke("production")
    assert (report.passed, report.exit_code(), report.doubt) == (False, 5, "mint-data: left-1 is there (running), which was not before")


def test_a_host_where_nothing_ran_and_that_is_not_reached_is_doubt(site: PromotedSite) -> None:
    site.evidence.unreached = {"mint-data": "No route to host"}
    assert site.smoke("production").doubt == "mint-data: it was not reached: No route to host"


def test_a_host_whose_plan_does_not_tell_what_ran_is_doubt() -> None:
    site = PromotedSite()
    by_hand(site, ("mint-apps",))
    spec = site.files.specs[STACK]
    alone = spec.environments["production"].model_copy(update={"hosts": ("mint-apps",)})
    site.files.specs[STACK] = spec.model_copy(update={"environments": {**spec.environments, "production": alone}})
    first_release(site)
    assert site.roll_back().outcome == "rolled-back"
    site.files.specs[STACK] = spec
    # This plan names none of the services, as where a release was there already.
    site.take_back(site.deploy(1, "production", ("mint-data",)))
    site.tests.tests = GOOD
    report = site.smoke("production")
    assert (report.passed, report.exit_code(), report.manifest) == (False, 5, "")
    assert report.doubt == "mint-data: what ran there before its first release is not on record, so nobody can tell whether it is back"
    assert site.tests.given["hosts"] == ["mint-apps"]
