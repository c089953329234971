"""A way back that takes more than one call: each host that went back is judged in the last one, also where that asks for the proof alone."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.errors import RefusedError
from controlplane.ports.plays import StepResult
from controlplane.usecases import return_release
from controlplane.usecases.release_way_back import way_back
from tests.fakes.evidence_builder import container
from tests.fakes.promotions import PromotedSite
from tests.fakes.releases import HOSTS, STACK
from tests.unit.usecases.test_judge_return import PINNED, PROJECT, after_undo, by_hand, first_release

ODD = {"image_digests": [f"registry.example.org/hand/intake@sha256:{'b' * 64}"], "state": "exited", "running": False}


@pytest.fixture
def site() -> PromotedSite:
    return PromotedSite()


def on(site: PromotedSite, *hosts: str) -> PromotedSite:
    """Let production be of these hosts."""
    spec = site.files.specs[STACK]
    there = spec.environments["production"].model_copy(update={"hosts": hosts})
    site.files.specs[STACK] = spec.model_copy(update={"environments": {**spec.environments, "production": there}})
    return site


def alter_by_hand(host: Any) -> None:
    """Let what somebody started by hand be of another image, and down."""
    for one in host.probes["docker_containers"]:
        if one["compose_project"] == PROJECT and "hand" in one["image_digests"][0]:
            one.update(ODD)


def away_behind_the_first(site: PromotedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let mint-apps not answer any more once one run is back."""
    take, taken = return_release.take_back, list[str]()

    def then(*args: Any, **given: Any) -> Any:
        site.evidence.unreached = {"mint-apps": "no route"} if taken else {}
        taken.append("one")
        return take(*args, **given)

    monkeypatch.setattr(return_release, "take_back", then)


@pytest.mark.parametrize("by_itself", [False, True])
def test_asked_for_its_proof_alone_a_host_without_a_release_is_judged_as_well(
    site: PromotedSite, monkeypatch: pytest.MonkeyPatch, *, by_itself: bool
) -> None:
    by_hand(site, ("mint-data",))
    first_release(on(site, "mint-apps"))
    plan = on(site, *HOSTS).bring_to_gate(2)
    site.stubs = {2} if by_itself else set()
    if not by_itself:
        assert site.promote(plan).outcome == "done"
    after_undo(site, monkeypatch, alter_by_hand)
    assert (site.promote(plan) if by_itself else site.roll_back()).outcome == "failed"
    if by_itself:
        with pytest.raises(RefusedError, match="Prove it: controlplane release rollback shop --env production --to r1"):
            site.promote(plan)
    back = way_back(site.site, STACK, "production", "r1", site.release_ports)
    assert (back.hosts, back.runs, back.unreleased) == (HOSTS, (), {"mint-data": (f"intake {PINNED}",)})
    for _ in range(2):
        again = site.roll_back(to="r1")
        assert (again.outcome, again.returned, again.proof) == ("failed", (), None)
        assert "not proven by digest: mint-data: " in " ".join(again.messages)
    rows = site.hosts["mint-data"].probes["docker_containers"]
    next(one for one in rows if one["compose_project"] == PROJECT).update(image_digests=[PINNED], state="running", running=True)
    again = site.roll_back(to="r1")
    assert (again.outcome, again.manifest) == ("rolled-back", "r1"), again.messages


def test_a_host_that_only_the_newer_run_took_back_is_judged_with_the_older_one_in_a_later_call(
    site: PromotedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand(site, ("mint-data",))
    on(site, "mint-apps")
    for number in (1, 2):
        assert site.promote(site.bring_to_gate(number)).outcome == "done"
    assert on(site, *HOSTS).promote(site.bring_to_gate(3)).outcome == "done"
    with monkeypatch.context() as patched:
        away_behind_the_first(site, patched)
        assert site.roll_back(to="r1").outcome == "interrupted"
    site.evidence.unreached = {}
    back = way_back(site.site, STACK, "production", "r1", site.release_ports)
    assert (back.hosts, len(back.runs), back.unreleased) == (("mint-apps",), 1, {"mint-data": (f"intake {PINNED}",)})
    alter_by_hand(site.hosts["mint-data"])
    result = site.roll_back(to="r1")
    assert (result.outcome, result.exit_code(), len(result.returned)) == ("failed", 1, 1)
    assert "not proven by digest: mint-data: " in " ".join(result.messages)


def test_where_the_older_run_failed_before_a_host_what_the_newer_one_left_there_is_seen(site: PromotedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    site.runner.ends = [StepResult(status="failed", message="registry is down", told={})]
    assert (site.stage(1).outcome, site.stage(2).outcome) == ("failed", "done")
    with monkeypatch.context() as patched:
        away_behind_the_first(site, patched)
        assert site.roll_back("staging").outcome == "interrupted"
    site.evidence.unreached = {}
    left = {**container("left-1", []), "compose_project": "shop-staging", "compose_service": "intake"}
    site.hosts["mint-data"].probes["docker_containers"].append(left)
    result = site.roll_back("staging")
    assert (result.outcome, result.exit_code()) == ("failed", 1)
    assert "mint-data: left-1 is there" in " ".join(result.messages)
