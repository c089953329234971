"""A host that died was taken out of production for good: a promotion comes to its end on those that are left."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controlplane.domain.errors import InterruptedRunError, RefusedError
from controlplane.domain.plan import Plan
from controlplane.domain.receipt import open_intents
from controlplane.ports.plays import StepResult
from controlplane.usecases.abandon_run import abandon_run
from controlplane.usecases.rehearse_release import rehearse
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
