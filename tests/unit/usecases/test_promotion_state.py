"""A promotion that is called again: finished it changes nothing, unproven it is proven, and the dry run says the same as the act in each state."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controlplane.domain.errors import InputInvalidError, InterruptedRunError, RefusedError, UnknownError
from controlplane.domain.finding import Verdict
from controlplane.domain.plan import Plan
from controlplane.domain.releases.gate import GateLine
from controlplane.ports.plays import StepResult
from controlplane.usecases import deploy_release
from controlplane.usecases.deploy_release import promote_release
from controlplane.usecases.judge_promotion import judge_promotion
from controlplane.usecases.rehearse_release import rehearse
from controlplane.usecases.show_releases import release_status
from tests.fakes.closings import ClosingSite
from tests.fakes.kept import copied_each_time
from tests.fakes.promotions import BAD, GOOD, PromotedSite
from tests.fakes.releases import HOSTS, STACK

V1, V2 = {"1 intake", "1 seeds"}, {"2 intake", "2 seeds"}
REFUSED = "refuse | Pull: compose_stack of shop (staging) refused: x can't be pulled. What runs was not touched. Nothing was changed."


@copied_each_time
def proven() -> tuple[PromotedSite, Plan, str]:
    """Return a site with r1 in production, its plan, and the run that proved it."""
    site = PromotedSite()
    plan = site.bring_to_gate(1)
    result = site.promote(plan)
    assert result.outcome == "done"
    assert result.proof is not None
    return site, plan, result.proof.run


@copied_each_time
def cut_in_its_proof() -> tuple[PromotedSite, Plan]:
    """Return a site on which the promotion of r2, a stub, was killed while its smoke tests ran."""
    site, _, _ = proven()
    plan = site.bring_to_gate(2)
    site.stubs = {2}
    cut(site)
    assert site.promote(plan).outcome == "interrupted"
    return site, plan


def cut(site: PromotedSite) -> None:
    """Press Ctrl-C while the smoke tests run, once."""

    def interrupt() -> None:
        site.tests.during = lambda: None
        raise InterruptedRunError("Interrupted.")

    site.tests.during = interrupt


def dry(site: PromotedSite, plan: Plan) -> GateLine:
    """Return the one line of a dry run that deploys nothing."""
    before = list(site.receipts.chain)
    shown = rehearse(site.site, STACK, "production", plan, site.release_ports)
    assert (site.receipts.chain, shown.plan.steps, shown.finished) == (before, (), HOSTS)
    [line] = shown.gate
    return line


def refusal_of(act: Callable[[], object]) -> str:
    with pytest.raises(RefusedError) as refused:
        act()
    return str(refused.value)


def in_production(site: PromotedSite, service: str) -> list[dict[str, object]]:
    rows = [one for host in site.hosts.values() for one in host.probes["docker_containers"]]
    return [one for one in rows if (one["compose_project"], one["compose_service"]) == ("shop-production", service)]


def stays(site: PromotedSite, plan: Plan, proof: str, *, to: str = "") -> tuple[str, ...]:
    """Call a finished promotion again, and return what it said; `to` is what the way back that it names goes to."""
    before, plays, faults = list(site.receipts.chain), list(site.runner.plays), site.faults
    site.faults = ("production lacks PORT",)
    line = dry(site, plan)
    result = site.promote(plan)
    site.faults = faults
    assert (result.outcome, result.exit_code(), result.gate, result.returned) == ("done", 0, (), ())
    assert (site.receipts.chain, site.runner.plays, site.production()) == (before, plays, V1)
    assert f"was carried out and r1 proven, see {proof}. Nothing was changed. " in result.messages[0]
    assert f"controlplane release rollback shop --env production{to} --dry-run" in result.messages[0]
    assert (line.verdict, line.reason) == (Verdict.MET, " ".join(result.messages))
    return result.messages


@pytest.mark.parametrize("later", [None, "failed", "could not be run"])
def test_a_finished_promotion_changes_nothing_however_a_later_smoke_run_ended(later: str | None) -> None:
    site, plan, proof = proven()
    if later is not None:
        site.tests.tests = BAD if later == "failed" else (BAD[0].model_copy(update={"outcome": "error"}),)
        assert not site.smoke("production").passed
    assert len(stays(site, plan, proof)) == 1


def test_a_finished_promotion_changes_nothing_after_a_rollback_to_it_whose_smoke_failed() -> None:
    site, plan, proof = proven()
    assert site.promote(site.bring_to_gate(2)).outcome == "done"
    site.stubs = {1}
    assert site.roll_back().outcome == "failed"
    # One that names nothing would prove it again, and take nothing back.
    stays(site, plan, proof, to=" --to nothing")


def test_a_finished_promotion_that_does_not_run_well_any_more_says_so_and_changes_nothing() -> None:
    site, plan, proof = proven()
    in_production(site, "seeds")[0].update(running=False, state="exited", health=None)
    told = stays(site, plan, proof)
    assert told[1].startswith("It does not run well now: mint-apps: seeds: ")
    assert told[1].endswith("See: controlplane release status shop")
    site.evidence.unreached = {"mint-data": "no route"}
    stays(site, plan, proof)


def test_what_was_changed_by_hand_after_its_proof_comes_through_the_gate_and_the_proof_is_named() -> None:
    site, plan, proof = proven()
    for one in in_production(site, "seeds"):
        one["image_digests"] = ["registry.example.org/shop/seeds@sha256:" + "f" * 64]
    site.faults = ("production lacks PORT",)
    told = refusal_of(lambda: site.promote(plan))
    assert "its gate is shut" in told
    assert told.endswith(f"Nothing was changed. It was carried out before, and proven by {proof}.")


def test_a_plan_of_this_stack_is_no_finished_one_of_another() -> None:
    site, plan, _ = proven()
    site.files.specs["other"] = site.files.specs[STACK]
    with pytest.raises(InputInvalidError, match="brings shop to production, not other"):
        promote_release(site.site, "other", plan, site.release_ports, command="again", progress=lambda _: None)


WELL: dict[str, object] = {"running": True, "state": "running", "health": "healthy"}


@pytest.mark.parametrize(
    "ill", [{**WELL, "health": "unhealthy"}, {**WELL, "health": "starting"}, {"running": False, "state": "exited", "health": None}]
)
def test_what_was_killed_before_its_proof_and_is_not_well_is_taken_back_by_the_same_call(ill: dict[str, object]) -> None:
    site, plan = cut_in_its_proof()
    in_production(site, "seeds")[0].update(ill)
    assert "release promote shop --plan" in str(release_status(site.site, STACK, site.release_ports)["next"])
    line = dry(site, plan)
    assert (line.name, line.verdict) == ("way back", Verdict.DRIFTED)
    assert "r2 is not proven and does not run well, so its smoke tests would not prove it, and it would be taken back by itself: " in line.reason
    result = site.promote(plan)
    assert (result.outcome, site.production()) == ("rolled-back", V1), result.messages
    assert result.messages[0].startswith("r2 was taken back by itself: its behaviour is not proven, see CAP-")


def test_what_was_killed_before_its_proof_is_proven_by_the_same_call_whatever_the_files_say_now() -> None:
    site, plan = cut_in_its_proof()
    site.stubs, site.faults = set(), ("production lacks PORT",)
    site.files.env[STACK, "production"] += "MORE=1\n"
    line = dry(site, plan)
    assert (line.name, line.verdict) == ("proof", Verdict.UNKNOWN)
    result = site.promote(plan)
    assert (result.outcome, site.production()) == ("done", V2), result.messages


def test_other_digests_before_the_proof_come_through_the_gate() -> None:
    site, plan = cut_in_its_proof()
    in_production(site, "seeds")[0]["image_digests"] = ["registry.example.org/shop/seeds@sha256:" + "f" * 64]
    assert "r2 is not promoted, its gate is shut" in refusal_of(lambda: site.promote(plan))


def test_what_is_not_proven_and_can_not_be_observed_is_neither_proven_nor_taken_back() -> None:
    site, plan = cut_in_its_proof()
    site.evidence.unreached = {"mint-data": "no route"}
    before = list(site.receipts.chain)
    for act in (lambda: site.promote(plan), lambda: dry(site, plan)):
        with pytest.raises(UnknownError, match=r"r2 was brought by this plan and is not proven: mint-data: .*no route.* Nothing was changed"):
            act()
    assert (site.receipts.chain, site.production()) == (before, V2)


def test_the_first_proof_settles_it_also_where_the_call_was_killed_before_the_way_back() -> None:
    site, plan = cut_in_its_proof()
    assert not site.prove(STACK, "production", progress=lambda _: None).passed
    line = dry(site, plan)
    assert line.verdict is Verdict.DRIFTED
    assert line.reason.startswith("r2 would be taken back by itself: its behaviour is not proven, see CAP-")
    assert (site.promote(plan).outcome, site.production()) == ("rolled-back", V1)


def test_the_dry_run_foresees_the_way_back_of_a_deployment_that_failed() -> None:
    site, _, _ = proven()
    plan = site.bring_to_gate(2)
    site.runner.ends = [StepResult(status="failed", message="no room", told={}), StepResult(status="interrupted", message="", told={})]
    assert site.promote(plan).outcome == "interrupted"
    assert dry(site, plan).reason == "r2 would be taken back by itself: its way back goes on"
    assert site.promote(plan).outcome == "rolled-back"


def test_after_a_way_back_that_was_killed_in_its_proof_what_runs_is_said_to_be_unproven() -> None:
    site, plan = cut_in_its_proof()
    assert not site.prove(STACK, "production", progress=lambda _: None).passed
    cut(site)
    assert site.promote(plan).outcome == "interrupted"
    told = "r1, which runs again, is not proven: no smoke run met it since. Prove it: controlplane release smoke shop --env production. Make a new"
    for act in (lambda: site.promote(plan), lambda: dry(site, plan)):
        assert told in refusal_of(act)
    assert site.prove(STACK, "production", progress=lambda _: None).passed
    assert "not proven" not in refusal_of(lambda: site.promote(plan))


def test_what_failed_in_staging_over_what_runs_is_named_with_the_way_that_works() -> None:
    site = PromotedSite()
    site.bring_to_gate(1)
    site.runner.ends = [StepResult(status="failed", message=REFUSED, told={"rc": 4})]
    assert site.stage(2).outcome == "failed"
    plan = site.plan_of(1, "production")
    kept = site.files.manifest(STACK, "r1")
    line = next(one for one in judge_promotion(site.site, STACK, kept, plan, site.release_ports) if one.name == "staged")
    assert "a deployment failed and was not taken back: CAP-" in line.reason
    assert "on mint-apps, of r2, since" in line.reason
    assert line.next == "controlplane release rollback shop --env staging"
    told = refusal_of(site.smoke)
    assert "of r2, since" in told
    assert "controlplane release rollback shop --env staging" in told
    site.tests.tests = GOOD
    assert site.roll_back("staging").outcome == "rolled-back"
    site.recert("r1")
    site.make_ready()
    assert (site.promote(site.plan_of(1, "production")).outcome, site.production()) == ("done", V1)


def unconfirmed(site: PromotedSite, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Promote r2, which the second witness does not confirm, kill the call before its way back, and return the plan."""
    plan = site.bring_to_gate(2)

    def kill(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(deploy_release, "take_back", kill)
        answer = site.witness.answer
        patched.setattr(site.witness, "answer", lambda *of: tuple(one.model_copy(update={"said": "otherwise"}) for one in answer(*of)))
        with pytest.raises(KeyboardInterrupt):
            site.promote(plan)
    return plan


@pytest.mark.parametrize("smoke", [False, True])
def test_what_the_second_witness_did_not_confirm_goes_back_also_where_the_call_was_killed_before(
    monkeypatch: pytest.MonkeyPatch, *, smoke: bool
) -> None:
    """A smoke run by hand asks the first witness alone."""
    site, _, _ = proven()
    plan = unconfirmed(site, monkeypatch)
    if smoke:
        assert site.prove(STACK, "production", progress=lambda _: None).passed
    assert "release promote shop --plan" in str(release_status(site.site, STACK, site.release_ports)["next"])
    assert dry(site, plan).reason == "r2 would be taken back by itself: its deployment failed"
    assert (site.promote(plan).outcome, site.production()) == ("rolled-back", V1)


def test_over_which_another_release_was_brought_a_plan_takes_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    site, _, _ = proven()
    plan = unconfirmed(site, monkeypatch)
    run = site.deploy(3, "production")
    before = list(site.receipts.chain)
    for act in (lambda: site.promote(plan), lambda: dry(site, plan)):
        told = refusal_of(act)
        assert f"brought r2, over which r3 was brought to mint-apps by run {run}: it takes nothing back any more. Nothing was changed." in told
        assert "rollback" not in told
    assert (site.receipts.chain, site.production()) == (before, {"3 intake", "3 seeds"})


def test_what_both_witnesses_confirmed_since_as_it_was_closed_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    site = ClosingSite().released()
    plan = unconfirmed(site, monkeypatch)
    assert site.prove(STACK, "production", progress=lambda _: None).passed
    site.closed()
    before = list(site.receipts.chain)
    assert (site.promote(plan).outcome, site.receipts.chain, site.production()) == ("done", before, V2)
    assert "release promote shop --plan" not in str(release_status(site.site, STACK, site.release_ports)["next"])
