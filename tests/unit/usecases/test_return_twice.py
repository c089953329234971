"""A rollback that is asked for twice takes back what was asked for once, wherever the first call was killed."""

from __future__ import annotations

import copy

import pytest

from controlplane.domain.errors import InputInvalidError, RefusedError
from controlplane.domain.releases.result import ReleaseResult
from controlplane.ports.plays import StepResult
from controlplane.usecases.abandon_run import abandon_run
from controlplane.usecases.rehearse_release_return import rehearse_return
from controlplane.usecases.release_way_back import way_back
from tests.fakes.promotions import PromotedSite
from tests.fakes.releases import HOSTS, STACK
from tests.fakes.site import OPERATOR
from tests.unit.usecases.test_judge_return import PINNED, by_hand

V1, V2, V3 = ({f"{number} intake", f"{number} seeds"} for number in (1, 2, 3))
BACK = "controlplane release rollback shop --env production"


@pytest.fixture
def site() -> PromotedSite:
    return PromotedSite()


def promoted(site: PromotedSite, *numbers: int) -> PromotedSite:
    for number in numbers:
        assert site.promote(site.bring_to_gate(number)).outcome == "done"
    return site


def changes_nothing(site: PromotedSite, environment: str = "production") -> ReleaseResult:
    """Ask for a rollback without a manifest, which says that there is none to do."""
    before = (list(site.receipts.chain), list(site.runner.plays), site.running(environment))
    result = site.roll_back("production" if environment == "production" else "staging")
    assert (result.outcome, result.exit_code(), result.returned, result.proof) == ("rolled-back", 0, (), None)
    assert (site.receipts.chain, site.runner.plays, site.running(environment)) == before
    return result


def test_asked_for_twice_it_goes_no_further_and_says_what_took_it_back_and_when(site: PromotedSite) -> None:
    promoted(site, 1, 2, 3)
    run = next(one.run for one in reversed(site.receipts.chain) if one.capability == "release.deploy")
    assert (site.roll_back().outcome, site.production()) == ("rolled-back", V2)
    by = [one for one in site.receipts.chain if one.undoes is not None and one.phase == "result"][-1]
    result = changes_nothing(site)
    assert (site.production(), result.manifest) == (V2, "r2")
    told = f"r3, brought last to production by run {run}, was taken back already, at {by.at} by {by.key}; r2 stands"
    assert result.messages == (f"{told}. Nothing was changed; further back: {BACK} --to r1",)
    assert (site.roll_back(to="r1").outcome, site.production()) == ("rolled-back", V1)
    assert changes_nothing(site).messages[0].endswith(f"; r1 stands. Nothing was changed; further back: {BACK} --to nothing")


class Killed(BaseException):
    """A kill -9, as far as a test can have one: nobody catches it."""


def test_killed_behind_any_receipt_it_comes_to_the_same_end_by_the_same_command(site: PromotedSite) -> None:
    promoted(site, 1, 2, 3)
    whole, before = copy.deepcopy(site), site.world.count
    assert whole.roll_back().outcome == "rolled-back"
    kills = [number for number, place in enumerate(whole.world.places, 1) if number > before and place in ("intent written", "result written")]
    assert len(kills) == 6
    for at in kills:
        killed = copy.deepcopy(site)
        killed.world.at, killed.world._error = at, Killed
        with pytest.raises(Killed):
            killed.roll_back()
        for _ in range(2):
            assert (killed.roll_back().outcome, killed.production()) == ("rolled-back", V2), whole.world.places[at - 1]


def test_what_a_failed_promotion_took_back_by_itself_is_back(site: PromotedSite) -> None:
    promoted(site, 1, 2)
    plan = site.bring_to_gate(3)
    site.stubs = {3}
    assert (site.promote(plan).outcome, site.production()) == ("rolled-back", V2)
    told = changes_nothing(site).messages[0]
    assert told.startswith("r3, brought last to production by run CAP-")
    assert told.endswith(f"; r2 stands. Nothing was changed; further back: {BACK} --to r1")


def test_what_stands_is_taken_back_once_it_is_brought_again(site: PromotedSite) -> None:
    promoted(site, 1, 2)
    assert site.roll_back().manifest == "r1"
    promoted(site, 3)
    assert (site.roll_back().manifest, site.production()) == ("r1", V1)


