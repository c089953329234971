"""A host that the second witness can't ask is not changed: plan and apply refuse it first, audit goes on."""

from __future__ import annotations

import copy

import pytest

from controlplane.domain.errors import RefusedError
from controlplane.domain.finding import Verdict
from controlplane.usecases.judge_hosts import judge_site
from tests.fakes.site import FakeSite

WHY = (
    "the second witness has no way over connection docker, only over ssh and local: "
    "set ansible_connection of mint-data to one of them in the inventory"
)


def _over_docker(site: FakeSite) -> None:
    first, *others = site.view.inventory.hosts
    changed = first.model_copy(update={"variables": first.variables | {"ansible_connection": "docker"}})
    site.view = site.view.model_copy(update={"inventory": site.view.inventory.model_copy(update={"hosts": (changed, *others)})})


def test_its_plan_has_no_step_and_says_why_and_what_to_do() -> None:
    site = FakeSite()
    _over_docker(site)

    plan = site.plan()

    assert plan.steps == ()
    assert plan.bounds == ()
    told = {refusal.capability: refusal.reason for refusal in plan.refusals}
    assert told["storage.data_disk"] == f"what it promises could not be confirmed afterwards: {WHY}, then plan again"
    assert "storage.data_disk has to run first" in told["docker.data_root"]


def test_the_other_hosts_of_the_plan_go_on() -> None:
    site = FakeSite(hosts=("mint-data", "other"))
    _over_docker(site)

    assert site.plan().hosts == ("other",)


def test_where_nothing_drifts_there_is_nothing_to_refuse() -> None:
    site = FakeSite()
    site.apply(site.plan())
    _over_docker(site)

    plan = site.plan()

    assert (plan.steps, plan.refusals) == ((), ())


def test_a_plan_from_before_is_not_applied() -> None:
    site = FakeSite()
    plan = site.plan()
    _over_docker(site)
    bound = plan.binds.model_copy(update={"inventory": site.view.inventory_digest()})
    plan = plan.model_copy(update={"binds": bound})
    before = copy.deepcopy(site.host.probes)

    with pytest.raises(RefusedError) as refusal:
        site.apply(plan)

    assert refusal.value.exit_code == 4
    assert f"refused: mint-data: {WHY}. Nothing was changed." in str(refusal.value)
    assert (site.runner.plays, site.receipts.chain, site.host.probes) == ([], [], before)


def test_it_is_audited_as_before() -> None:
    site = FakeSite()
    _over_docker(site)
    chosen = site.view.chosen(())
    seen = site.evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})

    report = judge_site(site.view, hosts=("mint-data",), seen=seen, now=site.clock.now())

    assert report.summary.unknown == 0
    assert any(finding.verdict is Verdict.DRIFTED for finding in report.findings)
