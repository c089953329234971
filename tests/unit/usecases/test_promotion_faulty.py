"""Files of a release with faults shut the gate of its promotion, and hide no other line of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from controlplane.domain.errors import ControlPlaneError, Fault, InputInvalidError, RefusedError, UnknownError
from controlplane.domain.finding import Verdict
from controlplane.domain.plan import Plan
from controlplane.domain.releases.compose_view import ComposeView
from controlplane.domain.releases.gate import UNPLANNED, GateLine
from controlplane.domain.releases.values import EnvironmentName
from controlplane.ports.plays import StepResult
from controlplane.ports.releases import KeptManifest
from controlplane.usecases.rehearse_release import Rehearsed, rehearse
from tests.fakes.promotions import PromotedSite
from tests.fakes.releases import HOSTS, STACK

ENV = "inventory/lab/releases/shop/.env.production"
FAULTS = (Fault(ENV, 3, "PORT", "is empty"), Fault(ENV, 7, "TOKEN", "holds a placeholder"))
TOLD = tuple(str(fault) for fault in FAULTS)
DOUBT = UnknownError("shop can't be brought to production: policy.yml does not say where it lies. Nothing was changed.")
CUT = StepResult(status="interrupted", message="interrupted.", told={})


@pytest.fixture
def site() -> PromotedSite:
    return PromotedSite()


def spoil(site: PromotedSite, error: ControlPlaneError = InputInvalidError(FAULTS), environment: EnvironmentName = "production") -> None:  # noqa: B008 - never changed
    """Let the files of an environment not be fit to be planned by."""
    sound = site.site.views

    def views(stack: str, name: EnvironmentName) -> Mapping[str, ComposeView]:
        if name == environment:
            raise error
        return sound(stack, name)

    site.site = replace(site.site, views=views)


def shown(site: PromotedSite, of: Plan | KeptManifest) -> Rehearsed:
    before = (list(site.receipts.chain), site.production())
    told = rehearse(site.site, STACK, "production", of, site.release_ports)
    assert (site.receipts.chain, site.production(), site.runner.dry_runs) == (*before, [])
    return told


def unmet(lines: tuple[GateLine, ...]) -> dict[str, tuple[Verdict, str]]:
    return {line.name: (line.verdict, line.reason) for line in lines if line.verdict is not Verdict.MET}


@pytest.mark.parametrize("by_plan", [False, True])
def test_faults_of_production_s_files_are_a_line_beside_all_others_and_what_can_t_be_planned_is_said(site: PromotedSite, *, by_plan: bool) -> None:
    plan = site.bring_to_gate(1)
    of = plan if by_plan else site.files.manifest(STACK, "r1")
    names = [line.name for line in shown(site, of).gate]
    spoil(site)
    told = shown(site, of)
    # The check that knows the same faults says them once.
    site.faults = (*TOLD, "releases/shop/.env.production:9: a secret of it is in git")
    assert unmet(shown(site, of).gate)["contract"][1] == "; ".join(site.faults)
    assert unmet(told.gate) == {"contract": (Verdict.DRIFTED, "; ".join(TOLD)), "plan": (Verdict.DRIFTED, UNPLANNED)}
    assert [line.name for line in told.gate if line.name != "plan"] == [name for name in names if name != "images"]
    assert (told.unplanned, told.plan.steps, told.lands, told.finished) == (True, (), (), HOSTS)


def test_the_act_is_refused_by_the_gate_with_every_line_that_does_not_hold(site: PromotedSite) -> None:
    plan = site.bring_to_gate(1)
    spoil(site)
    site.runs.held = ()
    before = list(site.receipts.chain)
    with pytest.raises(RefusedError) as refused:
        site.promote(plan)
    assert str(refused.value).splitlines()[:3] == [
        "r1 is not promoted, its gate is shut:",
        f"  contract: {'; '.join(TOLD)}    (controlplane release check shop --env production)",
        f"  plan: {UNPLANNED}    (mend what 'contract' names, then: controlplane release promote shop --dry-run)",
    ]
    assert (site.receipts.chain, site.production()) == (before, set())


def test_what_of_the_files_can_t_be_told_is_unknown_there_and_in_the_act(site: PromotedSite) -> None:
    plan = site.bring_to_gate(1)
    spoil(site, DOUBT)
    told = unmet(shown(site, plan).gate)["plan"]
    assert told == (Verdict.UNKNOWN, f"{UNPLANNED}: shop can't be brought to production: policy.yml does not say where it lies")
    with pytest.raises(UnknownError, match="its gate is shut"):
        site.promote(plan)


def test_faults_of_staging_s_files_are_said_where_what_runs_there_is_judged_by_them(site: PromotedSite) -> None:
    plan = site.bring_to_gate(1)
    fault = Fault("inventory/lab/releases/shop/.env.staging", 2, "PORT", "is empty")
    spoil(site, InputInvalidError([fault]), "staging")
    told = shown(site, plan)
    assert unmet(told.gate) == {"staged": (Verdict.DRIFTED, f"what runs there, and 'images', can't be compared with the files of staging: {fault}")}
    assert not told.unplanned
    with pytest.raises(RefusedError, match="staged: what runs there"):
        site.promote(plan)


def test_what_was_begun_is_ended_by_sound_files_alone_and_the_dry_run_says_so_as_the_act_does(site: PromotedSite) -> None:
    plan = site.bring_to_gate(1)
    site.runner.ends = [CUT]
    assert site.promote(plan).outcome == "interrupted"
    spoil(site)
    for act in (site.promote, lambda plan: rehearse(site.site, STACK, "production", plan, site.release_ports)):
        with pytest.raises(InputInvalidError) as refused:
            act(plan)
        assert refused.value.faults == FAULTS