def test_what_failed_below_it_still_goes_back(site: PromotedSite) -> None:
    assert site.stage(1).outcome == "done"
    site.runner.ends = [StepResult(status="failed", message="pull failed", told={})]
    assert (site.stage(2).outcome, site.stage(3).outcome) == ("failed", "done")
    whole = copy.deepcopy(site)
    runs = list(dict.fromkeys(one.run for one in site.receipts.chain if one.capability == "release.deploy"))
    # As a kill between the two leaves it.
    site.take_back(runs[-1])
    assert way_back(site.site, STACK, "staging", None, site.release_ports).runs == (runs[1],)
    assert len(whole.roll_back("staging").returned) == 2
    assert changes_nothing(whole, "staging").manifest == "r1"


def test_an_older_run_that_went_back_on_one_host_alone_is_ended(site: PromotedSite) -> None:
    promoted(site, 1, 2, 3)
    runs = list(dict.fromkeys(one.run for one in site.receipts.chain if one.capability == "release.deploy" and one.phase == "intent"))
    site.take_back(runs[-1])
    site.take_back(runs[-3], hosts=HOSTS[:1])
    assert way_back(site.site, STACK, "production", None, site.release_ports).runs == (runs[-3],)


def test_every_release_goes_where_that_is_named_and_what_ran_before_comes_back(site: PromotedSite) -> None:
    by_hand(site)
    promoted(site, 1, 2)
    assert site.roll_back().manifest == "r1"
    back = way_back(site.site, STACK, "production", "nothing", site.release_ports)
    assert (len(back.runs), back.goes_to, back.unreleased.keys(), back.command) == (1, "what no release brought", {*HOSTS}, f"{BACK} --to nothing")
    assert back.unreleased["mint-apps"] == (f"intake {PINNED}",)
    assert site.roll_back(to="nothing").outcome == "rolled-back"
    for to in (None, "nothing"):
        assert "r1, brought last" not in site.roll_back(to=to).messages[0]
        assert site.roll_back(to=to).messages[0].endswith("Nothing was changed; no release stands behind it")
    with pytest.raises((InputInvalidError, RefusedError)):
        site.roll_back(to="r1")


def test_nothing_is_a_way_back_from_each_release_newest_first_and_a_manifest_of_that_name_stays_one(site: PromotedSite) -> None:
    promoted(site, 1, 2, 3)
    assert len(way_back(site.site, STACK, "production", "nothing", site.release_ports).runs) == 3
    other = PromotedSite()
    other.files.held[STACK, "nothing"] = other.files.held[STACK, "r1"]
    made = other.files.manifest
    other.files.manifest = lambda stack, name: made(stack, "nothing" if name == "r1" else name)  # type: ignore[method-assign]
    promoted(other, 1, 2)
    assert way_back(other.site, STACK, "production", "nothing", other.release_ports).to == "nothing"
    assert len(way_back(other.site, STACK, "production", "nothing", other.release_ports).runs) == 1


def test_a_dry_run_says_it_as_well_and_asks_no_host(site: PromotedSite) -> None:
    promoted(site, 1, 2)
    assert site.roll_back().manifest == "r1"
    asked = list(site.runner.dry_runs)
    told = rehearse_return(site.site, STACK, "production", None, site.release_ports, progress=lambda _: None)
    assert (told.lines, told.hosts, told.back.runs, site.runner.dry_runs) == ((), (), (), asked)
    assert told.back.already is not None
    assert told.back.already.startswith("r2, brought last to production")


def test_a_run_that_is_open_elsewhere_is_still_what_is_said(site: PromotedSite) -> None:
    promoted(site, 1)
    plan = site.bring_to_gate(2)
    site.runner.ends = [StepResult(status="done", message="", told={}), StepResult(status="unreachable", message="no route", told={})]
    assert site.promote(plan).outcome == "interrupted"
    site.evidence.unreached = {"mint-data": "no route"}
    assert site.roll_back().outcome == "interrupted"
    spec = site.files.specs[STACK]
    alone = spec.environments["production"].model_copy(update={"hosts": ("mint-apps",)})
    site.files.specs[STACK] = spec.model_copy(update={"environments": {**spec.environments, "production": alone}})
    assert site.roll_back().outcome == "rolled-back"
    with pytest.raises(RefusedError, match="is open on mint-data, no host of production any more"):
        site.roll_back()
    run = next(one.run for one in site.receipts.chain if one.plan == plan.plan)
    abandon_run(run, site.view, operator=OPERATOR, reason="it burnt down", ports=site.ports, progress=lambda _: None)
    assert "r2, brought last to production" in changes_nothing(site).messages[0]
