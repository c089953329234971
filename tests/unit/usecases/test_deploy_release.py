"""A release is staged, gated, promoted and proven; one that is not proven is taken back, and whatever is cut off goes on by the same command."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from controlplane.domain.chain import chain_faults
from controlplane.domain.errors import InterruptedRunError, RefusedError, UnknownError
from controlplane.domain.finding import Verdict
from controlplane.domain.plan import Plan
from controlplane.domain.receipt import Receipt, open_intents
from controlplane.domain.releases.bringing import refuse_led
from controlplane.domain.releases.compose_view import Bind, ComposeView, NamedVolume, ServiceView
from controlplane.domain.releases.values import EnvironmentName, Rules
from controlplane.domain.windows import Window
from controlplane.ports.plays import StepResult
from controlplane.usecases.deploy_release import stage_release
from controlplane.usecases.release_case import demanded_of, landings
from controlplane.usecases.show_releases import release_status
from tests.fakes.kept import copied_each_time
from tests.fakes.promotions import GOOD, PromotedSite
from tests.fakes.unsafe_yaml import load_unsafe

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


@pytest.mark.parametrize(
    ("staging", "told"),
    [("a", rf"images: db runs sha256:{'a' * 64} in staging, not sha256:{'b' * 64}"), (None, r"images: db is in production alone, so nothing proved")],
)
def test_an_image_that_the_files_of_production_alone_pin_shuts_the_gate(site: PromotedSite, staging: str | None, told: str) -> None:
    pins = {"staging": staging, "production": "b"}
    plain = site.site.views

    def views(stack: str, name: EnvironmentName) -> dict[str, ComposeView]:
        image = f"registry.example.org/db@sha256:{str(pins[name]) * 64}"
        more = (ServiceView(name="db", image=image, container=None, networks=("default",)),) if pins[name] else ()
        return {host: view.model_copy(update={"services": (*view.services, *more)}) for host, view in plain(stack, name).items()}

    site.site = replace(site.site, views=views)
    plan = site.bring_to_gate(1)
    with pytest.raises((RefusedError, UnknownError), match=told):
        site.promote(plan)
    pins["production"] = pins["staging"] = "b"
    assert site.promote(site.bring_to_gate(1)).outcome == "done"


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


def fail_before_the_lease(site: PromotedSite, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Let the next play on a host end before it comes to anything there; a run that it does not know it takes back as little as a real one."""
    play, refuses = site.runner.run, [StepResult(status="failed", message="sudo: a password is required", told={})]

    def run(project: Mapping[str, bytes], *, key: str, host: str, playbook: str, progress: Callable[[str], None]) -> StepResult:
        if host == at and refuses:
            return refuses.pop()
        [told] = [load_unsafe(project[one["vars_files"][0]]) for one in json.loads(project[playbook])]
        if (of := told.get("compose_stack_rollback_of")) is not None and of not in site.hosts[host].undo:
            return StepResult(status="failed", message=f"this host knows no run {of}. Nothing was changed.", told={})
        return play(project, key=key, host=host, playbook=playbook, progress=progress)

    monkeypatch.setattr(site.runner, "run", run)


