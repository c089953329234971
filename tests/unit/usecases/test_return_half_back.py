"""What went back from one host alone, or lacks its end on record: no way back ends there, and none leaves it behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controlplane.domain.receipt import open_intents
from controlplane.domain.releases.history import Deployed
from controlplane.domain.releases.taken_back import means, still_there
from controlplane.domain.releases.values import EnvironmentName
from controlplane.ports.plays import StepResult
from controlplane.usecases.abandon_run import abandon_run
from controlplane.usecases.release_case import history
from controlplane.usecases.release_way_back import way_back
from controlplane.usecases.show_releases import release_status
from tests.fakes.promotions import PromotedSite
from tests.fakes.releases import HOSTS, STACK
from tests.fakes.site import OPERATOR
from tests.unit.usecases.test_return_twice import BACK, V2, killed_at_each_receipt, promoted, runs_of, with_other_values

DONE, FAILED = StepResult(status="done", message="", told={}), StepResult(status="failed", message="disk full", told={})
STAGED_BACK = "controlplane release rollback shop --env staging"


def found_in(site: PromotedSite, name: EnvironmentName = "staging") -> Deployed:
    return history(site.site, STACK, name, tuple(site.receipts.chain), site.ports)


def ran_by(site: PromotedSite, name: EnvironmentName = "staging") -> list[str | None]:
    """Return the runs by which the hosts have what they have, host by host."""
    return [host.current.run if host.current is not None else None for host in found_in(site, name).hosts]


def next_of(site: PromotedSite) -> str:
    return str(release_status(site.site, STACK, site.release_ports)["next"])


def staged(site: PromotedSite, number: int, value: str = "") -> str:
    """Stage a release, by an environment file with one more value, and return its run."""
    site.files.env[STACK, "staging"] += f"{value}=1\n" if value else ""
    assert site.stage(number).outcome == "done"
    return max((one for host in found_in(site).hosts for one in host.deployments), key=lambda one: one.begun_seq).run


def halves(site: PromotedSite, act: Callable[[PromotedSite], object], name: EnvironmentName = "staging") -> list[PromotedSite]:
    """Return the site as each kill of a way back leaves it that was on one host alone by then."""
    kills = killed_at_each_receipt(site, site.world.count, act)
    found = [one for one in kills if len(set(ran_by(one, name))) == 2 and not open_intents(one.receipts.chain)]
    assert found
    return found


def of_hosts(site: PromotedSite, *hosts: str, name: EnvironmentName = "production") -> None:
    spec = site.files.specs[STACK]
    there = spec.environments[name].model_copy(update={"hosts": hosts})
    site.files.specs[STACK] = spec.model_copy(update={"environments": {**spec.environments, name: there}})


def test_no_way_back_ends_at_a_run_that_went_back_from_one_host_under_a_newer_release() -> None:
    site = PromotedSite()
    first, second = staged(site, 1), staged(site, 1, "MORE")
    for half in halves(site, lambda one: one.roll_back("staging")):
        third = staged(half, 3)
        back = way_back(half.site, STACK, "staging", None, half.release_ports)
        assert (back.runs, back.to, back.to_run) == ((third, second), "r1", first)
        for _ in range(2):
            assert (half.roll_back("staging").outcome, ran_by(half)) == ("rolled-back", [first, first])


def test_nor_does_one_that_was_asked_for_all_and_killed_before_another_release_came() -> None:
    site = PromotedSite()
    first, second = staged(site, 1), staged(site, 1, "MORE")
    left = []
    for half in halves(site, lambda one: one.roll_back("staging", "nothing")):
        goes_to = first if second in ran_by(half) else None
        third = staged(half, 1, "THIRD")
        assert way_back(half.site, STACK, "staging", None, half.release_ports).runs == (third, second if goes_to else first)
        for _ in range(2):
            assert (half.roll_back("staging").outcome, ran_by(half)) == ("rolled-back", [goes_to, goes_to])
        left.append(goes_to)
    assert left == [first, None]


def test_by_its_manifest_a_way_back_that_was_killed_between_two_hosts_goes_on_to_the_run_before() -> None:
    site = with_other_values(promoted(PromotedSite(), 1))
    first, second = runs_of(site)
    for half in halves(site, lambda one: one.roll_back(), "production"):
        assert way_back(half.site, STACK, "production", "r1", half.release_ports).runs == (second,)
        assert (half.roll_back(to="r1").outcome, ran_by(half, "production")) == ("rolled-back", [first, first])


def test_a_run_that_is_all_back_and_still_open_is_closed_by_the_next_call() -> None:
    site = promoted(PromotedSite(), 1, 2)
    plan = site.bring_to_gate(3)
    closed = []
    for cut in killed_at_each_receipt(site, site.world.count, lambda one: one.promote(plan)):
        whole = [one for one in open_intents(cut.receipts.chain) if one.step == "*"]
        if not whole or len(runs_of(cut)) < 3:
            continue
        for killed in killed_at_each_receipt(cut, cut.world.count, lambda one: one.roll_back()):
            back = killed.roll_back()
            assert (back.outcome, killed.roll_back().outcome, killed.production()) == ("rolled-back", "rolled-back", V2)
            assert open_intents(killed.receipts.chain) == ()
            if f"run {runs_of(killed)[2]} was back on all of its hosts and still open: it is closed now" in back.messages:
                closed.append(killed)
    assert len(closed) == 4
    closed[0].make_ready()
    assert closed[0].promote(closed[0].plan_of(3, "production")).outcome == "done"


def test_what_is_open_comes_before_what_failed_below_it() -> None:
    site = PromotedSite()
    staged(site, 1)
    staged(site, 2)
    site.files.env[STACK, "staging"] += "MORE=1\n"
    site.runner.ends = [DONE, FAILED]
    assert site.stage(2).outcome == "failed"
    cut = [one for one in killed_at_each_receipt(site, site.world.count, lambda one: one.stage(1)) if len(open_intents(one.receipts.chain)) == 1]
    between = next(one for one in cut if len({host.current.manifest_name for host in found_in(one).hosts if host.current}) == 2)
    opened = next(one for one in open_intents(between.receipts.chain) if one.step == "*")
    goes_on = f"controlplane release stage shop --plan {between.view.folder}/state/plans/{opened.plan.removeprefix('sha256:')}.json"
    assert next_of(between) == f"{goes_on}    (or take it back: {STAGED_BACK})"


@pytest.mark.parametrize("gone", HOSTS)
def test_a_way_back_that_was_abandoned_names_how_it_ends_without_the_host(gone: str) -> None:
    site = promoted(PromotedSite(), 1, 2)
    first, second = runs_of(site)
    cut = killed_at_each_receipt(site, site.world.count, lambda one: one.roll_back())
    site = next(one for one in cut if any(left.host == gone for left in open_intents(one.receipts.chain)))
    site.evidence.unreached = {gone: "no route"}
    abandon_run(second, site.view, operator=OPERATOR, reason="it burnt down", ports=site.ports, progress=lambda _: None)
    if gone == "mint-data":
        assert site.roll_back().outcome == "interrupted"
    assert next_of(site) == f"{BACK}    (or, for good without {gone}: take it out of production in releases/shop.yml)"
    of_hosts(site, *(host for host in HOSTS if host != gone))
    assert (site.roll_back().outcome, ran_by(site, "production")) == ("rolled-back", [first])
    assert "rollback" not in next_of(site)


def test_after_a_way_back_that_is_not_proven_the_one_that_is_named_goes_further() -> None:
    site = promoted(PromotedSite(), 1, 2, 3)
    site.stubs = {2}
    told = site.roll_back()
    assert told.outcome == "failed"
    assert told.messages[-1].startswith(f"Prove it again: {BACK} --to r2; or go further back: {BACK} --to r1; ")
    site.stubs = set()
    assert site.stage(2).outcome == "done"
    assert site.prove(STACK, "staging", progress=lambda _: None).passed
    site.stubs = {2}
    assert not site.prove(STACK, "production", progress=lambda _: None).passed
    assert next_of(site) == f"{BACK} --to r1 --dry-run"


def test_further_back_is_what_stands_behind_the_newest_run_also_where_a_host_came_later() -> None:
    site = PromotedSite()
    of_hosts(site, "mint-apps")
    promoted(site, 1)
    first = runs_of(site)[0]
    of_hosts(site, *HOSTS)
    site.make_ready()
    assert site.promote(site.plan_of(1, "production")).outcome == "done"
    promoted(site, 2)
    assert site.roll_back().outcome == "rolled-back"
    assert site.roll_back().messages[0].endswith(f"; r1 stands. Nothing was changed; further back: {BACK} --to {first}")
    assert (site.roll_back(to=first).outcome, ran_by(site, "production")) == ("rolled-back", [first, None])


def test_what_failed_is_not_named_to_go_back_to() -> None:
    site = PromotedSite()
    staged(site, 1)
    site.runner.ends = [FAILED]
    assert site.stage(2).outcome == "failed"
    staged(site, 3)
    staged(site, 3, "MORE")
    assert site.roll_back("staging").outcome == "rolled-back"
    assert site.roll_back("staging").messages[0].endswith(f"; r3 stands. Nothing was changed; further back: {STAGED_BACK} --to r1")


def test_a_manifest_that_is_called_as_a_run_comes_before_that_run() -> None:
    newest, *_, oldest = still_there(found_in(promoted(PromotedSite(), 1, 2), "production"))
    called = oldest.model_copy(update={"manifest_name": newest.run})
    assert means(newest.run, newest, (newest, oldest))
    assert (means(newest.run, newest, (newest, called)), means(newest.run, called, (newest, called))) == (False, True)


def test_what_was_proven_on_a_host_before_production_moved_away_and_back_is_proven_anew_by_a_smoke_run() -> None:
    site = PromotedSite()
    of_hosts(site, "mint-apps")
    promoted(site, 1)
    of_hosts(site, "mint-data")
    promoted(site, 2)
    of_hosts(site, "mint-apps")
    assert next_of(site) == "controlplane release smoke shop --env production"
    assert site.prove(STACK, "production", progress=lambda _: None).passed
    assert "release smoke" not in next_of(site)
