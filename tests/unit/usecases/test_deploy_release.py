"""A release is staged, gated, promoted and proven; one that is not proven is taken back, and whatever is cut off goes on by the same command."""

from __future__ import annotations

from contextlib import suppress

import pytest

from controlplane.domain.chain import chain_faults
from controlplane.domain.errors import InterruptedRunError, RefusedError
from controlplane.domain.finding import Verdict
from controlplane.domain.plan import Plan
from controlplane.domain.receipt import open_intents
from controlplane.ports import StepResult
from tests.fakes.promotions import PromotedSite

V1, V2 = {"1 intake", "1 seeds"}, {"2 intake", "2 seeds"}


@pytest.fixture
def site() -> PromotedSite:
    return PromotedSite()


def first_release(site: PromotedSite) -> None:
    assert site.promote(site.bring_to_gate(1)).outcome == "done"
    assert site.production() == V1


def test_staging_shows_starts_and_changes_and_a_second_run_does_nothing(site: PromotedSite) -> None:
    plan = site.plan_of(1, "staging")
    assert [change.target for change in plan.steps[0].changes] == [
        "/opt/stacks/shop-staging/compose.yml",
        "/opt/stacks/shop-staging/.env",
        "shop-staging intake",
        "shop-staging seeds",
    ]
    assert site.stage(1).outcome == "done"
    assert site.plan_of(1, "staging").steps == ()


def test_what_was_staged_proven_and_certified_is_promoted_and_proven(site: PromotedSite) -> None:
    result = site.promote(site.bring_to_gate(1))
    assert (result.outcome, result.exit_code()) == ("done", 0)
    assert result.proof is not None
    assert result.proof.passed
    assert {line.verdict for line in result.gate} == {Verdict.MET}
    assert site.production() == V1


def test_through_a_shut_gate_nothing_goes(site: PromotedSite) -> None:
    plan = site.bring_to_gate(1)
    site.faults = ("production lacks PORT",)
    with pytest.raises(RefusedError, match=r"(?s)r1 is not promoted, its gate is shut:.*contract: production lacks PORT.*Nothing was changed"):
        site.promote(plan)
    assert site.production() == set()


def test_storage_that_is_not_ready_shuts_the_gate(site: PromotedSite) -> None:
    assert site.stage(1).outcome == "done"
    with pytest.raises(RefusedError, match="storage of mint-apps: it was never judged"):
        site.promote(site.plan_of(1, "production"))


def test_another_manifest_than_the_staged_one_is_not_promoted(site: PromotedSite) -> None:
    site.bring_to_gate(1)
    with pytest.raises(RefusedError, match="staged: r2 is not what mint-apps, mint-data got last in staging"):
        site.promote(site.plan_of(2, "production"))


def test_smoke_tests_that_staging_did_not_run_shut_the_gate(site: PromotedSite) -> None:
    plan = site.bring_to_gate(1)
    site.files.tests["shop/smoke/test_flow.py"] = "2" * 64
    with pytest.raises(RefusedError, match=r"smoke: CAP-\S+: staging asks for something else now: shop/smoke/test_flow\.py"):
        site.promote(plan)


def test_without_an_approval_where_the_site_asks_for_one_nothing_goes() -> None:
    site = PromotedSite(approval="self")
    with pytest.raises(RefusedError):
        site.stage(1)


def test_a_healthy_stub_is_taken_back_and_what_ran_before_is_proven(site: PromotedSite) -> None:
    first_release(site)
    plan = site.bring_to_gate(2)
    site.stubs = {2}
    result = site.promote(plan)
    assert (result.outcome, result.exit_code()) == ("rolled-back", 1)
    assert result.messages[0].startswith("r2 was taken back by itself: its behaviour is not proven, see CAP-")
    assert result.returned[0].outcome == "rolled-back"
    assert site.production() == V1
    with pytest.raises(RefusedError, match="was carried out and taken back"):
        site.promote(plan)


def test_a_first_release_that_is_a_stub_is_taken_back_to_nothing(site: PromotedSite) -> None:
    plan = site.bring_to_gate(1)
    site.stubs = {1}
    result = site.promote(plan)
    assert (result.outcome, site.production()) == ("rolled-back", set())
    assert "its containers are gone, its volumes stay" in result.messages[1]