@pytest.mark.parametrize("at", ["mint-apps", "mint-data"])
def test_a_deployment_that_failed_before_its_host_knew_of_it_goes_back_and_locks_nothing(
    site: PromotedSite, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    first_release(site)
    plan = site.bring_to_gate(2)
    fail_before_the_lease(site, monkeypatch, at)
    result = site.promote(plan)
    assert (result.outcome, site.production()) == ("rolled-back", V1), result.messages
    assert "there was nothing to undo" in " ".join(str(r.reason) for r in site.receipts.chain if r.host == at and r.outcome == "rolled-back")
    assert site.promote(site.bring_to_gate(3)).outcome == "done"


def test_a_first_deployment_with_a_volume_that_failed_before_its_host_knew_of_it_goes_back(
    site: PromotedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = NamedVolume(key="db", name="shop_db", target="/db", read_only=False)
    plain = site.site.views
    mounted = {"services": (ServiceView(name="intake", image=None, container=None, networks=("default",), volumes=(volume,)),)}
    site.site = replace(site.site, views=lambda *of: {host: view.model_copy(update=mounted) for host, view in plain(*of).items()})
    plan = site.plan_of(1, "staging")
    assert "shop_db" in [change.target for change in plan.steps[0].changes]
    fail_before_the_lease(site, monkeypatch, "mint-apps")
    assert site.stage(1).outcome == "failed"
    assert site.roll_back("staging").outcome == "rolled-back"


def test_what_never_came_to_its_host_goes_back_whatever_became_of_the_containers_meanwhile(
    site: PromotedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert site.stage(1).outcome == "done"
    fail_before_the_lease(site, monkeypatch, "mint-apps")
    assert site.stage(2).outcome == "failed"
    site.service("mint-apps", "intake")["state"] = "restarting"
    assert (site.roll_back("staging").outcome, site.running("staging")) == ("rolled-back", V1)


def test_what_a_failed_deployment_left_on_its_host_goes_back_by_its_undo_alone(site: PromotedSite) -> None:
    first_release(site)
    plan = site.bring_to_gate(2)
    site.hosts["mint-apps"].breaks_after = 1
    site.runner.ends = [StepResult(status="failed", message="disk full", told={})]
    assert site.promote(plan).outcome == "rolled-back"
    assert "there was nothing to undo" not in " ".join(str(r.reason) for r in site.receipts.chain if r.host == "mint-apps")


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
    assert site.roll_back(to="r1").messages[0].startswith("r3, brought last to production by run ")


def test_a_rollback_whose_behaviour_is_not_proven_is_no_success(site: PromotedSite) -> None:
    first_release(site)
    assert site.promote(site.bring_to_gate(2)).outcome == "done"
    site.stubs = {1}
    result = site.roll_back()
    assert (result.outcome, result.exit_code()) == ("failed", 1)
    assert "r1 is back by its digests, and its behaviour is not proven" in result.messages[0]


def test_a_rollback_whose_proof_did_not_pass_is_proven_again_and_goes_no_further(site: PromotedSite) -> None:
    for number in (1, 2, 3):
        assert site.promote(site.bring_to_gate(number)).outcome == "done"
    site.stubs = {2}
    first, second = site.roll_back(), site.roll_back()
    assert (first.outcome, second.outcome, second.returned, site.production()) == ("failed", "failed", (), V2)
    assert "Prove it again: controlplane release rollback shop --env production --to r2; or go further back: " in second.messages[-1]
    site.stubs = set()
    assert (site.roll_back().outcome, site.production()) == ("rolled-back", V2)
    assert (site.roll_back(to="r1").outcome, site.production()) == ("rolled-back", V1)


def test_a_rollback_goes_further_where_that_is_named(site: PromotedSite) -> None:
    for number in (1, 2, 3):
        assert site.promote(site.bring_to_gate(number)).outcome == "done"
    site.stubs = {2}
    assert site.roll_back().outcome == "failed"
    assert (site.roll_back(to="r1").outcome, site.production()) == ("rolled-back", V1)


def refusal_of(act: Callable[[], object]) -> str:
    with pytest.raises(RefusedError) as refused:
        act()
    return str(refused.value)


def cut_in_proof(site: PromotedSite) -> None:
    """Press Ctrl-C while the smoke tests run, once."""

    def interrupt() -> None:
        site.tests.during = lambda: None
        raise InterruptedRunError("Interrupted.")

    site.tests.during = interrupt


def test_a_rollback_cut_in_its_proof_takes_nothing_more_back_and_ends_with_the_proof(site: PromotedSite) -> None:
    for number in (1, 2, 3):
        assert site.promote(site.bring_to_gate(number)).outcome == "done"
    cut_in_proof(site)
    result = site.roll_back()
    assert (result.outcome, result.messages[-1]) == ("interrupted", "Prove it: controlplane release rollback shop --env production --to r2")
    again = site.roll_back()
    assert (again.outcome, again.returned, site.production()) == ("rolled-back", (), V2)
    assert "; r2 stands. Nothing was changed; further back: " in site.roll_back(to="r2").messages[0]
    assert site.roll_back(to="r1").manifest == "r1"


def test_a_failed_deployment_goes_back_before_anything_that_stands(site: PromotedSite) -> None:
    assert site.stage(1).outcome == "done"
    site.runner.ends = [StepResult(status="failed", message="pull failed", told={})]
    assert site.stage(2).outcome == "failed"
    result = site.roll_back("staging")
    assert (result.outcome, result.manifest) == ("rolled-back", "r1")
    assert site.running("staging") == V1


def test_a_host_that_does_not_answer_keeps_no_other_from_going_back(site: PromotedSite) -> None:
    first_release(site)
    plan = site.bring_to_gate(2)
    site.runner.ends = [StepResult(status="done", message="", told={}), StepResult(status="unreachable", message="no route", told={})]
    assert site.promote(plan).outcome == "interrupted"
    site.runner.ends = [StepResult(status="unreachable", message="no route", told={}), StepResult(status="done", message="", told={})]
    site.evidence.unreached = {"mint-data": "no route"}
    returned = site.roll_back()
    assert returned.outcome == "interrupted"
    assert "mint-data: no route" in " ".join(returned.messages)
    assert {r.host for r in site.receipts.chain if r.undoes is not None} == {"mint-apps"}
    site.evidence.unreached = {}
    site.runner.ends = []
    assert site.roll_back().outcome == "rolled-back"
    assert site.production() == V1


def test_a_plan_that_was_carried_out_goes_through_the_gate_again_where_its_release_is_gone(site: PromotedSite) -> None:
    plan = site.bring_to_gate(1)
    assert site.promote(plan).outcome == "done"
    for host in site.hosts.values():
        host.probes = copy.deepcopy(next(iter(host.undo.values())))
    site.faults = ("production lacks PORT",)
    assert "its gate is shut" in refusal_of(lambda: site.promote(plan))
    assert site.production() == set()


def test_a_proof_from_before_something_else_was_tried_and_taken_back_counts_no_more(site: PromotedSite) -> None:
    site.bring_to_gate(1)
    assert site.stage(2).outcome == "done"
    cut_in_proof(site)
    assert site.roll_back("staging").outcome == "interrupted"
    site.make_ready()
    told = refusal_of(lambda: site.promote(site.plan_of(1, "production")))
    assert "smoke: " in told
    assert "it was staged again since" in told


def test_what_was_brought_to_production_and_not_proven_lets_nothing_else_follow(site: PromotedSite) -> None:
    cut_in_proof(site)
    plan = site.bring_to_gate_uncut(1)
    assert site.promote(plan).outcome == "interrupted"
    later = site.bring_to_gate(2)
    assert "production: r1 was brought there and no smoke run met it since" in refusal_of(lambda: site.promote(later))


def test_a_plan_that_leaves_a_host_out_is_not_carried_out(site: PromotedSite) -> None:
    first_release(site)
    site.bring_to_gate(2)
    containers = site.hosts["mint-data"].probes["docker_containers"]
    next(one for one in containers if one["compose_project"] == "shop-production")["compose_dir"] = "/opt/stacks/renamed"
    plan = site.plan_of(2, "production")
    assert "leaves a part of the release out: mint-data: shop: project shop-production runs from" in refusal_of(lambda: site.promote(plan))
    assert site.production() == V1


def test_a_smoke_run_that_was_interrupted_is_no_proof_and_breaks_nothing(site: PromotedSite) -> None:
    first_release(site)
    plan = site.bring_to_gate(2)
    cut_in_proof(site)
    assert site.promote(plan).outcome == "interrupted"
    assert site.promote(plan).outcome == "done"
    assert site.production() == V2


def test_smoke_tests_that_could_not_be_run_take_the_deployment_back(site: PromotedSite) -> None:
    first_release(site)
    plan = site.bring_to_gate(2)
    broken = RefusedError("the environment file can't be read. Nothing was run.")

    def fail() -> None:
        site.tests.during = lambda: None
        raise broken

    site.tests.during = fail
    result = site.promote(plan)
    assert (result.outcome, site.production()) == ("rolled-back", V1)
    assert result.messages[0].startswith("r2 was taken back by itself: its behaviour could not be proven: the environment file")


def test_a_deployment_that_failed_and_is_there_all_the_same_is_put_on_record_as_done(site: PromotedSite) -> None:
    site.runner.ends = [StepResult(status="failed", message="not healthy within 120 s", told={}), StepResult(status="done", message="", told={})]
    plan = site.plan_of(1, "staging")
    first = stage_release(site.site, "shop", plan, site.release_ports, command="again", progress=lambda _: None)
    assert first.outcome == "failed"
    for host in ("mint-apps", "mint-data"):
        site.run_fully(host, plan)
    asked = []
    site.witness.answer = lambda *of: asked.append(of) or ()  # type: ignore[func-returns-value,method-assign]
    assert stage_release(site.site, "shop", plan, site.release_ports, command="again", progress=lambda _: None).outcome == "done"
    told = [r.reason for r in site.receipts.chain if r.reason and "was found to be there" in r.reason]
    assert (asked, [one.endswith("on fresh evidence; no second witness was asked") for one in told]) == ([], [True, True])
    site.tests.tests = GOOD
    assert site.smoke("staging").passed
    assert not chain_faults(site.receipts.load())


def test_a_manifest_that_can_not_be_read_keeps_nothing_from_going_back(site: PromotedSite) -> None:
    first_release(site)
    assert site.promote(site.bring_to_gate(2)).outcome == "done"
    del site.files.held["shop", "r2"]
    result = site.roll_back()
    assert (result.outcome, site.production()) == ("rolled-back", V1)


def take_out(site: PromotedSite, host: str) -> None:
    """Take a host out of production, and out of the policy."""
    spec = site.files.specs["shop"]
    one = spec.environments["production"]
    places = {**spec.environments, "production": one.model_copy(update={"hosts": tuple(name for name in one.hosts if name != host)})}
    site.files.specs["shop"] = spec.model_copy(update={"environments": places})
    hosts = tuple(one for one in site.site.view.desired.hosts if one.host != host)
    desired = site.site.view.desired.model_copy(update={"hosts": hosts})
    site.site = replace(site.site, view=site.site.view.model_copy(update={"desired": desired}))


def test_a_run_that_is_open_on_a_host_of_the_environment_no_more_is_refused_by_name(site: PromotedSite) -> None:
    plan = stopped_on_first(site)
    take_out(site, "mint-data")
    told = refusal_of(lambda: site.promote(plan))
    assert "brings shop to mint-data, no host of production any more. Nothing was changed." in told
    assert told.endswith("see what there is to take back: controlplane release status shop")


def test_a_release_goes_back_without_a_host_that_nobody_governs_any_more(site: PromotedSite) -> None:
    first_release(site)
    assert site.promote(site.bring_to_gate(2)).outcome == "done"
    take_out(site, "mint-data")
    assert site.roll_back().outcome == "rolled-back"
    assert "1 intake" in site.production()


def test_hosts_are_changed_in_the_order_of_the_release(site: PromotedSite) -> None:
    spec = site.files.specs["shop"]
    turned = {name: place.model_copy(update={"hosts": tuple(reversed(place.hosts))}) for name, place in spec.environments.items()}
    site.files.specs["shop"] = spec.model_copy(update={"environments": turned})
    assert site.stage(1).outcome == "done"
    assert [play.split("/")[0] for play in site.runner.plays] == ["mint-data", "mint-apps"]


def on_record_alone(site: PromotedSite) -> Plan:
    """Interrupt a promotion as soon as it is on record, before it begins anything, and return its plan."""
    first_release(site)
    plan, append = site.bring_to_gate(2), site.receipts.append

    def cut(receipt: Receipt) -> Receipt:
        made = append(receipt)
        site.receipts.append = append  # type: ignore[method-assign]
        raise KeyboardInterrupt(made.key)

    site.receipts.append = cut  # type: ignore[method-assign]
    assert site.promote(plan).outcome == "interrupted"
    assert [one.step for one in open_intents(site.receipts.chain)] == ["*"]
    return plan


def test_a_run_that_is_on_record_and_began_nothing_comes_through_the_gate_again(site: PromotedSite) -> None:
    plan = on_record_alone(site)
    site.clock.time += timedelta(days=9)
    told = refusal_of(lambda: site.promote(plan))
    [run] = [one.run for one in open_intents(site.receipts.chain)]
    assert "storage of mint-apps: it ended at" in told
    assert "smoke: " in told
    assert told.endswith(f"Run {run} is open and began nothing yet: mend that and run this again, or close it: controlplane rollback {run}")
    assert site.production() == V1
    assert (site.rollback(run).outcome, open_intents(site.receipts.chain)) == ("rolled-back", ())


def test_a_run_that_began_nothing_goes_on_through_an_open_gate(site: PromotedSite) -> None:
    result = site.promote(on_record_alone(site))
    assert (result.outcome, {line.verdict for line in result.gate}) == ("done", {Verdict.MET})


def stopped_on_first(site: PromotedSite) -> Plan:
    """Interrupt a promotion on its first host, and return its plan."""
    first_release(site)
    plan = site.bring_to_gate(2)
    site.runner.ends = [StepResult(status="interrupted", message="interrupted", told={})]
    assert site.promote(plan).outcome == "interrupted"
    return plan


def test_a_host_that_was_not_begun_is_begun_through_the_gate_alone(site: PromotedSite) -> None:
    plan = stopped_on_first(site)
    site.faults = ("production lacks PORT",)
    result = site.promote(plan)
    assert (result.outcome, site.production()) == ("interrupted", {*V1, *V2})
    assert result.messages[0].startswith("mint-data/010 release.deploy was not begun: its gate is shut: contract: production lacks PORT")
    assert "1 of 2 steps are done" in result.messages[0]
    site.faults = ()
    assert (site.promote(plan).outcome, site.production()) == ("done", V2)


def test_a_host_that_was_not_begun_has_to_be_ready_still_and_one_that_was_does_not(site: PromotedSite) -> None:
    plan = stopped_on_first(site)
    site.clock.time += timedelta(days=9)
    lines = {line.name: line.verdict for line in site.promote(plan).gate}
    assert (lines["storage of mint-data"], lines["production"], "storage of mint-apps" in lines) == (Verdict.DRIFTED, Verdict.MET, False)


def test_what_was_begun_is_ended_out_of_the_window_and_nothing_more_is_begun(site: PromotedSite) -> None:
    plan = stopped_on_first(site)
    site.hosts["mint-apps"].probes = copy.deepcopy(next(reversed(site.hosts["mint-apps"].undo.values())))
    window = Window(days=("mon",), start="03:00", end="03:01")
    site.site = replace(site.site, view=site.site.view.model_copy(update={"windows": (window,)}))
    result = site.promote(plan)
    assert (result.outcome, site.production()) == ("interrupted", {*V1, *V2})
    assert result.messages[0].startswith("mint-data/010 release.deploy was not begun: no maintenance window is open")
    assert "1 of 2 steps are done" in result.messages[0]


def test_a_window_that_is_over_by_a_hosts_clock_lets_no_promotion_begin_and_ends_what_was_begun(site: PromotedSite) -> None:
    first_release(site)
    plan = site.bring_to_gate(2)
    now = site.clock.now()
    opens, shuts = ((now + timedelta(hours=hours)).strftime("%H:%M") for hours in (-1, 1))
    site.site = replace(site.site, view=site.site.view.model_copy(update={"windows": (Window(start=opens, end=shuts),)}))

    def ahead(by: timedelta) -> None:
        for host in site.hosts.values():
            host.probes["identity"]["clock_epoch"] = (site.clock.time + by).timestamp()

    ahead(timedelta(hours=2))
    told = refusal_of(lambda: site.promote(plan))
    assert f"plan {plan.plan[:19]} refused: no maintenance window is open; " in told
    assert ", by the clock of mint-apps: it says " in told
    assert site.production() == V1
    ahead(timedelta())
    site.runner.ends = [StepResult(status="interrupted", message="interrupted", told={})]
    assert site.promote(plan).outcome == "interrupted"
    ahead(timedelta(hours=2))
    assert (site.promote(plan).outcome, site.production()) == ("done", V2)


def test_staging_asks_for_no_window(site: PromotedSite) -> None:
    window = Window(days=("mon",), start="03:00", end="03:01")
    site.site = replace(site.site, view=site.site.view.model_copy(update={"windows": (window,)}))
    assert site.stage(1).outcome == "done"


def test_a_stricter_site_is_asked_whatever_the_release_says(site: PromotedSite) -> None:
    spec = site.files.specs["shop"].model_copy(update={"promotion": Rules(approval="self")})
    site.files.specs["shop"] = spec
    site.site = replace(site.site, view=site.site.view.model_copy(update={"approval": "other"}))
    assert demanded_of(site.site, spec) == "other"
    assert demanded_of(replace(site.site, view=site.view), spec) == "self"


def test_a_preview_tells_where_data_land(site: PromotedSite) -> None:
    bind = Bind(source="/mnt/data/shop/db", target="/var/lib/db", read_only=False, file="compose.yml", line=1)
    volume = NamedVolume(key="cache", name="shop_cache", target="/cache", read_only=False)
    service = ServiceView(name="intake", image=None, container=None, networks=("default",), binds=(bind,), volumes=(volume,))
    views = {"mint-data": ComposeView(project="shop-production", dir="/opt/stacks/shop-production", services=(service,))}
    told = landings(
        replace(site.site, views=lambda *_: views), "shop", "production", site.files.manifest("shop", "r1"), site.plan_of(1, "production")
    )
    assert [(one["service"], one["path"], one["lands"]) for one in told] == [
        ("intake", "/var/lib/db", "/mnt/data/shop/db"),
        ("intake", "/cache", "volume shop_cache in /mnt/data/docker"),
    ]


def test_a_preview_tells_where_volumes_that_are_there_have_their_data_and_what_the_policy_does_not_name(site: PromotedSite) -> None:
    volume = NamedVolume(key="cache", name="shop_cache", target="/cache", read_only=False)
    views = {
        host: ComposeView(
            project="shop-staging",
            dir="/opt/stacks/shop-staging",
            services=(ServiceView(name="intake", image=None, container=None, networks=("default",), volumes=(volume,)),),
        )
        for host in ("mint-apps", "mint-data")
    }
    made = site.plan_of(1, "staging")
    places = {"mint-apps": "/srv/cache", "mint-data": "/mnt/data/docker/volumes/shop_cache/_data"}
    steps = tuple(
        step.model_copy(update={"variables": {**step.variables, "compose_stack_volumes": {"shop_cache": places[step.host]}}}) for step in made.steps
    )
    boot = site.site.view.desired.by_name()["mint-apps"].model_copy(update={"data": "boot", "disks": ()})
    desired = site.site.view.desired.model_copy(update={"hosts": (boot, site.site.view.desired.by_name()["mint-data"])})
    changed = replace(site.site, view=site.site.view.model_copy(update={"desired": desired}), views=lambda *_: views)
    told = landings(changed, "shop", "staging", site.files.manifest("shop", "r1"), made.model_copy(update={"steps": steps}))
    assert {one["host"]: one["lands"] for one in told} == {
        "mint-apps": "volume shop_cache, whose data lie in /srv/cache, on the boot disk, and named nowhere in the policy: D236 will call it drift",
        "mint-data": "volume shop_cache in /mnt/data/docker",
    }


def test_apply_carries_no_release_out(site: PromotedSite) -> None:
    told = refusal_of(lambda: refuse_led(site.plan_of(1, "production"), "plan.json"))
    assert told.endswith("Nothing was changed. Carry it out there: controlplane release promote shop --plan plan.json")


@copied_each_time
def _at_the_gate(*, stub: bool) -> tuple[PromotedSite, Plan]:
    site = PromotedSite()
    first_release(site)
    plan = site.bring_to_gate(2)
    site.stubs = {2} if stub else set()
    return site, plan


def _contacts(*, stub: bool) -> int:
    site, plan = _at_the_gate(stub=stub)
    site.arm(None)
    site.promote(plan)
    return site.world.count


def _promote_until_cut(at: int, *, stub: bool) -> PromotedSite:
    site, plan = _at_the_gate(stub=stub)
    site.arm(at)
    with suppress(InterruptedRunError, KeyboardInterrupt, RefusedError):
        site.promote(plan)
    site.arm(None)
    if open_intents(site.receipts.chain):
        goes_on = {one["environment"]: one["goes_on"] for one in release_status(site.site, "shop", site.release_ports)["environments"]}
        assert goes_on["production"] is not None
    ends = [_again(site, plan) for _ in range(2)]
    assert ends[0] in ("done", "rolled-back", "taken back"), ends
    assert ends[1] == ("taken back" if stub else "done")
    return site


def _again(site: PromotedSite, plan: Plan) -> str:
    try:
        return site.promote(plan).outcome
    except RefusedError as refusal:
        return "taken back" if "was carried out and taken back" in str(refusal) else str(refusal)


@pytest.mark.parametrize("at", range(1, _contacts(stub=False) + 1))
def test_a_promotion_cut_at_any_contact_ends_proven_in_production(at: int) -> None:
    site = _promote_until_cut(at, stub=False)
    assert site.production() == V2
    assert not open_intents(site.receipts.chain)
    assert not chain_faults(site.receipts.load())


@pytest.mark.parametrize("at", range(1, _contacts(stub=True) + 1))
def test_a_stub_that_is_cut_at_any_contact_ends_with_what_ran_before(at: int) -> None:
    site = _promote_until_cut(at, stub=True)
    assert site.production() == V1
    assert not open_intents(site.receipts.chain)
    assert not chain_faults(site.receipts.load())
