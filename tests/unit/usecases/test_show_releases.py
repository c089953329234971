"""release status: what was brought and what runs, and the one command that comes next, in every situation."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest

from controlplane.domain.errors import RunFailedError
from controlplane.domain.receipt import Receipt, open_intents
from controlplane.domain.releases.values import EnvironmentName
from controlplane.ports.plays import StepResult
from controlplane.usecases.abandon_run import abandon_run
from controlplane.usecases.deploy_release import stage_release
from controlplane.usecases.roll_back import roll_back
from controlplane.usecases.show_releases import kept_plan, release_status
from tests.fakes.promotions import BAD, GOOD, PromotedSite
from tests.fakes.releases import HOSTS, STACK
from tests.fakes.site import OPERATOR

STAGE, SMOKE = "controlplane release stage shop --manifest NAME --out FILE", "controlplane release smoke shop --env {}"
PROMOTE, CLOSE = "controlplane release promote shop --dry-run", 'controlplane release close shop --env {} --attest "..."'
MET = "2 services run, healthy, by manifest {}"
DONE, STOPPED = (StepResult(status=status, message="", told={}) for status in ("done", "interrupted"))


@pytest.fixture
def site() -> PromotedSite:
    return PromotedSite()


def status(site: PromotedSite) -> dict[str, Any]:
    return release_status(site.site, STACK, site.release_ports)


def row(site: PromotedSite, environment: EnvironmentName = "staging") -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in status(site)["environments"] if one["environment"] == environment)
    return found


def hosts(found: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(one["host"], one["brought"], one["verdict"], one["reason"]) for one in found["hosts"]]


def promoted(site: PromotedSite, number: int = 1) -> None:
    assert site.promote(site.bring_to_gate(number)).outcome == "done"


def on_one_host(site: PromotedSite) -> None:
    """Let production be of one host."""
    spec = site.files.specs[STACK]
    one = spec.environments["production"].model_copy(update={"hosts": HOSTS[:1]})
    site.files.specs[STACK] = spec.model_copy(update={"environments": {**spec.environments, "production": one}})


def plan_of(site: PromotedSite, number: int, environment: EnvironmentName) -> str:
    """Return the file of the last plan that brings a build."""
    held = [plan for plan in site.ports.plans.held.values() if plan.steps[0].variables["compose_stack_manifest_name"] == f"r{number}"]  # type: ignore[attr-defined]
    plan = [one for one in held if one.steps[0].variables["compose_stack_environment"] == environment][-1]
    return kept_plan(site.site, plan.plan)


def cut_behind(site: PromotedSite, receipts: int) -> None:
    """Interrupt what runs next as soon as it has left so many receipts."""
    append, end = site.receipts.append, len(site.receipts.chain) + receipts

    def cut(receipt: Receipt) -> Receipt:
        made = append(receipt)
        if len(site.receipts.chain) < end:
            return made
        site.receipts.append = append  # type: ignore[method-assign]
        raise KeyboardInterrupt(made.key)

    site.receipts.append = cut  # type: ignore[method-assign]


def test_before_anything_was_brought_staging_is_next(site: PromotedSite) -> None:
    found = status(site)
    assert (found["stack"], found["goal"], found["next"]) == (STACK, "orders come in", STAGE)
    for one, name in zip(found["environments"], ("staging", "production"), strict=True):
        assert one | {"hosts": []} == {
            "environment": name,
            "manifest": None,
            "doubt": None,
            "proof": None,
            "hosts": [],
            "unproven": None,
            "taken_back": None,
            "goes_on": None,
        }
        assert hosts(one) == [(host, None, None, "nothing was brought here by a release") for host in HOSTS]


def test_what_was_staged_is_shown_on_each_host_and_its_proof_is_next(site: PromotedSite) -> None:
    staged = site.stage(1)
    assert staged.deployed is not None
    found = row(site)
    assert (found["manifest"], found["proof"], found["goes_on"]) == ("r1", None, None)
    assert hosts(found) == [(host, "r1", "MET", MET.format("r1")) for host in HOSTS]
    assert [(one["run"], one["open"]) for one in found["hosts"]] == [(staged.deployed.run, None)] * 2
    assert status(site)["next"] == SMOKE.format("staging")


def test_what_is_proven_in_staging_is_promoted_next(site: PromotedSite) -> None:
    site.stage(1)
    report = site.smoke("staging")
    proof = row(site)["proof"]
    assert (proof["run"], proof["passed"], status(site)["next"]) == (report.run, True, PROMOTE)


def test_a_proof_that_failed_is_shown_as_such_and_nothing_is_promoted(site: PromotedSite) -> None:
    site.stage(1)
    site.tests.tests = BAD
    report = site.smoke("staging")
    proof = row(site)["proof"]
    assert (proof["run"], proof["passed"]) == (report.run, False)
    assert "promote" not in status(site)["next"]


def test_a_proof_of_what_was_staged_before_is_none_of_what_is_staged_now(site: PromotedSite) -> None:
    site.stage(1)
    assert site.smoke("staging").passed
    site.stage(2)
    assert (row(site)["manifest"], row(site)["proof"], status(site)["next"]) == ("r2", None, SMOKE.format("staging"))


def test_what_runs_proven_in_both_is_closed_next(site: PromotedSite) -> None:
    promoted(site)
    production = row(site, "production")
    assert (production["manifest"], production["proof"]["passed"], production["goes_on"]) == ("r1", True, None)
    assert hosts(production) == [(host, "r1", "MET", MET.format("r1")) for host in HOSTS]
    assert status(site)["next"] == CLOSE.format("production")


def test_a_newer_build_in_staging_is_proven_and_promoted_next(site: PromotedSite) -> None:
    promoted(site)
    site.stage(2)
    assert status(site)["next"] == SMOKE.format("staging")
    site.tests.tests = GOOD
    site.smoke("staging")
    assert status(site)["next"] == PROMOTE
    assert (row(site)["manifest"], row(site, "production")["manifest"]) == ("r2", "r1")


def test_a_stack_without_production_is_closed_in_staging(site: PromotedSite) -> None:
    spec = site.files.specs[STACK]
    site.files.specs[STACK] = spec.model_copy(update={"environments": {"staging": spec.environments["staging"]}})
    site.stage(1)
    site.smoke("staging")
    assert [one["environment"] for one in status(site)["environments"]] == ["staging"]
    assert status(site)["next"] == CLOSE.format("staging")


def test_a_host_that_runs_something_else_is_drifted_with_the_reason(site: PromotedSite) -> None:
    site.stage(1)
    site.service("mint-data", "intake").update(running=False, state="exited")
    found = row(site)
    assert [one["verdict"] for one in found["hosts"]] == ["MET", "DRIFTED"]
    assert found["hosts"][1]["reason"] == "intake: shop-staging-intake-1 is exited, not running"
    assert status(site)["next"].startswith("see why staging does not run what was brought there")


def test_a_host_that_was_not_reached_is_unknown_and_what_was_brought_stands_there_still(site: PromotedSite) -> None:
    site.stage(1)
    site.evidence.unreached = {"mint-data": "no route to host"}
    assert [(one["brought"], one["verdict"]) for one in row(site)["hosts"]] == [("r1", "MET"), ("r1", "UNKNOWN")]
    assert "no route to host" in row(site)["hosts"][1]["reason"]


@pytest.mark.parametrize("at", HOSTS)
def test_a_deployment_that_was_cut_off_goes_on_by_its_plan_or_goes_back(site: PromotedSite, at: str) -> None:
    site.runner.ends = [*[DONE] * HOSTS.index(at), STOPPED]
    assert site.stage(1).outcome == "interrupted"
    found = row(site)
    assert (found["manifest"], found["proof"]) == (None, None)
    assert re.fullmatch(rf"a deployment has not ended: CAP-\S+ on {at}, of r1, since \S+Z", found["doubt"])
    assert [(one["host"], one["open"]["manifest"], one["open"]["state"]) for one in found["hosts"] if one["open"]] == [(at, "r1", "open")]
    back = "(or take it back: controlplane release rollback shop --env staging)"
    assert found["goes_on"] == f"controlplane release stage shop --plan {plan_of(site, 1, 'staging')}    {back}"
    assert status(site)["next"] == found["goes_on"]


@pytest.mark.parametrize(
    ("end", "told"), [(STOPPED, "was begun here and did not end"), (StepResult(status="failed", message="", told={}), "failed here")]
)
def test_of_a_first_deployment_that_did_not_end_well_what_runs_is_judged_by_it(site: PromotedSite, end: StepResult, told: str) -> None:
    site.runner.ends = [end]
    site.stage(1)
    [first, second] = hosts(row(site))
    assert first == ("mint-apps", None, "MET", f"r1 {told}: {MET.format('r1')}")
    assert second == ("mint-data", None, None, "nothing was brought here by a release")
    site.service("mint-apps", "intake").update(running=False, state="exited")
    assert hosts(row(site))[0][2:] == ("DRIFTED", f"r1 {told}: intake: shop-staging-intake-1 is exited, not running")
    site.evidence.unreached = {"mint-apps": "no route to host"}
    assert hosts(row(site))[0][2] == "UNKNOWN"


def test_a_first_deployment_on_its_way_back_is_said_to_be_that(site: PromotedSite) -> None:
    assert site.stage(1).outcome == "done"
    site.take_back(row(site)["hosts"][0]["run"], ends=False)
    assert hosts(row(site)) == [(host, None, None, "r1 is on its way back from here") for host in HOSTS]


def test_a_promotion_that_was_cut_off_goes_on_by_its_plan_before_anything_else(site: PromotedSite) -> None:
    plan = site.bring_to_gate(1)
    site.runner.ends = [STOPPED]
    assert site.promote(plan).outcome == "interrupted"
    goes_on = row(site, "production")["goes_on"]
    assert goes_on.startswith(f"controlplane release promote shop --plan {kept_plan(site.site, plan.plan)} ")
    assert (row(site)["goes_on"], status(site)["next"]) == (None, goes_on)


@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize(("receipts", "brought"), [(1, ["r1", "r1"]), (3, ["r1", "r1"]), (5, ["r2", "r1"]), (7, ["r2", "r2"])])
def test_a_run_that_was_cut_while_none_of_its_hosts_was_open_goes_on_by_its_plan_or_goes_back(
    site: PromotedSite, environment: EnvironmentName, receipts: int, brought: list[str]
) -> None:
    """On record alone, with how things stood before it, between two hosts, and before its end."""
    promoted(site)
    # Staging's plan is made as it is carried out.
    promote = partial(site.promote, site.bring_to_gate(2)) if environment == "production" else None
    cut_behind(site, receipts)
    result = promote() if promote is not None else site.stage(2)
    assert result.outcome == "interrupted"
    [run] = [one.run for one in open_intents(site.receipts.chain)]
    found = row(site, environment)
    assert [(one["brought"], one["open"]) for one in found["hosts"]] == [(name, None) for name in brought]
    verb = "promote" if environment == "production" else "stage"
    back = f"controlplane rollback {run}" if "r2" not in brought else f"controlplane release rollback shop --env {environment}"
    file = plan_of(site, 2, environment)
    assert found["goes_on"] == f"controlplane release {verb} shop --plan {file}    (or take it back: {back})"
    assert status(site)["next"] == found["goes_on"]
    others = row(site, "staging" if environment == "production" else "production")
    assert others["goes_on"] is None


def test_a_run_that_is_back_and_lacks_its_end_alone_is_closed(site: PromotedSite) -> None:
    cut_behind(site, 5)
    assert site.stage(1).outcome == "interrupted"
    [run] = [one.run for one in open_intents(site.receipts.chain)]
    site.take_back(run)
    assert row(site)["goes_on"] == f"controlplane rollback {run}"


def test_a_deployment_that_failed_is_ended_by_its_plan_or_goes_back(site: PromotedSite) -> None:
    site.stage(1)
    site.runner.ends, site.hosts["mint-apps"].breaks_after = [StepResult(status="failed", message="disk full", told={})], 1
    assert site.stage(2).outcome == "failed"
    found = row(site)
    assert (found["manifest"], found["hosts"][0]["verdict"]) == ("r1", "DRIFTED")
    assert found["goes_on"].startswith(f"controlplane release stage shop --plan {plan_of(site, 2, 'staging')} ")


def test_a_deployment_that_was_abandoned_with_its_machine_is_ended_by_its_plan_once_that_is_back(site: PromotedSite) -> None:
    assert site.stage(1).outcome == "done"
    site.runner.ends = [DONE, StepResult(status="unreachable", message="no route", told={})]
    plan = site.plan_of(2, "staging")
    stage = partial(stage_release, site.site, STACK, plan, site.release_ports, command="again", progress=lambda _: None)
    assert stage().outcome == "interrupted"
    [(host, run)] = [(one["host"], one["open"]["run"]) for one in row(site)["hosts"] if one["open"]]
    site.evidence.unreached = {host: "no route"}
    abandon_run(run, site.view, operator=OPERATOR, reason="it burnt down", ports=site.ports, progress=lambda _: None)
    told = f"; or, for good without {host}: take it out of staging in releases/shop.yml)"
    assert row(site)["goes_on"].startswith(f"controlplane release stage shop --plan {kept_plan(site.site, plan.plan)} ")
    assert row(site)["goes_on"].endswith(told)

    site.evidence.unreached = {}
    assert stage().outcome == "done"
    assert (row(site)["manifest"], row(site)["goes_on"]) == ("r2", None)


def test_what_was_promoted_and_not_proven_goes_on_by_its_plan(site: PromotedSite) -> None:
    on_one_host(site)
    plan = site.bring_to_gate(1)

    def cut() -> None:
        raise KeyboardInterrupt

    site.tests.during = cut
    with pytest.raises(KeyboardInterrupt):
        site.promote(plan)
    found = row(site, "production")
    assert (found["manifest"], found["proof"], found["doubt"]) == ("r1", None, None)
    assert found["goes_on"].startswith(f"controlplane release promote shop --plan {kept_plan(site.site, plan.plan)} ")


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_a_way_back_that_was_cut_off_goes_on_by_rollback(site: PromotedSite, environment: EnvironmentName) -> None:
    promoted(site)
    site.take_back(row(site, environment)["hosts"][0]["run"], ends=False)
    found = row(site, environment)
    assert [one["open"]["state"] for one in found["hosts"]] == ["returning", "returning"]
    assert found["goes_on"] == f"controlplane release rollback shop --env {environment}"
    assert found["doubt"].startswith("a deployment has not ended: ")


def test_a_deployment_that_is_back_on_one_host_alone_goes_back_on_the_others(site: PromotedSite) -> None:
    site.stage(1)
    site.stage(2)
    key = next(r.key for r in site.receipts.chain if r.run == row(site)["hosts"][0]["run"] and r.host == "mint-data")
    assert roll_back(key, site.view, operator=OPERATOR, ports=site.ports, progress=lambda _: None, planned=site.view).outcome == "rolled-back"
    found = row(site)
    assert found["doubt"] == "its hosts disagree: mint-apps runs r2, mint-data runs r1"
    assert (found["manifest"], found["goes_on"]) == (None, "controlplane release rollback shop --env staging")


def test_what_was_taken_back_by_itself_leaves_what_was_before_and_its_new_proof(site: PromotedSite) -> None:
    promoted(site)
    plan = site.bring_to_gate(2)
    site.stubs = {2}
    result = site.promote(plan)
    assert result.outcome == "rolled-back"
    found = row(site, "production")
    assert (found["manifest"], found["proof"]["passed"], found["goes_on"]) == ("r1", True, None)
    assert found["proof"]["run"] != (result.proof.run if result.proof else None)


def test_a_plan_that_is_gone_is_an_error_and_no_guess(site: PromotedSite) -> None:
    site.stage(1)
    site.ports.plans.held.clear()  # type: ignore[attr-defined]
    with pytest.raises(RunFailedError, match="is gone"):
        status(site)