def test_a_deployment_that_fails_on_its_second_host_is_taken_back_on_both(site: PromotedSite) -> None:
    first_release(site)
    plan = site.bring_to_gate(2)
    site.runner.ends = [
        StepResult(status="done", message="", told={}),
        StepResult(status="failed", message="seeds did not become healthy within 120 s", told={}),
    ]
    result = site.promote(plan)
    assert (result.outcome, result.exit_code()) == ("rolled-back", 1)
    assert any("seeds did not become healthy" in message for message in result.messages)
    assert site.production() == V1


def test_a_deployment_that_fails_on_its_first_host_is_not_brought_to_the_second(site: PromotedSite) -> None:
    first_release(site)
    plan = site.bring_to_gate(2)
    site.runner.ends = [StepResult(status="failed", message="pull failed", told={})]
    before = len(site.hosts["mint-data"].ran)
    assert site.promote(plan).outcome == "rolled-back"
    assert site.hosts["mint-data"].ran[before:] == []
    assert site.production() == V1


def test_what_a_way_back_leaves_is_named_before_it_begins(site: PromotedSite) -> None:
    first_release(site)
    site.files.held["shop", "r2"] = site.files.held["shop", "r2"].model_copy(update={"irreversible": ("orders: schema 1 to 2",)})
    plan = site.bring_to_gate(2)
    site.stubs = {2}
    assert "not undone: orders: schema 1 to 2 (r2)" in site.promote(plan).messages


def test_a_rollback_that_was_asked_for_brings_the_release_before_back_and_is_a_success(site: PromotedSite) -> None:
    first_release(site)
    assert site.promote(site.bring_to_gate(2)).outcome == "done"
    assert site.production() == V2
    result = site.roll_back()
    assert (result.outcome, result.exit_code(), result.manifest) == ("rolled-back", 0, "r1")
    assert result.proof is not None
    assert result.proof.manifest_name == "r1"
    assert site.production() == V1


def test_a_rollback_goes_back_several_releases_newest_first(site: PromotedSite) -> None:
    for number in (1, 2, 3):
        assert site.promote(site.bring_to_gate(number)).outcome == "done"
    result = site.roll_back(to="r1")
    assert (result.outcome, len(result.returned), site.production()) == ("rolled-back", 2, V1)
    with pytest.raises(RefusedError, match="r1 is what shop runs now"):
        site.roll_back(to="r1")


def test_a_rollback_whose_behaviour_is_not_proven_is_no_success(site: PromotedSite) -> None:
    first_release(site)
    assert site.promote(site.bring_to_gate(2)).outcome == "done"
    site.stubs = {1}
    result = site.roll_back()
    assert (result.outcome, result.exit_code()) == ("failed", 1)
    assert "r1 is back by its digests, and its behaviour is not proven" in result.messages[0]


def _contacts(*, stub: bool) -> int:
    site = PromotedSite()
    first_release(site)
    plan = site.bring_to_gate(2)
    site.stubs = {2} if stub else set()
    site.arm(None)
    site.promote(plan)
    return site.world.count


def _promote_until_cut(site: PromotedSite, at: int, *, stub: bool) -> None:
    first_release(site)
    plan = site.bring_to_gate(2)
    site.stubs = {2} if stub else set()
    site.arm(at)
    with suppress(InterruptedRunError, KeyboardInterrupt, RefusedError):
        site.promote(plan)
    site.arm(None)
    ends = [_again(site, plan) for _ in range(2)]
    assert ends[0] in ("done", "rolled-back", "taken back"), ends
    assert ends[1] == ("taken back" if stub else "done")


def _again(site: PromotedSite, plan: Plan) -> str:
    try:
        return site.promote(plan).outcome
    except RefusedError as refusal:
        return "taken back" if "was carried out and taken back" in str(refusal) else str(refusal)


@pytest.mark.parametrize("at", range(1, _contacts(stub=False) + 1))
def test_a_promotion_cut_at_any_contact_ends_proven_in_production(at: int) -> None:
    site = PromotedSite()
    _promote_until_cut(site, at, stub=False)
    assert site.production() == V2
    assert not open_intents(site.receipts.chain)
    assert not chain_faults(site.receipts.load())


@pytest.mark.parametrize("at", range(1, _contacts(stub=True) + 1))
def test_a_stub_that_is_cut_at_any_contact_ends_with_what_ran_before(at: int) -> None:
    site = PromotedSite()
    _promote_until_cut(site, at, stub=True)
    assert site.production() == V1
    assert not open_intents(site.receipts.chain)
    assert not chain_faults(site.receipts.load())
