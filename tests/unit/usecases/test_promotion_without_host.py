"""A host that died was taken out of production for good: a promotion comes to its end on those that are left."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from controlplane.domain.errors import InterruptedRunError, RefusedError, UnknownError
from controlplane.domain.plan import Plan
from controlplane.domain.receipt import open_intents
from controlplane.domain.run_result import RunResult
from controlplane.ports.plays import StepResult
from controlplane.usecases.abandon_run import abandon_run
from controlplane.usecases.rehearse_release import rehearse
from controlplane.usecases.roll_back import roll_back
from controlplane.usecases.show_releases import release_status
from tests.fakes.kept import copied_each_time
from tests.fakes.promotions import PromotedSite
from tests.fakes.releases import STACK, running
from tests.fakes.site import OPERATOR

DONE, LOST = StepResult(status="done", message="", told={}), StepResult(status="unreachable", message="no route", told={})
AWAY = {"mint-data": "no route"}


def take_out(site: PromotedSite) -> None:
    """Let production be of the first host alone, the second being gone with all that ran there."""
    spec = site.files.specs[STACK]
    alone = spec.environments["production"].model_copy(update={"hosts": ("mint-apps",)})
    site.files.specs[STACK] = spec.model_copy(update={"environments": {**spec.environments, "production": alone}})
    site.hosts["mint-data"].probes["docker_containers"] = []
    site.evidence.unreached = AWAY


@copied_each_time
def dead_in_its_step() -> tuple[PromotedSite, Plan]:
    """Return a site on which the second host died as r2 came to it; its run was abandoned, and the host taken out."""
    site = PromotedSite()
    assert site.promote(site.bring_to_gate(1)).outcome == "done"
    plan = site.bring_to_gate(2)
    site.runner.ends = [DONE, LOST]
    assert site.promote(plan).outcome == "interrupted"
    site.evidence.unreached = AWAY
    [run] = {one.run for one in open_intents(site.receipts.chain)}
    abandon_run(run, site.view, operator=OPERATOR, reason="it burnt down", ports=site.ports, progress=lambda _: None)
    take_out(site)
    return site, plan


@copied_each_time
def dead_in_its_proof() -> tuple[PromotedSite, Plan]:
    """Return a site on which r2 came to both hosts, its proof was cut, and the second host died and was taken out."""
    site = PromotedSite()
    assert site.promote(site.bring_to_gate(1)).outcome == "done"
    plan = site.bring_to_gate(2)

    def cut() -> None:
        site.tests.during = lambda: None
        raise InterruptedRunError("Interrupted.")

    site.tests.during = cut
    assert site.promote(plan).outcome == "interrupted"
    take_out(site)
    return site, plan


DEATHS = pytest.mark.parametrize("dead", [dead_in_its_step, dead_in_its_proof])
Dead = Callable[[], tuple[PromotedSite, Plan]]


def next_of(site: PromotedSite) -> str:
    return str(release_status(site.site, STACK, site.release_ports)["next"])


def dry(site: PromotedSite, plan: Plan) -> list[str]:
    return [line.name for line in rehearse(site.site, STACK, "production", plan, site.release_ports).gate]


@DEATHS
def test_what_stands_on_the_host_that_is_left_is_proven_and_stays(dead: Dead) -> None:
    site, plan = dead()
    assert next_of(site).startswith("controlplane release promote shop --plan ")
    assert dry(site, plan) == ["proof"]
    for _ in range(2):
        result = site.promote(plan)
        assert (result.outcome, result.returned, site.production()) == ("done", (), {"2 intake", "2 seeds"}), result.messages
    assert dry(site, plan) == ["plan"]


@DEATHS
def test_a_smoke_run_by_hand_settles_it_as_well(dead: Dead) -> None:
    site, plan = dead()
    assert site.prove(STACK, "production", progress=lambda _: None).passed
    before = list(site.receipts.chain)
    assert (site.promote(plan).outcome, site.receipts.chain) == ("done", before)


@pytest.mark.parametrize("by_hand", [False, True])
@DEATHS
def test_a_stub_goes_back_from_the_host_that_is_left_and_that_is_its_end(dead: Dead, *, by_hand: bool) -> None:
    site, plan = dead()
    site.stubs = {2}
    if by_hand:
        assert not site.prove(STACK, "production", progress=lambda _: None).passed
    assert dry(site, plan) == ["way back" if by_hand else "proof"]
    result = site.promote(plan)
    assert (result.outcome, site.production()) == ("rolled-back", {"1 intake", "1 seeds"}), result.messages
    for _ in range(2):
        with pytest.raises(RefusedError, match="was carried out and taken back"):
            site.promote(plan)


def test_what_the_host_that_is_left_runs_by_hand_comes_through_the_gate_which_names_the_one_that_is_gone() -> None:
    site, plan = dead_in_its_proof()
    odd = running(3, "seeds", "production")["image_digests"]
    next(one for one in site.hosts["mint-apps"].probes["docker_containers"] if one["name"] == "shop-production-seeds-1")["image_digests"] = odd
    with pytest.raises(RefusedError, match=r"brings shop to mint-data, no host of production any more\. Nothing was changed"):
        site.promote(plan)


def of_hosts(site: PromotedSite, *hosts: str) -> None:
    """Let production be of these hosts; what runs on the others goes on."""
    spec = site.files.specs[STACK]
    there = spec.environments["production"].model_copy(update={"hosts": hosts})
    site.files.specs[STACK] = spec.model_copy(update={"environments": {**spec.environments, "production": there}})


def open_run_of(site: PromotedSite) -> str:
    [run] = {one.run for one in open_intents(site.receipts.chain)}
    return run


def on_apps(site: PromotedSite) -> set[str]:
    """Return what runs in production on the host that is left."""
    rows = site.hosts["mint-apps"].probes["docker_containers"]
    return {one["name"] + one["image_digests"][0][-64:-60] for one in rows if one["compose_project"] == "shop-production"}


def r2_left_open(first: tuple[str, ...], then: tuple[str, ...]) -> tuple[PromotedSite, Plan, set[str]]:
    """Return a site with r1 on `first`, r2 on its way to `then` and cut on the second host, what ran on mint-apps before, and r2's plan."""
    site = PromotedSite()
    of_hosts(site, *first)
    assert site.promote(site.bring_to_gate(1)).outcome == "done"
    before = on_apps(site)
    of_hosts(site, *then)
    plan = site.bring_to_gate(2)
    site.runner.ends = [DONE, LOST][then.index("mint-data") == 0 :]
    assert site.promote(plan).outcome == "interrupted"
    site.evidence.unreached = AWAY
    if then.index("mint-data"):
        assert site.roll_back().outcome == "interrupted"
    of_hosts(site, "mint-apps")
    assert on_apps(site) == before
    return site, plan, before


