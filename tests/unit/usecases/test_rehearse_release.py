"""The dry run of a release: what it tells of the gate and of each host's own Docker, and that it puts nothing on record."""

from __future__ import annotations

import pytest

from controlplane.domain.errors import InterruptedRunError, RefusedError
from controlplane.domain.finding import Verdict
from controlplane.domain.plan import Plan
from controlplane.domain.receipt import open_intents
from controlplane.domain.releases.gate import GateLine
from controlplane.domain.releases.values import EnvironmentName
from controlplane.domain.run_key import make_run_key
from controlplane.ports.plays import StepResult
from controlplane.ports.releases import KeptManifest
from controlplane.usecases.ask_release import asked_of_hosts
from controlplane.usecases.deploy_release import promote_release, stage_release
from controlplane.usecases.record_run import WHOLE, Ledger
from controlplane.usecases.rehearse_release import Rehearsed, rehearse
from tests.fakes.promotions import PromotedSite
from tests.fakes.releases import HOSTS, STACK, running
from tests.fakes.site import OPERATOR

REFUSED = "refuse | Let Compose read the files: compose_stack of shop (staging) refused: x can't be pulled. Nothing was changed."


@pytest.fixture
def site() -> PromotedSite:
    return PromotedSite()


def of(site: PromotedSite, what: Plan | KeptManifest, environment: EnvironmentName = "staging") -> Rehearsed:
    return rehearse(site.site, STACK, environment, what, site.release_ports)


def asked(site: PromotedSite, plan: Plan) -> tuple[GateLine, ...]:
    return tuple(one.docker for one in asked_of_hosts(site.site, plan, site.release_ports, progress=lambda _: None))


def test_every_host_is_asked_in_check_mode_and_nothing_is_changed_or_put_on_record(site: PromotedSite) -> None:
    shown = of(site, site.files.manifest(STACK, "r1"))
    lines = asked(site, shown.plan)
    assert [(line.name, line.verdict) for line in lines] == [(f"Docker of {host}", Verdict.MET) for host in HOSTS]
    assert (len(site.runner.dry_runs), site.runner.plays, site.receipts.chain, site.running("staging")) == (2, [], [], set())


def test_what_a_host_s_tool_refused_is_drift_and_what_could_not_be_told_is_unknown(site: PromotedSite) -> None:
    plan = of(site, site.files.manifest(STACK, "r1")).plan
    for end, verdict, reason in (
        (StepResult(status="failed", message=REFUSED, told={"rc": 4}), Verdict.DRIFTED, REFUSED.removesuffix(" Nothing was changed.")),
        (StepResult(status="failed", message="sudo: a password is required", told={}), Verdict.UNKNOWN, "sudo: a password is required"),
        (StepResult(status="failed", message="it broke", told={"rc": 1}), Verdict.UNKNOWN, "it broke"),
        (StepResult(status="unreachable", message="no route to host", told={}), Verdict.UNKNOWN, "it was not reached: no route to host"),
        (StepResult(status="done", message="", told={"doubts": ["a", "b"]}), Verdict.UNKNOWN, "a; b"),
        (StepResult(status="done", message="", told={"doubts": []}), Verdict.MET, "Compose reads the files"),
    ):
        site.runner.dry_ends = {HOSTS[0]: end}
        line, other = asked(site, plan)
        assert (line.verdict, line.reason.startswith(reason), other.verdict) == (verdict, True, Verdict.MET), line


def test_what_a_run_of_the_plan_began_is_asked_as_that_run(site: PromotedSite) -> None:
    plan = site.plan_of(1, "staging")
    site.runner.ends = [StepResult(status="interrupted", message="interrupted.", told={})]
    stage_release(site.site, STACK, plan, site.release_ports, command="again", progress=lambda _: None)
    [begun] = [one.key for one in open_intents(site.receipts.chain) if one.step == plan.steps[0].id]
    asked(site, plan)
    assert site.runner.dry_keys[0] == begun
    assert site.runner.dry_keys[1] not in {one.key for one in site.receipts.chain}


def test_one_that_is_interrupted_says_that_nothing_was_changed(site: PromotedSite) -> None:
    site.runner.dry_ends = {HOSTS[0]: StepResult(status="interrupted", message="interrupted.", told={})}
    with pytest.raises(InterruptedRunError, match="Nothing was changed"):
        asked(site, of(site, site.files.manifest(STACK, "r1")).plan)


def test_a_plan_is_rehearsed_as_what_fresh_evidence_gives_with_its_gate(site: PromotedSite) -> None:
    plan = site.bring_to_gate(1)
    shown = of(site, plan, "production")
    assert (shown.plan.steps, {line.verdict for line in shown.gate}) == (plan.steps, {Verdict.MET})
    assert of(site, site.plan_of(2, "staging")).gate == ()


def test_a_plan_that_no_longer_fits_is_refused_with_what_differs(site: PromotedSite) -> None:
    plan = site.plan_of(2, "staging")
    site.run_fully(HOSTS[0], plan)
    with pytest.raises(RefusedError, match="no longer fits") as refusal:
        of(site, plan)
    told = str(refusal.value).splitlines()
    assert told[-2:] == [
        f"  {HOSTS[0]}/010: is no longer to be done",
        f"Nothing was changed. Make a new one: controlplane release stage --manifest r2 {STACK} --out FILE",
    ]


