"""What comes back of a stack that ran by hand before its first release is named, judged by its images, and proven; and so is nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from controlplane.domain.errors import RefusedError
from controlplane.ports.plays import StepResult
from controlplane.usecases.release_way_back import WayBack, way_back
from tests.fakes.evidence_builder import container
from tests.fakes.promotions import GOOD, PromotedSite
from tests.fakes.releases import HOSTS, STACK

PINNED = f"registry.example.org/hand/intake@sha256:{'a' * 64}"
PROJECT = "shop-production"


def by_hand(site: PromotedSite, hosts: tuple[str, ...] = HOSTS, **more: Any) -> None:
    """Let the project run on hosts from its folder, as somebody started it there."""
    of = {"compose_project": PROJECT, "compose_dir": f"/opt/stacks/{PROJECT}", "compose_service": "intake", "health": None}
    for host in hosts:
        made = container(f"{PROJECT}-intake-1", [], **{**of, "image": "hand/intake:v7", "image_digests": [PINNED], **more})
        site.hosts[host].probes["docker_containers"].append(made)


def first_release(site: PromotedSite) -> None:
    assert site.promote(site.bring_to_gate(1)).outcome == "done"


def shown(site: PromotedSite) -> WayBack:
    return way_back(site.site, STACK, "production", None, site.release_ports)


def after_undo(site: PromotedSite, monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    """Let something happen on each host once its undo is through."""
    run = site.runner.run

    def then(*args: Any, host: str, **given: Any) -> StepResult:
        result = run(*args, host=host, **given)
        act(site.hosts[host])
        return result

    monkeypatch.setattr(site.runner, "run", then)


@pytest.fixture
def site() -> PromotedSite:
    return PromotedSite()


def test_a_stub_over_what_ran_by_hand_is_taken_back_to_it_and_it_is_named_and_proven(site: PromotedSite) -> None:
    by_hand(site)
    plan = site.bring_to_gate(1)
    assert f"which no release brought, comes back with its files: intake {PROJECT}-intake-1: {PINNED}, running" in plan.steps[0].undo
    site.stubs = {1}
    result = site.promote(plan)
    assert result.outcome == "rolled-back", result.messages
    told = f"mint-apps: what ran there before, which no release brought, is back by its images: intake {PINNED}"
    assert told in result.messages
    assert any(one.startswith("what no release brought: its smoke tests passed, see CAP-") for one in result.messages)
    assert not any("are gone" in message for message in result.messages)
    tests = [one for one in site.receipts.chain if one.capability == "release.smoke" and one.phase == "result" and "production" in one.step]
    assert [(one.outcome, (one.told or {})["manifest"]) for one in tests][-1] == ("done", "")


def test_a_rollback_shows_it_before_and_its_smoke_decides(site: PromotedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand(site, ("mint-apps",))
    first_release(site)
    back = shown(site)
    assert (back.to, back.unreleased, back.emptied, back.unknown) == (None, {"mint-apps": (f"intake {PINNED}",)}, ("mint-data",), ())
    monkeypatch.setattr(site, "runs_a_stub", lambda environment: environment == "production")
    result = site.roll_back()
    assert (result.outcome, result.exit_code()) == ("failed", 1)
    assert result.proof is not None
    assert any("what no release brought is back by its digests, and its behaviour is not proven: see CAP-" in one for one in result.messages)
    assert any(one.startswith("mint-data: nothing of it ran there before: its containers are gone") for one in result.messages)
    assert "controlplane release smoke shop --env production" in result.messages[-1]
    site.tests.tests = GOOD
    assert site.smoke("production").passed


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"image_digests": [f"registry.example.org/hand/intake@sha256:{'b' * 64}"]}, f"and before it was intake {PINNED}"),
        ({"state": "exited", "running": False}, "shop-production-intake-1 is exited, and ran before"),
        ({"compose_service": "other"}, "intake: no container of shop-production runs it, which ran before"),
    ],
)
def test_another_image_than_before_is_not_proven_by_digest(
    site: PromotedSite, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], told: str
) -> None:
    by_hand(site)
    first_release(site)

    def alter(host: Any) -> None:
        next(one for one in host.probes["docker_containers"] if one["compose_project"] == PROJECT).update(change)

    after_undo(site, monkeypatch, alter)
    result = site.roll_back()
    assert result.outcome == "failed"
    said = next(one for one in result.messages if "not proven by digest" in one)
    assert told in said


def test_an_image_of_no_registry_is_told_by_its_id_and_a_tag_alone_proves_nothing(site: PromotedSite) -> None:
    by_hand(site, image_digests=[], image_id=f"sha256:{'c' * 64}")
    other = copy.deepcopy(site)
    first_release(site)
    assert site.roll_back().outcome == "rolled-back"
    for host in HOSTS:
        other.service(host, "intake")["image_id"] = ""
    first_release(other)
    result = other.roll_back()
    assert result.outcome == "failed"
    assert any("hand/intake:v7: no digest tells it, so nobody can prove that it is back" in one for one in result.messages)


def test_where_a_release_stands_elsewhere_what_was_not_proven_of_such_a_host_is_said(site: PromotedSite) -> None:
    by_hand(site, ("mint-data",))
    spec = site.files.specs[STACK]
    both = spec.environments["production"]
    alone = both.model_copy(update={"hosts": ("mint-apps",)})
    site.files.specs[STACK] = spec.model_copy(update={"environments": {**spec.environments, "production": alone}})
    first_release(site)
    site.files.specs[STACK] = spec
    assert site.promote(site.bring_to_gate(2)).outcome == "done"
    assert shown(site).unreleased == {"mint-data": (f"intake {PINNED}",)}
    result = site.roll_back()
    assert (result.outcome, result.manifest) == ("rolled-back", "r1")
    assert result.messages[-1].endswith("how mint-data behaves, by what no release brought, is not proven")


def test_where_nothing_ran_nothing_may_be_left_whatever_compose_said(site: PromotedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    first_release(site)
    assert (shown(site).emptied, shown(site).unreleased) == (HOSTS, {})
    left = copy.deepcopy(site.service("mint-data", "seeds") | {"compose_project": PROJECT, "name": "left-1"})
    after_undo(site, monkeypatch, lambda host: host.probes["docker_containers"].append(copy.deepcopy(left)))
    result = site.roll_back()
    assert result.outcome == "failed"
    assert any("left-1 is there (running), which was not before" in one for one in result.messages)


def test_a_host_that_is_emptied_is_seen_to_be_and_no_smoke_runs_there(site: PromotedSite) -> None:
    first_release(site)
    result = site.roll_back()
    assert (result.outcome, result.proof) == ("rolled-back", None)
    assert "mint-apps, mint-data: nothing of it ran there before: its containers are gone, its volumes stay" in result.messages
    with pytest.raises(RefusedError, match="nothing is deployed by a release"):
        site.smoke("production")


def test_a_host_that_gives_no_evidence_after_it_is_unknown(site: PromotedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand(site)
    first_release(site)
    after_undo(site, monkeypatch, lambda host: host.probes.pop("docker_containers", None))
    result = site.roll_back()
    assert result.outcome == "failed"
    assert any("UNKNOWN" in one for one in result.messages), result.messages


def test_what_a_plan_does_not_tell_is_not_claimed(site: PromotedSite) -> None:
    site.deploy(1, "production")
    back = shown(site)
    assert (back.unknown, back.emptied, back.unreleased) == (HOSTS, (), {})


def half_back(site: PromotedSite) -> None:
    """Take the first release back, while the second host does not answer."""
    first_release(site)
    site.evidence.unreached = {"mint-data": "no route"}
    assert site.roll_back().outcome == "interrupted"
    site.evidence.unreached = {}


def test_a_host_that_an_earlier_call_took_back_is_judged_and_proven_as_well(site: PromotedSite) -> None:
    by_hand(site, ("mint-apps",))
    half_back(site)
    back = shown(site)
    assert (back.hosts, back.goes_to) == (("mint-data",), "what no release brought")
    assert (back.unreleased, back.emptied) == ({"mint-apps": (f"intake {PINNED}",)}, ("mint-data",))
    other = copy.deepcopy(site)
    other_image = f"registry.example.org/hand/intake@sha256:{'b' * 64}"
    next(one for one in other.hosts["mint-apps"].probes["docker_containers"] if one["compose_project"] == PROJECT)["image_digests"] = [other_image]
    result = other.roll_back()
    assert (result.outcome, result.exit_code()) == ("failed", 1)
    assert any(f"not proven by digest: mint-apps: {PROJECT}-intake-1: {other_image}, running, and before it was" in one for one in result.messages)
    result = site.roll_back()
    assert result.outcome == "rolled-back", result.messages
    assert result.proof is not None


def test_what_is_left_on_a_host_that_an_earlier_call_took_back_is_seen(site: PromotedSite) -> None:
    half_back(site)
    left = {**site.service("mint-apps", "seeds"), "compose_project": PROJECT, "name": "left-1"}
    site.hosts["mint-apps"].probes["docker_containers"].append(left)
    result = site.roll_back()
    assert (result.outcome, result.exit_code()) == ("failed", 1)
    assert "mint-apps: left-1 is there (running), which was not before" in " ".join(result.messages)
    assert "prove it again: controlplane release rollback shop --env production; " in result.messages[-1]
    site.hosts["mint-apps"].probes["docker_containers"].remove(left)
    again = site.roll_back()
    assert (again.outcome, again.returned, again.manifest) == ("rolled-back", (), "nothing")


@pytest.mark.parametrize(("before", "outcome"), [("healthy", "failed"), ("unhealthy", "rolled-back"), (None, "rolled-back")])
def test_what_was_healthy_as_its_plan_saw_it_has_to_be_healthy_again(
    site: PromotedSite, monkeypatch: pytest.MonkeyPatch, before: str | None, outcome: str
) -> None:
    by_hand(site, health=before)
    first_release(site)

    def alter(host: Any) -> None:
        next(one for one in host.probes["docker_containers"] if one["compose_project"] == PROJECT)["health"] = "unhealthy"

    after_undo(site, monkeypatch, alter)
    result = site.roll_back()
    assert result.outcome == outcome, result.messages
    assert ("is unhealthy, and was healthy before" in " ".join(result.messages)) is (outcome == "failed")