OPEN_ON_BOTH = (("mint-apps", "mint-data"), ("mint-apps", "mint-data"))
OPEN = pytest.mark.parametrize(
    ("first", "then"),
    [
        (("mint-apps",), ("mint-apps", "mint-data")),
        (("mint-apps",), ("mint-data", "mint-apps")),
        OPEN_ON_BOTH,
    ],
    ids=["joined", "joined first", "both ran r1"],
)


@OPEN
def test_a_run_that_is_open_on_a_host_that_production_has_no_more_takes_no_other_release_down(first: tuple[str, ...], then: tuple[str, ...]) -> None:
    site, _, before = r2_left_open(first, then)
    run = open_run_of(site)
    told = f"run {run} is open on mint-data, no host of production any more: name mint-data in releases/shop.yml again, then run this again; "
    told += f'gone for good: controlplane runs abandon {run} --reason "..."'
    assert next_of(site) == told
    if then[0] == "mint-apps":
        # What is back has its proof to come.
        assert (site.roll_back().outcome, next_of(site)) == ("rolled-back", told)
        # Asked for once more there is nothing to refuse, and nothing goes further.
        again = site.roll_back()
        assert (again.exit_code(), again.returned) == (0, ())
        assert again.messages[0].endswith(f"; r1 stands. Nothing was changed; nothing goes further back before this is ended: {told}")
    with pytest.raises(RefusedError) as refused:
        site.roll_back(to=None if then[0] == "mint-data" else "nothing")
    assert str(refused.value) == f"shop in production is not taken back: {told}. Nothing was changed."
    abandon_run(run, site.view, operator=OPERATOR, reason="it burnt down", ports=site.ports, progress=lambda _: None)
    assert "rollback" not in next_of(site)
    assert on_apps(site) == before


