"""A host that failed and was brought by a later attempt of the same run: it counts as brought, and goes back with both of its attempts."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.errors import InterruptedRunError, RefusedError
from controlplane.domain.finding import Verdict
from controlplane.domain.plan import Plan
from controlplane.domain.receipt import undone_keys
from controlplane.domain.releases.history import DEPLOY
from controlplane.ports.plays import StepResult
from controlplane.usecases.deploy_release import stage_release
from controlplane.usecases.rehearse_release import rehearse
from controlplane.usecases.release_way_back import way_back
from tests.fakes.kept import copied_each_time
from tests.fakes.promotions import PromotedSite
from tests.fakes.releases import STACK
from tests.unit.usecases.test_return_twice import killed_at_each_receipt

V1, V2 = {"1 intake", "1 seeds"}, {"2 intake", "2 seeds"}
DONE, FAILED = StepResult(status="done", message="", told={}), StepResult(status="failed", message="the registry is down", told={})


def stop_before_its_end(site: PromotedSite) -> None:
    """Let the second host fail, and the call be cut before the run's own receipt is closed."""
    site.runner.ends, answer = [DONE, FAILED], site.witness.answer

    def cut(*_: Any, **__: Any) -> Any:
        site.witness.answer = answer  # type: ignore[method-assign]
        raise KeyboardInterrupt

    site.witness.answer = cut  # type: ignore[method-assign]


@copied_each_time
def stopped() -> tuple[PromotedSite, Plan]:
    """Return a site on which the promotion of r2 failed on its second host and was cut before its end."""
    site = PromotedSite()
    assert site.promote(site.bring_to_gate(1)).outcome == "done"
    plan = site.bring_to_gate(2)
    stop_before_its_end(site)
    assert site.promote(plan).outcome == "interrupted"
    return site, plan


def back_to(site: PromotedSite, to: str | None = None) -> tuple[str, str | None, int]:
    back = way_back(site.site, STACK, "production", to, site.release_ports)
    return back.leaves, back.to, len(back.runs)


def test_one_whose_first_host_failed_goes_on_to_the_second_once_the_first_was_brought() -> None:
    site = PromotedSite()
    assert site.promote(site.bring_to_gate(1)).outcome == "done"
    plan = site.bring_to_gate(2)
    site.runner.ends = [FAILED]
    kills = killed_at_each_receipt(site, site.world.count, lambda one: one.promote(plan))
    cut = next(one for one in kills if any(result.outcome == "failed" for result in one.receipts.chain))
    cut.runner.ends = []
    shown = rehearse(cut.site, STACK, "production", plan, cut.release_ports)
    assert {line.verdict for line in shown.gate} == {Verdict.MET}
    result = cut.promote(plan)
    assert (result.outcome, cut.production(), {line.verdict for line in result.gate}) == ("done", V2, {Verdict.MET}), result.messages


def test_a_promotion_that_was_retried_and_proven_is_finished() -> None:
    site, plan = stopped()
    assert (site.promote(plan).outcome, site.production()) == ("done", V2)
    before = list(site.receipts.chain)
    assert [line.name for line in rehearse(site.site, STACK, "production", plan, site.release_ports).gate] == ["plan"]
    result = site.promote(plan)
    assert (result.outcome, result.exit_code(), site.receipts.chain, site.production()) == ("done", 0, before, V2), result.messages


def test_one_that_was_retried_and_cut_before_its_proof_is_proven_by_the_same_call() -> None:
    site, plan = stopped()

    def cut() -> None:
        site.tests.during = lambda: None
        raise InterruptedRunError("Interrupted.")

    site.tests.during = cut
    assert site.promote(plan).outcome == "interrupted"
    result = site.promote(plan)
    assert (result.outcome, result.returned, site.production()) == ("done", (), V2), result.messages


def test_one_that_is_no_good_goes_back_with_each_attempt_of_it() -> None:
    site, plan = stopped()
    site.stubs = {2}
    assert (site.promote(plan).outcome, site.production()) == ("rolled-back", V1)
    keys = {one.key for one in site.receipts.chain if (one.plan, one.capability, one.phase, one.undoes) == (plan.plan, DEPLOY, "intent", None)}
    assert (len(keys), keys - undone_keys(site.receipts.chain)) == (3, set())
    with pytest.raises(RefusedError, match="was carried out and taken back"):
        site.promote(plan)


def test_a_way_back_that_was_cut_between_two_attempts_of_a_host_takes_back_the_first_as_well() -> None:
    site, plan = stopped()
    site.stubs = {2}
    site.runner.ends = [DONE, DONE, StepResult(status="interrupted", message="", told={})]
    assert site.promote(plan).outcome == "interrupted"
    assert (site.promote(plan).outcome, site.production()) == ("rolled-back", V1)


def test_a_way_back_host_by_host_takes_the_newest_attempt_of_a_host_first() -> None:
    """The other host does not answer, so the run does not go back as a whole."""
    site, plan = stopped()
    assert site.promote(plan).outcome == "done"
    site.evidence.unreached = {"mint-apps": "no route"}
    result = site.roll_back()
    assert result.outcome == "interrupted"
    assert not any("stand on it" in one for one in result.messages), result.messages
    assert {one.host for one in site.receipts.chain if one.undoes is not None} == {"mint-data"}
    site.evidence.unreached = {}
    assert (site.roll_back().outcome, site.production()) == ("rolled-back", V1)


def test_what_was_retried_is_a_release_to_go_back_to_and_to_be_left() -> None:
    site, plan = stopped()
    assert back_to(site) == ("r2", "r1", 1)
    assert site.promote(plan).outcome == "done"
    assert back_to(site) == ("r2", "r1", 1)
    assert site.promote(site.bring_to_gate(3)).outcome == "done"
    assert (back_to(site), back_to(site, "r2"), back_to(site, "r1")) == (("r3", "r2", 1), ("r3", "r2", 1), ("r3", "r1", 2))
    assert (site.roll_back().manifest, site.production()) == ("r2", V2)


def test_the_same_holds_in_staging() -> None:
    site = PromotedSite()
    assert site.stage(1).outcome == "done"
    plan = site.plan_of(2, "staging")
    stop_before_its_end(site)
    ends = [stage_release(site.site, STACK, plan, site.release_ports, command="again", progress=lambda _: None).outcome for _ in range(2)]
    assert ends == ["interrupted", "done"]
    assert site.stage(3).outcome == "done"
    assert way_back(site.site, STACK, "staging", None, site.release_ports).to == "r2"