def stopped(site: PromotedSite, plan: Plan, environment: EnvironmentName) -> None:
    """Interrupt a plan at the first host that is left."""
    site.runner.ends = [StepResult(status="interrupted", message="interrupted.", told={})]
    act = stage_release if environment == "staging" else promote_release
    assert act(site.site, STACK, plan, site.release_ports, command="again", progress=lambda _: None).outcome == "interrupted"


def shut(site: PromotedSite, plan: Plan, environment: EnvironmentName = "production") -> set[str]:
    return {line.name for line in of(site, plan, environment).gate if line.verdict is not Verdict.MET}


def test_a_run_that_was_stopped_is_rehearsed_as_it_would_go_on(site: PromotedSite) -> None:
    plan = site.bring_to_gate(1)
    stopped(site, plan, "production")
    assert (shut(site, plan), of(site, plan, "production").finished) == (set(), ())
    # The first host is ended, and the second not begun.
    site.faults = ("production lacks PORT",)
    assert site.promote(plan).outcome == "interrupted"
    assert shut(site, plan) == {"contract"}
    site.faults = ()
    shown = of(site, plan, "production")
    assert (shut(site, plan), shown.finished, [step.host for step in shown.plan.steps]) == (set(), HOSTS[:1], [HOSTS[1]])
    assert site.promote(plan).outcome == "done"


def test_where_a_run_that_was_stopped_began_every_host_no_gate_is_asked_any_more(site: PromotedSite) -> None:
    plan = site.bring_to_gate(1)
    stopped(site, plan, "production")
    stopped(site, plan, "production")
    site.runner.ends = [StepResult(status="done", message="", told={}), StepResult(status="interrupted", message="interrupted.", told={})]
    assert site.promote(plan).outcome == "interrupted"
    site.faults = ("production lacks PORT",)
    assert [line.name for line in of(site, plan, "production").gate] == ["waves"]
    assert site.promote(plan).outcome == "done"


def test_what_a_run_that_was_stopped_would_do_beyond_its_plan_is_refused_with_its_way_back(site: PromotedSite) -> None:
    plan = site.plan_of(1, "staging")
    stopped(site, plan, "staging")
    odd = running(2, "intake", "staging") | {"name": "odd", "compose_service": "odd", "compose_dir": "/opt/stacks/shop-staging"}
    site.hosts[HOSTS[1]].probes["docker_containers"].append(odd)
    with pytest.raises(RefusedError, match="can't be gone on with, there is more to do now than its plan says") as refusal:
        of(site, plan)
    assert "Take it back with 'controlplane release rollback shop --env staging', then make a new plan." in str(refusal.value)


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_dry_run_of_a_plan_refuses_other_roles_as_the_act_does(
    site: PromotedSite, environment: EnvironmentName, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = site.bring_to_gate(1) if environment == "production" else site.plan_of(1, "staging")
    files = site.ports.roles.files()
    monkeypatch.setattr(type(site.ports.roles), "files", lambda _: {**files, "roles/compose_stack/tasks/main.yml": b"changed"})
    refusals = refused_alike(site, plan, environment)
    assert f"plan {plan.plan[:19]} refused: the roles of this program changed since it was made. Nothing was changed." in refusals


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_dry_run_of_a_plan_refuses_another_run_that_is_open_as_the_act_does(site: PromotedSite, environment: EnvironmentName) -> None:
    plan = site.bring_to_gate(1) if environment == "production" else site.plan_of(1, "staging")
    keys = [make_run_key(capability, site.clock.now(), site.ports.entropy.four_hex()) for capability in (WHOLE, "storage.fstab")]
    ledger = Ledger(site.receipts, site.clock, run=keys[0], site="lab", plan="sha256:other", policy=site.view.policy_digest, operator=OPERATOR)
    ledger.intend(keys[0], host="*", capability=WHOLE, step="*")
    ledger.intend(keys[1], host=HOSTS[0], capability="storage.fstab", step=f"{HOSTS[0]}/010")
    ledger.close(keys[1], host=HOSTS[0], capability="storage.fstab", step=f"{HOSTS[0]}/010", outcome="done")
    site.make_ready()
    assert "an earlier run is still open: CAP-" in refused_alike(site, plan, environment)


def refused_alike(site: PromotedSite, plan: Plan, environment: EnvironmentName) -> str:
    """Return what the dry run says, which is what the act says; neither changes anything."""
    before, act = list(site.receipts.chain), stage_release if environment == "staging" else promote_release
    told = []
    for carry in (
        lambda: of(site, plan, environment),
        lambda: act(site.site, STACK, plan, site.release_ports, command="again", progress=lambda _: None),
    ):
        with pytest.raises(RefusedError) as refusal:
            carry()
        told.append(str(refusal.value))
    assert (told[0], site.receipts.chain) == (told[1], before)
    return told[0]