@OPEN
def test_asked_back_by_its_key_it_names_what_says_how_it_ends_and_no_rollback_that_is_refused(first: tuple[str, ...], then: tuple[str, ...]) -> None:
    site, _, _ = r2_left_open(first, then)
    run, before = open_run_of(site), list(site.receipts.chain)
    with pytest.raises(RefusedError) as refused:
        site.rollback(run)
    assert str(refused.value).endswith(f"Nothing was changed. Run {run} is open. How it goes on, or back: controlplane release status shop")
    assert site.receipts.chain == before


def test_what_an_open_run_stands_on_names_what_says_how_that_ends() -> None:
    site, _, _ = r2_left_open(*OPEN_ON_BOTH)
    run = open_run_of(site)
    key = next(one.key for one in site.receipts.chain if one.capability == "release.deploy" and one.host == "mint-data")
    # Its own verb asked for it, as for another run below the open one.
    with pytest.raises(RefusedError, match=f"later steps stand on it: .*Run {run} is open. How it is ended first: controlplane release status shop$"):
        roll_back(key, site.view, operator=OPERATOR, ports=site.ports, progress=lambda _: None, planned=site.view)


def test_a_host_that_went_back_by_itself_in_the_last_moment_names_no_rollback_of_the_run() -> None:
    site = PromotedSite()
    assert site.promote(site.bring_to_gate(1)).outcome == "done"
    plan = site.bring_to_gate(2)
    site.runner.ends = [DONE, LOST]
    assert site.promote(plan).outcome == "interrupted"
    run = open_run_of(site)
    key = next(one.key for one in site.receipts.chain if one.run == run and one.host == "mint-apps")

    def back(on: PromotedSite) -> RunResult:
        return roll_back(key, on.view, operator=OPERATOR, ports=on.ports, progress=lambda _: None, planned=on.view)

    whole = copy.deepcopy(site)
    assert back(whole).outcome == "rolled-back"
    site.world.at = max(number for number, place in enumerate(whole.world.places, 1) if place == "result written")
    result = back(site)
    assert result.messages[0].endswith("all 1 steps are back.")
    assert result.messages[1] == f"Run {run} is open on other hosts. How it goes on, or back: controlplane release status shop"


def test_what_failed_below_such_a_run_names_its_end_and_no_rollback_that_is_refused() -> None:
    site = PromotedSite()

    def staging(*hosts: str) -> None:
        spec = site.files.specs[STACK]
        there = spec.environments["staging"].model_copy(update={"hosts": hosts})
        site.files.specs[STACK] = spec.model_copy(update={"environments": {**spec.environments, "staging": there}})

    site.runner.ends = [StepResult(status="failed", message="no", told={})]
    staging("mint-apps", "mint-data")
    assert site.stage(1).outcome == "failed"
    staging("mint-data")
    site.runner.ends = [LOST]
    assert site.stage(2).outcome == "interrupted"
    staging("mint-apps")
    # Its plan is refused as well as long as that run is open.
    assert next_of(site).startswith(f"run {open_run_of(site)} is open on mint-data, no host of staging any more: name mint-data in ")
    assert "release rollback" not in next_of(site)
    with pytest.raises(RefusedError, match="is open on mint-data"):
        site.roll_back("staging")


@OPEN
def test_named_again_that_host_ends_its_run_as_release_status_says(first: tuple[str, ...], then: tuple[str, ...]) -> None:
    site, _, before = r2_left_open(first, then)
    site.evidence.unreached = {}
    of_hosts(site, *then)
    assert next_of(site).endswith("(or take it back: controlplane release rollback shop --env production)")
    assert (site.roll_back().outcome, open_intents(site.receipts.chain), on_apps(site)) == ("rolled-back", (), before)


