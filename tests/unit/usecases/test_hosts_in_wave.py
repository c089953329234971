"""What keeps a release off the hosts of a wave: before it begins, before each host, and not the way back of what failed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.coordination import WaveHeld
from controlplane.domain.errors import RefusedError, UnknownError
from controlplane.domain.finding import Verdict
from controlplane.domain.plan import Plan
from controlplane.domain.receipt import Receipt, open_intents
from controlplane.domain.releases.gate import GateLine
from controlplane.domain.waves.record import Carved, WaveRecord
from controlplane.ports.plays import StepResult
from controlplane.usecases.deploy_release import stage_release
from controlplane.usecases.rehearse_release import rehearse
from controlplane.usecases.rehearse_release_return import rehearse_return
from tests.fakes.promotions import PromotedSite
from tests.fakes.releases import HOSTS, STACK

V1, V2 = {"1 intake", "1 seeds"}, {"2 intake", "2 seeds"}
TOLD = "mint-data belongs to wave W1, which changes machines and is not ended (state open, held by bob@other)"
WAIT = "Nothing was changed. Wait for its end: controlplane wave status W1."
LINE = GateLine(name="waves", verdict=Verdict.DRIFTED, reason=TOLD, next="controlplane wave status W1")


@pytest.fixture
def site() -> PromotedSite:
    made = PromotedSite()
    assert made.promote(made.bring_to_gate(1)).outcome == "done"
    return made


def opened(site: PromotedSite, *hosts: str, **other: Any) -> WaveHeld:
    """Let somebody open a wave of these hosts, mint-data alone if none is named."""
    record = WaveRecord(opened_by="bob@other", attempt="A1", head=None, hosts=hosts or ("mint-data",), **other).plain()
    return site.leases.take("W1", state="open", mutating=True, holder="bob@other", record=record, now=site.clock.now(), ttl=timedelta(hours=1))


def ended(site: PromotedSite, held: WaveHeld) -> None:
    site.leases.write(held, state="aborted", record=held.record, now=site.clock.now(), ended=True)


def refusal(site: PromotedSite, act: Callable[[], object]) -> str:
    """Return why something is refused; nothing was changed and nothing put on record."""
    before = (list(site.receipts.chain), list(site.runner.plays))
    with pytest.raises(RefusedError) as refused:
        act()
    assert (site.receipts.chain, site.runner.plays) == before
    return str(refused.value)


def while_a_play_runs(site: PromotedSite, happens: Callable[[], object]) -> None:
    """Let something happen during the next play, once."""
    run = site.runner.run

    def once(*words: Any, **given: Any) -> StepResult:
        site.runner.run = run  # type: ignore[method-assign]
        result = run(*words, **given)
        happens()
        return result

    site.runner.run = once  # type: ignore[method-assign]


def staged(site: PromotedSite, plan: Plan) -> Any:
    return stage_release(site.site, STACK, plan, site.release_ports, command="again", progress=lambda _: None)


def test_nothing_is_staged_on_a_host_of_a_wave_until_that_has_ended(site: PromotedSite) -> None:
    held, plan = opened(site), site.plan_of(2, "staging")
    assert refusal(site, lambda: staged(site, plan)) == f"r2 is not staged: {TOLD}. {WAIT}"
    assert rehearse(site.site, STACK, "staging", plan, site.release_ports).gate == (LINE,)
    ended(site, held)
    assert (staged(site, plan).outcome, site.running("staging")) == ("done", V2)


def test_a_host_that_was_carved_out_and_a_wave_that_changes_nothing_keep_no_release_off(site: PromotedSite) -> None:
    held = opened(site, carved=(Carved(host="mint-data", at="2026-01-02T12:00:00Z", reason="it broke", receipt="R1"),))
    assert staged(site, site.plan_of(2, "staging")).outcome == "done"
    ended(site, held)
    record = {**held.record, "carved": []}
    site.leases.take("W0", state="open", mutating=False, holder="bob@other", record=record, now=site.clock.now(), ttl=timedelta(hours=1))
    assert staged(site, site.plan_of(3, "staging")).outcome == "done"


def test_a_wave_shuts_the_gate_of_production_by_a_line_of_its_own_and_an_open_gate_has_it_too(site: PromotedSite) -> None:
    plan = site.bring_to_gate(2)
    free = rehearse(site.site, STACK, "production", plan, site.release_ports).gate
    assert [line.reason for line in free if line.name == "waves"] == ["no wave that changes machines has its hosts"]
    held = opened(site)
    assert [line for line in rehearse(site.site, STACK, "production", plan, site.release_ports).gate if line.verdict is not Verdict.MET] == [LINE]
    assert refusal(site, lambda: site.promote(plan)) == (
        f"r2 is not promoted, its gate is shut:\n  waves: {TOLD}    (controlplane wave status W1)\nNothing was changed."
    )
    ended(site, held)
    result = site.promote(plan)
    assert (result.outcome, [line.name for line in result.gate].count("waves")) == ("done", 1)


def test_a_host_that_is_done_keeps_no_run_from_going_on_with_the_others(site: PromotedSite) -> None:
    plan, held = site.bring_to_gate(2), list[WaveHeld]()
    while_a_play_runs(site, lambda: held.append(opened(site)))
    assert site.promote(plan).outcome == "interrupted"
    ended(site, held[0])
    opened(site, "mint-apps")
    assert (site.promote(plan).outcome, site.production()) == ("done", V2)


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_a_wave_that_was_opened_meanwhile_stops_a_release_before_its_next_host(site: PromotedSite, environment: str) -> None:
    act, plan = (staged, site.plan_of(2, "staging")) if environment == "staging" else (PromotedSite.promote, site.bring_to_gate(2))
    held: list[WaveHeld] = []
    while_a_play_runs(site, lambda: held.append(opened(site)))
    result = act(site, plan)
    assert (result.outcome, site.running(environment)) == ("interrupted", {*V1, *V2})
    assert f"was not begun: {TOLD}" in result.messages[0]
    told = refusal(site, lambda: act(site, plan))
    assert f": {TOLD}. {WAIT} Run " in told
    assert told.endswith(f"is open. Go on: 'again'; or take it back: controlplane release rollback shop --env {environment}")
    ended(site, held[0])
    assert (act(site, plan).outcome, site.running(environment)) == ("done", V2)


def test_a_promotion_that_is_not_proven_goes_back_whatever_wave_was_opened(site: PromotedSite) -> None:
    plan = site.bring_to_gate(2)
    site.stubs = {2}
    site.tests.during = lambda: opened(site, *HOSTS) if not site.leases.attempts else None
    assert (site.promote(plan).outcome, site.production()) == ("rolled-back", V1)


def test_a_promotion_that_was_cut_off_behind_a_host_that_failed_goes_back_whatever_wave_was_opened(site: PromotedSite) -> None:
    plan, append = site.bring_to_gate(2), site.receipts.append
    site.runner.ends = [StepResult(status="done", message="", told={}), StepResult(status="failed", message="not healthy", told={})]

    def cut(receipt: Receipt) -> Receipt:
        if receipt.phase == "result" and receipt.step == "*":
            site.receipts.append = append  # type: ignore[method-assign]
            raise KeyboardInterrupt
        return append(receipt)

    site.receipts.append = cut  # type: ignore[method-assign]
    assert site.promote(plan).outcome == "interrupted"
    opened(site)
    result = site.promote(plan)
    assert (result.outcome, site.production()) == ("rolled-back", V1)
    assert result.messages[0] == f"r2 was taken back by itself: its deployment failed, and {TOLD}"


def test_the_proof_of_what_was_brought_before_a_wave_changes_no_machine_and_waits_for_none(site: PromotedSite) -> None:
    plan = site.bring_to_gate(2)

    def cut() -> None:
        site.tests.during = lambda: None
        raise KeyboardInterrupt

    site.tests.during = cut
    with pytest.raises(KeyboardInterrupt):
        site.promote(plan)
    opened(site)
    assert (site.promote(plan).outcome, site.production()) == ("done", V2)


def test_a_release_is_not_taken_back_on_a_host_of_a_wave_and_its_dry_run_says_so(site: PromotedSite) -> None:
    assert site.promote(site.bring_to_gate(2)).outcome == "done"
    held = opened(site)
    assert refusal(site, site.roll_back) == f"shop in production is not taken back: {TOLD}. {WAIT}"
    assert rehearse_return(site.site, STACK, "production", None, site.release_ports, progress=lambda _: None).lines[0] == LINE
    ended(site, held)
    assert (site.roll_back().outcome, site.production()) == ("rolled-back", V1)


def test_a_way_back_begins_no_further_play_once_a_wave_has_its_hosts(site: PromotedSite) -> None:
    assert site.promote(site.bring_to_gate(2)).outcome == "done"
    held: list[WaveHeld] = []
    while_a_play_runs(site, lambda: held.append(opened(site)))
    plays = len(site.runner.plays)
    result = site.roll_back()
    assert (result.outcome, len(site.runner.plays)) == ("interrupted", plays + 1)
    assert any(f"interrupted before anything was begun: {TOLD}" in one for one in result.messages)
    ended(site, held[0])
    assert (site.roll_back(to="r1").outcome, site.production()) == ("rolled-back", V1)


def test_a_way_back_puts_no_further_run_on_record_once_a_wave_has_its_hosts(site: PromotedSite) -> None:
    for number in (2, 3):
        assert site.promote(site.bring_to_gate(number)).outcome == "done"
    while_a_play_runs(site, lambda: while_a_play_runs(site, lambda: opened(site)))
    result = site.roll_back(to="r1")
    assert (result.outcome, result.messages[0], site.production()) == ("interrupted", TOLD, V2)
    assert [one for one in open_intents(site.receipts.chain) if one.undoes] == []


def test_where_only_the_proof_of_a_way_back_is_missing_no_wave_is_in_its_way(site: PromotedSite) -> None:
    assert site.promote(site.bring_to_gate(2)).outcome == "done"
    site.stubs = {1}
    assert site.roll_back().outcome == "failed"
    opened(site)
    site.stubs = set()
    assert rehearse_return(site.site, STACK, "production", None, site.release_ports, progress=lambda _: None).lines[0].name != "waves"
    assert site.roll_back().outcome == "rolled-back"


def test_a_store_that_can_t_be_asked_lets_nothing_begin(site: PromotedSite) -> None:
    plan = site.bring_to_gate(2)

    def away() -> tuple[WaveHeld, ...]:
        raise UnknownError("the store can't be asked. Nothing was changed. Ask again.")

    asked = site.leases.waves
    site.leases.waves = away  # type: ignore[method-assign]
    gate = rehearse(site.site, STACK, "production", plan, site.release_ports).gate
    doubt = GateLine(name="waves", verdict=Verdict.UNKNOWN, reason="the store can't be asked. Ask again.")
    assert [line for line in gate if line.verdict is not Verdict.MET] == [doubt]
    with pytest.raises(UnknownError, match=r"(?s)its gate is shut:.*waves: the store can't be asked"):
        site.promote(plan)
    assert site.production() == V1
    site.leases.waves = asked  # type: ignore[method-assign]
    while_a_play_runs(site, lambda: setattr(site.leases, "waves", away))
    result = site.promote(plan)
    assert (result.outcome, site.production()) == ("interrupted", {*V1, *V2})
    assert "was not begun: the store can't be asked" in result.messages[0]
