"""The gate of a promotion on a site's own record: what each of its lines is judged on."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from controlplane.domain.approval import approve
from controlplane.domain.errors import RefusedError, RunFailedError, UnknownError
from controlplane.domain.finding import Verdict
from controlplane.domain.registers import Registers
from controlplane.domain.releases.gate import GateLine
from controlplane.ports.plays import StepResult
from controlplane.usecases import deploy_release
from controlplane.usecases.judge_promotion import judge_promotion
from controlplane.usecases.rehearse_release import rehearse
from controlplane.usecases.release_way_back import way_back
from controlplane.usecases.show_releases import release_status
from tests.fakes.closings import ClosingSite
from tests.fakes.promotions import LOOP, PromotedSite
from tests.fakes.releases import STACK
from tests.fakes.site import OPERATOR


@pytest.fixture
def site() -> PromotedSite:
    return PromotedSite()


def line(site: PromotedSite, name: str, number: int = 1) -> GateLine:
    """Return one line of the gate of a build."""
    lines = judge_promotion(site.site, STACK, site.files.manifest(STACK, f"r{number}"), None, site.release_ports)
    return next(one for one in lines if one.name == name)


def test_without_a_loop_nobody_knows_which_gaps_are_open_and_nothing_is_promoted(site: PromotedSite) -> None:
    plan = site.bring_to_gate(1)
    assert line(site, "gaps").verdict is Verdict.MET
    site.files.specs[STACK] = site.files.specs[STACK].model_copy(update={"loop": None})
    shut = line(site, "gaps")
    assert (shut.verdict, shut.reason) == (Verdict.UNKNOWN, "the release names no loop, so nobody knows which gaps are its own")
    assert "controlplane loops file --title" in str(shut.next)
    with pytest.raises(UnknownError, match="gaps: the release names no loop"):
        site.promote(plan)
    assert site.production() == set()


def test_a_gap_of_the_loop_that_took_in_the_releases_own_is_not_passed_over(site: PromotedSite) -> None:
    loops = {LOOP: {"title": "the shop", "status": "absorbed", "absorbed_by": "LOOP-ALL"}, "LOOP-ALL": {"title": "all"}}
    gaps = {"GAP-OP-1": {"title": "too slow", "loops": ["LOOP-ALL"]}}
    registers = Registers.model_validate({"loops": loops, "gaps": gaps}, strict=False)
    site.site = replace(site.site, governance=replace(site.site.governance, registers=registers))
    shut = line(site, "gaps")
    assert (shut.verdict, shut.reason) == (Verdict.UNKNOWN, f"{LOOP} was absorbed by LOOP-ALL, and its gaps with it: name that one")


def test_a_smoke_run_that_could_not_be_put_into_its_manifest_opens_no_gate(site: PromotedSite) -> None:
    site.bring_to_gate(1)
    site.files.refuses = RefusedError("r1.yml is a symbolic link")
    with pytest.raises(RunFailedError, match="could not be put into manifest r1"):
        site.smoke("staging")
    assert (line(site, "smoke").verdict, "says tested_by CAP-" in line(site, "smoke").reason) == (Verdict.DRIFTED, True)
    site.files.refuses = None
    assert site.smoke("staging").passed
    assert line(site, "smoke").verdict is Verdict.MET


def production_on(site: PromotedSite, *hosts: str) -> PromotedSite:
    """Let production have these hosts."""
    spec = site.files.specs[STACK]
    production = spec.environments["production"].model_copy(update={"hosts": hosts})
    site.files.specs[STACK] = spec.model_copy(update={"environments": {**spec.environments, "production": production}})
    return site


def test_a_host_that_production_got_since_loses_its_first_release_with_the_others_going_back(site: PromotedSite) -> None:
    assert production_on(site, "mint-apps").promote(site.bring_to_gate(1)).outcome == "done"
    assert production_on(site, "mint-apps", "mint-data").promote(site.bring_to_gate(2)).outcome == "done"
    back = way_back(site.site, STACK, "production", None, site.release_ports)
    assert (set(back.hosts), back.emptied, back.to) == ({"mint-apps", "mint-data"}, ("mint-data",), "r1")
    assert site.roll_back().outcome == "rolled-back"
    run = [one["compose_project"] for one in site.hosts["mint-data"].probes["docker_containers"]]
    assert (site.production(), "shop-production" in run) == ({"1 intake", "1 seeds"}, False)


def test_a_host_that_production_got_since_shuts_no_gate_and_gets_the_next_release(site: PromotedSite) -> None:
    assert production_on(site, "mint-apps").promote(site.bring_to_gate(1)).outcome == "done"
    plan = production_on(site, "mint-apps", "mint-data").bring_to_gate(2)
    assert line(site, "production", 2).verdict is Verdict.MET
    assert site.promote(plan).outcome == "done"
    assert site.production() == {"2 intake", "2 seeds"}
    assert {step.host for step in plan.steps} == {"mint-apps", "mint-data"}


def test_the_same_release_is_brought_to_a_host_that_production_got_since(site: PromotedSite) -> None:
    assert production_on(site, "mint-apps").promote(site.bring_to_gate(1)).outcome == "done"
    plan = production_on(site, "mint-apps", "mint-data").plan_of(1, "production")
    site.make_ready()
    assert [step.host for step in plan.steps] == ["mint-data"]
    assert site.promote(plan).outcome == "done"
    assert line(site, "production").verdict is Verdict.MET


def test_what_fails_on_a_host_that_production_got_since_goes_back_and_is_in_no_further_release_s_way(site: PromotedSite) -> None:
    assert production_on(site, "mint-apps").promote(site.bring_to_gate(1)).outcome == "done"
    plan = production_on(site, "mint-apps", "mint-data").bring_to_gate(2)
    site.stubs = {2}
    result = site.promote(plan)
    assert (result.outcome, site.production()) == ("rolled-back", {"1 intake", "1 seeds"}), result.messages
    site.stubs = set()
    assert site.promote(site.bring_to_gate(3)).outcome == "done"


def test_what_was_not_proven_before_production_got_a_host_is_still_asked_for(site: PromotedSite) -> None:
    site.deploy(1, "production", ["mint-apps"])
    told = "r1 was brought there and no smoke run met it since: controlplane release smoke shop --env production"
    assert (line(site, "production", 2).verdict, line(site, "production", 2).reason) == (Verdict.DRIFTED, told)
    assert site.smoke("production").passed
    assert line(site, "production", 2).verdict is Verdict.MET


def test_hosts_that_were_given_different_releases_and_a_way_back_that_did_not_end_shut_it_all_the_same(site: PromotedSite) -> None:
    site.deploy(1, "production")
    site.deploy(2, "production", ["mint-apps"])
    assert line(site, "production", 2).reason == "its hosts disagree: mint-apps runs r2, mint-data runs r1"
    half = PromotedSite()
    half.take_back(half.deploy(1, "production"), hosts=["mint-data"])
    assert line(half, "production", 2).reason == "its hosts disagree: mint-apps runs r1, mint-data runs none"


def test_a_rollback_does_not_mind_a_host_that_production_got_since(site: PromotedSite) -> None:
    for number in (1, 2):
        assert production_on(site, "mint-apps").promote(site.bring_to_gate(number)).outcome == "done"
    result = production_on(site, "mint-apps", "mint-data").roll_back()
    assert (result.outcome, site.production()) == ("rolled-back", {"1 intake", "1 seeds"}), result.messages


@pytest.mark.parametrize("ends", [["done", "interrupted"], ["done", "failed", "interrupted"]], ids=["begun there", "on its way back from there"])
def test_what_was_begun_on_a_host_that_production_got_since_goes_back_as_release_status_says(site: PromotedSite, ends: list[Any]) -> None:
    assert production_on(site, "mint-apps").promote(site.bring_to_gate(1)).outcome == "done"
    plan = production_on(site, "mint-apps", "mint-data").bring_to_gate(2)
    site.runner.ends = [StepResult(status=end, message=end, told={}) for end in ends]
    assert site.promote(plan).outcome == "interrupted"
    assert "controlplane release rollback shop --env production" in release_status(site.site, STACK, site.release_ports)["next"]
    result = site.roll_back()
    assert (result.outcome, site.production()) == ("rolled-back", {"1 intake", "1 seeds"}), result.messages
    assert line(site, "production", 2).verdict is Verdict.MET


def test_an_approval_that_is_used_up_is_no_met_line_where_what_was_brought_was_changed_by_hand() -> None:
    site = PromotedSite()
    spec = site.files.specs[STACK]
    site.files.specs[STACK] = spec.model_copy(update={"promotion": spec.promotion.model_copy(update={"approval": "self"})})
    plan = site.bring_to_gate(1)
    site.approvals.add(approve(plan.plan, approver=OPERATOR, requester=OPERATOR, now=site.clock.now()))
    assert site.promote(plan).outcome == "done"
    keys = {one.key for one in site.receipts.chain if one.plan == plan.plan}
    for host in site.hosts.values():
        host.probes = copy.deepcopy(next(probes for key, probes in host.undo.items() if key in keys))
    site.make_ready()
    [line] = [one for one in rehearse(site.site, STACK, "production", plan, site.release_ports).gate if one.verdict is not Verdict.MET]
    assert (line.name, line.verdict) == ("approval", Verdict.DRIFTED)
    assert "its approval was used by CAP-" in line.reason
    before = list(site.receipts.chain)
    with pytest.raises(RefusedError, match=r"(?s)its gate is shut:.*approval: its approval was used by CAP-.*Nothing was changed"):
        site.promote(plan)
    assert (site.receipts.chain, site.production()) == (before, set())


def test_what_the_second_witness_did_not_confirm_is_settled_by_no_smoke_run(site: PromotedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A smoke run asks one witness alone, and no other release is brought over what goes back."""
    assert site.promote(site.bring_to_gate(1)).outcome == "done"
    plan = site.bring_to_gate(2)

    def kill(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(deploy_release, "take_back", kill)
        answer = site.witness.answer
        patched.setattr(site.witness, "answer", lambda *of: tuple(one.model_copy(update={"said": "otherwise"}) for one in answer(*of)))
        with pytest.raises(KeyboardInterrupt):
            site.promote(plan)
    assert site.prove(STACK, "production", progress=lambda _: None).passed
    third = site.bring_to_gate(3)
    held = line(site, "production", 3)
    assert held.verdict is Verdict.DRIFTED
    assert "is on record as failed, and was not closed since: take it back: controlplane release rollback shop --env production; or, " in held.reason
    assert 'close it: controlplane release close shop --env production --attest "..."' in held.reason
    with pytest.raises(RefusedError, match=r"(?s)r3 is not promoted, its gate is shut:.*production: r2 stands there by run"):
        site.promote(third)
    # Once another one went over it and back a rollback that names none does nothing.
    over = copy.deepcopy(site)
    over.take_back(over.deploy(3, "production"))
    assert "take it back: controlplane release rollback shop --env production --to r1; or, " in line(over, "production", 3).reason
    told = str(release_status(over.site, STACK, over.release_ports)["next"])
    assert "(or take it back: controlplane release rollback shop --env production --to r1)" in told
    assert (over.roll_back(to="r1").outcome, over.production()) == ("rolled-back", {"1 intake", "1 seeds"})
    assert (site.roll_back().outcome, line(site, "production", 3).verdict) == ("rolled-back", Verdict.MET)


def of_hosts(site: PromotedSite, *hosts: str) -> None:
    """Let production be of these hosts."""
    spec = site.files.specs[STACK]
    there = spec.environments["production"].model_copy(update={"hosts": hosts})
    site.files.specs[STACK] = spec.model_copy(update={"environments": {**spec.environments, "production": there}})


@pytest.mark.parametrize("failed_first", [False, True])
def test_a_closing_settles_every_run_by_which_a_host_has_what_stands(monkeypatch: pytest.MonkeyPatch, *, failed_first: bool) -> None:
    """Production got its second host later: that has the same manifest by a run of its own, which failed and did not go back."""
    site = ClosingSite()
    of_hosts(site, "mint-apps")
    site.released()
    of_hosts(site, *(("mint-data", "mint-apps") if failed_first else ("mint-apps", "mint-data")))
    site.make_ready()
    plan = site.plan_of(1, "production")
    assert [step.host for step in plan.steps] == ["mint-data"]

    def kill(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(deploy_release, "take_back", kill)
        answer = site.witness.answer
        patched.setattr(site.witness, "answer", lambda *of: tuple(one.model_copy(update={"said": "otherwise"}) for one in answer(*of)))
        with pytest.raises(KeyboardInterrupt):
            site.promote(plan)
    assert site.prove(STACK, "production", progress=lambda _: None).passed
    assert "is on record as failed, and was not closed since" in line(site, "production", 1).reason
    site.closed()
    assert line(site, "production", 1).verdict is Verdict.MET
    told = site.receipts.chain[-1].told or {}
    assert (len(told["runs"]), told["run"]) == (2, told["runs"][0])