def test_what_was_brought_behind_such_a_run_goes_back_all_the_same() -> None:
    site, _, before = r2_left_open(("mint-apps",), ("mint-data", "mint-apps"))
    run = open_run_of(site)
    spec = site.files.specs[STACK]
    alone = spec.environments["staging"].model_copy(update={"hosts": ("mint-apps",)})
    site.files.specs[STACK] = spec.model_copy(update={"environments": {**spec.environments, "staging": alone}})
    assert site.promote(site.bring_to_gate(3)).outcome == "done"
    assert site.roll_back().outcome == "rolled-back"
    assert on_apps(site) == before
    assert f"before this is ended: run {run} is open on mint-data" in site.roll_back().messages[0]
    with pytest.raises(RefusedError, match=f"run {run} is open on mint-data"):
        site.roll_back(to="nothing")


@pytest.mark.parametrize(("ends", "told"), [([DONE, LOST], "is open on mint-data"), ([LOST], "is open and was to come to mint-data")])
def test_while_something_of_it_stands_here_that_goes_back_and_no_plan_is_named_that_is_refused(ends: list[StepResult], told: str) -> None:
    site = PromotedSite()
    assert site.promote(site.bring_to_gate(1)).outcome == "done"
    before = on_apps(site)
    plan = site.bring_to_gate(2)
    site.runner.ends = list(ends)
    assert site.promote(plan).outcome == "interrupted"
    of_hosts(site, "mint-apps")
    assert next_of(site).startswith(f"run {open_run_of(site)} {told}, no host of production any more: name mint-data in releases/shop.yml again, ")
    assert next_of(site).endswith("    (or take it back: controlplane release rollback shop --env production)")
    assert (site.roll_back().outcome, on_apps(site)) == ("rolled-back", before)


def test_each_release_goes_back_once_a_host_was_taken_out() -> None:
    site = PromotedSite()
    for number in (1, 2, 3):
        assert site.promote(site.bring_to_gate(number)).outcome == "done"
    take_out(site)
    for left in (2, 1):
        assert (site.roll_back(to=f"r{left}").outcome, site.production()) == ("rolled-back", {f"{left} intake", f"{left} seeds"})


@pytest.mark.parametrize("by_hand", [False, True])
def test_what_an_abandoned_run_brought_is_asked_of_a_second_witness_before_it_is_done(*, by_hand: bool) -> None:
    site, plan = dead_in_its_step()
    answer = site.witness.answer
    if by_hand:
        assert site.prove(STACK, "production", progress=lambda _: None).passed
    site.witness.answer = lambda *of: tuple(one.model_copy(update={"said": "otherwise"}) for one in answer(*of))  # type: ignore[method-assign]
    if not by_hand:
        assert dry(site, plan) == ["way back"]
        result = site.promote(plan)
        assert (result.outcome, site.production()) == ("rolled-back", {"1 intake", "1 seeds"})
        assert result.messages[0].startswith("r2 was taken back by itself: its run was abandoned, and mint-apps: two witnesses disagree: ")
        return
    # What is proven goes back when it is asked for, and not before.
    before = list(site.receipts.chain)
    for act in (site.promote, lambda plan: dry(site, plan)):
        with pytest.raises(
            UnknownError,
            match=r"(?s)was abandoned: mint-apps: two witnesses disagree: .*Nothing was changed\. See why the second witness does not agree, "
            r"then run this again; or take it back: controlplane release rollback shop --env production$",
        ):
            act(plan)
    assert (site.receipts.chain, site.production()) == (before, {"2 intake", "2 seeds"})
    # Once another one went over it and back a rollback that names none does nothing.
    kept = copy.deepcopy(site.hosts["mint-apps"].probes)
    site.take_back(site.deploy(3, "production", ("mint-apps",)))
    site.hosts["mint-apps"].probes = kept
    with pytest.raises(UnknownError, match=r"or take it back: controlplane release rollback shop --env production --to r1$"):
        site.promote(plan)
