"""A rollback that is asked for twice takes back what was asked for once, wherever the first call was killed."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from controlplane.domain.errors import InputInvalidError, RefusedError
from controlplane.domain.releases.history import Deployed
from controlplane.domain.releases.result import ReleaseResult
from controlplane.ports.plays import StepResult
from controlplane.usecases.abandon_run import abandon_run
from controlplane.usecases.rehearse_release_return import rehearse_return
from controlplane.usecases.release_case import history
from controlplane.usecases.release_way_back import way_back
from controlplane.usecases.show_releases import release_status
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


def with_other_values(site: PromotedSite) -> PromotedSite:
    """Promote r1 once more, with another environment file."""
    site.files.env[STACK, "production"] += "MORE=1\n"
    site.make_ready()
    assert site.promote(site.plan_of(1, "production")).outcome == "done"
    return site


def history_of(site: PromotedSite) -> Deployed:
    return history(site.site, STACK, "production", tuple(site.receipts.chain), site.ports)


def runs_of(site: PromotedSite) -> list[str]:
    """Return the runs that brought something to production, the oldest first."""
    return list(dict.fromkeys(one.run for one in history_of(site).hosts[0].deployments))


def standing(site: PromotedSite) -> set[str]:
    """Return the runs by which the hosts of production have what they have."""
    return {host.current.run for host in history_of(site).hosts if host.current is not None}


def killed_at_each_receipt(site: PromotedSite, before: int, act: Callable[[PromotedSite], object]) -> list[PromotedSite]:
    """Return the site as each kill at a receipt of an act leaves it; `before` is how far its world was."""
    whole = copy.deepcopy(site)
    act(whole)
    left = []
    for at, place in enumerate(whole.world.places, 1):
        if at > before and place in ("intent written", "result written"):
            killed = copy.deepcopy(site)
            killed.world.at, killed.world._error = at, Killed
            with pytest.raises(Killed):
                act(killed)
            killed.world.at = None
            left.append(killed)
    return left


def test_one_manifest_that_was_brought_twice_goes_back_on_each_host_wherever_the_first_call_was_killed(site: PromotedSite) -> None:
    with_other_values(promoted(site, 1))
    first, second = runs_of(site)
    kills = killed_at_each_receipt(site, site.world.count, lambda one: one.roll_back())
    halves = 0
    assert len(kills) == 6
    for killed in kills:
        if standing(killed) == {first, second}:
            halves += 1
            status = release_status(killed.site, STACK, killed.release_ports)
            assert (status["environments"][1]["manifest"], status["next"]) == (None, BACK)
            assert status["environments"][1]["doubt"] is not None
        for to in (None, first, None):
            assert (killed.roll_back(to=to).outcome, standing(killed)) == ("rolled-back", {first})
    assert halves


def test_the_same_where_it_goes_back_by_itself(site: PromotedSite) -> None:
    promoted(site, 1)
    site.files.env[STACK, "production"] += "MORE=1\n"
    site.make_ready()
    plan = site.plan_of(1, "production")
    before = site.world.count
    site.stubs = {1}
    kills = [one for one in killed_at_each_receipt(site, before, lambda one: one.promote(plan)) if len(runs_of(one)) == 2]
    halves = [one for one in kills if len(standing(one)) == 2 and history_of(one).went_back]
    assert halves
    for killed in halves:
        killed.stubs = set()
        assert (killed.roll_back().outcome, standing(killed)) == ("rolled-back", {runs_of(killed)[0]})


def test_where_a_manifest_stands_more_than_once_the_run_is_named_and_that_goes_there(site: PromotedSite) -> None:
    with_other_values(promoted(site, 1))
    first, second = runs_of(site)
    back = way_back(site.site, STACK, "production", None, site.release_ports)
    assert (back.runs, back.to, back.to_run, back.command) == ((second,), "r1", first, f"{BACK} --to {first}")
    assert way_back(site.site, STACK, "production", first, site.release_ports) == back
    told = f"r1 is what shop runs now. Nothing was changed. It stands behind that once more, by an earlier run: {BACK} --to {first}"
    for to in ("r1", second):
        with pytest.raises(RefusedError, match="is what shop runs now") as refused:
            site.roll_back(to=to)
        assert str(refused.value) == (told if to == "r1" else f"{second} is what shop runs now. Nothing was changed.")
    with pytest.raises(InputInvalidError, match=f"there are {first}$"):
        site.roll_back(to="r2")
    plan = site.bring_to_gate(2)
    site.stubs = {2}
    assert (site.promote(plan).outcome, standing(site)) == ("rolled-back", {second})
    assert changes_nothing(site).messages[0].endswith(f"; r1 stands. Nothing was changed; further back: {BACK} --to {first}")
    for _ in range(2):
        assert (site.roll_back(to=first).outcome, standing(site)) == ("rolled-back", {first})
    assert changes_nothing(site).messages[0].endswith(f"further back: {BACK} --to nothing")


def test_what_runs_because_a_way_back_brought_it_there_is_named_as_often_as_one_likes(site: PromotedSite) -> None:
    promoted(site, 1, 2, 3)
    with pytest.raises(RefusedError, match=r"^r3 is what shop runs now\. Nothing was changed\.$"):
        site.roll_back(to="r3")
    for killed in killed_at_each_receipt(site, site.world.count, lambda one: one.roll_back(to="r1")):
        for _ in range(2):
            assert (killed.roll_back(to="r1").outcome, killed.production()) == ("rolled-back", V1)
    site.roll_back(to="r1")
    before = list(site.receipts.chain)
    again = site.roll_back(to="r1")
    assert (again.exit_code(), again.returned, again.manifest, site.receipts.chain) == (0, (), "r1", before)
    assert again.messages[0].endswith(f"; r1 stands. Nothing was changed; further back: {BACK} --to nothing")
    promoted(site, 3)
    with pytest.raises(RefusedError, match="r3 is what shop runs now"):
        site.roll_back(to="r3")


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


def test_a_run_that_is_open_elsewhere_is_still_what_is_said_and_what_is_back_stays_asked_for_as_often_as_one_likes(site: PromotedSite) -> None:
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
    assert "before this is ended: run " in changes_nothing(site).messages[0]
    with pytest.raises(RefusedError, match="is open on mint-data, no host of production any more"):
        site.roll_back(to="nothing")
    run = next(one.run for one in site.receipts.chain if one.plan == plan.plan)
    abandon_run(run, site.view, operator=OPERATOR, reason="it burnt down", ports=site.ports, progress=lambda _: None)
    assert "r2, brought last to production" in changes_nothing(site).messages[0]
