"""One verb at a time changes a stack in an environment; who lost it to another begins nothing more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from controlplane.domain.coordination import stamp_of
from controlplane.domain.errors import RefusedError, UnknownError
from controlplane.domain.receipt import open_intents
from controlplane.domain.releases.lease import ReleaseHeld, holder_of
from controlplane.domain.releases.result import ReleaseResult
from controlplane.ports.plays import StepResult
from controlplane.usecases.deploy_release import promote_release, stage_release
from controlplane.usecases.hold_release import TTL, held_release
from controlplane.usecases.release_way_back import way_back
from controlplane.usecases.return_release import return_release
from tests.fakes.ports import FakeLocks
from tests.fakes.promotions import PromotedSite
from tests.fakes.releases import STACK
from tests.fakes.site import OPERATOR

BOB = "bob@west"
# Who is killed here, as the store has it.
HERE = holder_of(OPERATOR, FakeLocks.place)
V1, V2 = {"1 intake", "1 seeds"}, {"2 intake", "2 seeds"}


@pytest.fixture
def site() -> PromotedSite:
    made = PromotedSite()
    assert made.promote(made.bring_to_gate(1)).outcome == "done"
    return made


def refusal_of(act: Callable[[], object]) -> str:
    with pytest.raises(RefusedError) as refused:
        act()
    return str(refused.value)


def bob_takes(site: PromotedSite) -> ReleaseHeld:
    return site.leases.take_release(STACK, "production", "rollback", holder=BOB, now=site.clock.now(), ttl=TTL)


def bob_takes_it_after_its_end(site: PromotedSite) -> ReleaseHeld:
    site.clock.time += TTL + timedelta(seconds=1)
    return bob_takes(site)


def while_a_play_runs(site: PromotedSite, happens: Callable[[], object]) -> None:
    """Let something happen during the next play, once."""
    run = site.runner.run

    def once(*words: Any, **given: Any) -> StepResult:
        site.runner.run = run  # type: ignore[method-assign]
        result = run(*words, **given)
        happens()
        return result

    site.runner.run = once  # type: ignore[method-assign]


def test_all_the_while_a_promotion_works_every_other_verb_of_its_stack_is_refused_and_then_let_in(site: PromotedSite) -> None:
    plan = site.bring_to_gate(2)
    bobs = replace(site.site, operator=BOB)
    told: list[str] = []
    staged = site.running("staging")

    def meanwhile() -> None:
        # Another controller has locks of its own.
        held, site.locks.held_by = site.locks.held_by, {}
        again: dict[str, Any] = {"command": "again", "progress": lambda _: None}
        told.append(refusal_of(lambda: promote_release(bobs, STACK, plan, site.release_ports, **again)))
        back = way_back(bobs, STACK, "production", None, site.release_ports)
        told.append(refusal_of(lambda: return_release(bobs, STACK, back, site.release_ports, to=None, progress=lambda _: None)))
        third = site.plan_of(3, "staging")
        told.append(refusal_of(lambda: stage_release(bobs, STACK, third, site.release_ports, **again)))
        assert (site.running("staging"), site.locks.held_by) == (staged, {})
        site.locks.held_by = held

    site.tests.during = meanwhile
    assert site.promote(plan).outcome == "done"
    by = f"shop in production is being changed by {OPERATOR}, release promote"
    assert [one.partition(" since ")[0] for one in told] == [by, by, f"shop in staging is not begun, one environment at a time: {by}"]
    assert all("Nothing was changed." in one for one in told)
    site.tests.during = lambda: None
    assert stage_release(bobs, STACK, site.plan_of(3, "staging"), site.release_ports, command="again", progress=lambda _: None).outcome == "done"
    bob_takes(site)


def test_a_twin_on_this_controller_is_kept_out_by_its_lock_which_names_what_works_where(site: PromotedSite) -> None:
    plan = site.bring_to_gate(2)
    told: list[str] = []

    def meanwhile() -> None:
        told.append(refusal_of(lambda: site.promote(plan)))
        told.append(refusal_of(lambda: site.stage(3)))

    while_a_play_runs(site, meanwhile)
    result = site.promote(plan)
    assert (result.outcome, site.production()) == ("done", V2)
    assert result.deployed is not None
    by = f"stack shop is being changed by {OPERATOR}, release promote in production. Nothing was changed. Open: {result.deployed.run} in production."
    assert told == [f"shop in {name} is not begun, one environment at a time: {by}" for name in ("production", "staging")]
    assert site.stage(3).outcome == "done"


def test_who_was_killed_goes_on_here_at_once_and_elsewhere_once_its_lease_is_over(site: PromotedSite) -> None:
    plan = site.bring_to_gate(2)
    site.leases.take_release(STACK, "production", "promote", holder=HERE, now=site.clock.now(), ttl=TTL)
    bobs = replace(site.site, operator=BOB)

    def bob_promotes() -> ReleaseResult:
        return promote_release(bobs, STACK, plan, site.release_ports, command="again", progress=lambda _: None)

    assert "is being changed by" in refusal_of(bob_promotes)
    assert site.promote(plan).outcome == "done"
    site.leases.take_release(STACK, "production", "promote", holder=HERE, now=site.clock.now(), ttl=TTL)
    site.clock.time += TTL
    assert bob_promotes().outcome == "done"


def test_the_same_operator_with_another_copy_of_the_site_is_somebody_else_whose_locks_keep_nobody_out_here(site: PromotedSite) -> None:
    plan = site.bring_to_gate(2)
    told: list[str] = []

    def meanwhile() -> None:
        # A second checkout has locks of its own.
        held, site.locks.held_by = site.locks.held_by, {}
        site.locks.place = "there"
        told.append(refusal_of(lambda: site.promote(plan)))
        told.append(refusal_of(site.roll_back))
        site.locks.held_by, site.locks.place = held, FakeLocks.place

    site.tests.during = meanwhile
    assert site.promote(plan).outcome == "done"
    first = f"shop in production is being changed by {OPERATOR}, from another copy of the site, release promote"
    assert [one.partition(" since ")[0] for one in told] == [first] * 2
    assert all("Nothing was changed." in one for one in told)


def test_who_slept_past_its_lease_and_lost_it_begins_no_further_host(site: PromotedSite) -> None:
    plan = site.bring_to_gate(2)
    while_a_play_runs(site, lambda: bob_takes_it_after_its_end(site))
    result = site.promote(plan)
    assert (result.outcome, site.production()) == ("interrupted", {*V1, *V2})
    assert result.messages[0].startswith(
        "mint-data/010 release.deploy was not begun: shop in production is no longer this process's to change: bob@west took it for release rollback"
    )
    assert {one.step for one in open_intents(site.receipts.chain)} == {"*"}
    # What it lost it does not give back either.
    held = site.leases.find_release(STACK, "production")
    assert held is not None
    assert (held.holder, held.ended_at) == (BOB, None)


def test_who_slept_past_its_lease_and_lost_it_begins_no_proof(site: PromotedSite) -> None:
    plan = site.bring_to_gate(2)
    smokes = sum(one.capability == "release.smoke" for one in site.receipts.chain)
    answer = site.witness.answer

    def asked(*words: Any) -> Any:
        bob_takes_it_after_its_end(site)
        return answer(*words)

    site.witness.answer = asked  # type: ignore[method-assign]
    result = site.promote(plan)
    assert (result.outcome, "the smoke tests were not begun: shop in production is no longer" in result.messages[0]) == ("interrupted", True)
    assert sum(one.capability == "release.smoke" for one in site.receipts.chain) == smokes


def test_what_lost_its_lease_in_its_proof_is_not_taken_back_from_here(site: PromotedSite) -> None:
    plan = site.bring_to_gate(2)
    site.stubs = {2}
    site.tests.during = lambda: bob_takes_it_after_its_end(site)
    result = site.promote(plan)
    assert (result.outcome, site.production()) == ("interrupted", V2)
    assert "r2 does not stand: its behaviour is not proven" in result.messages[0]
    assert "it was not taken back from here: shop in production is no longer" in result.messages[0]
    assert not [one for one in site.receipts.chain if one.undoes is not None]


def test_a_way_back_that_lost_its_lease_begins_no_further_play_and_no_further_run(site: PromotedSite) -> None:
    for number in (2, 3):
        assert site.promote(site.bring_to_gate(number)).outcome == "done"
    while_a_play_runs(site, lambda: bob_takes_it_after_its_end(site))
    plays = len(site.runner.plays)
    result = site.roll_back(to="r1")
    assert (result.outcome, len(site.runner.plays)) == ("interrupted", plays + 1)
    assert any("interrupted before anything was begun: shop in production is no longer" in one for one in result.messages)
    site.clock.time += TTL
    assert (site.roll_back(to="r1").outcome, site.production()) == ("rolled-back", V1)


def test_a_way_back_that_lost_its_lease_between_two_runs_puts_no_further_one_on_record(site: PromotedSite) -> None:
    for number in (2, 3):
        assert site.promote(site.bring_to_gate(number)).outcome == "done"
    while_a_play_runs(site, lambda: while_a_play_runs(site, lambda: bob_takes_it_after_its_end(site)))
    assert site.roll_back(to="r1").outcome == "interrupted"
    assert ([one for one in open_intents(site.receipts.chain) if one.undoes], site.production()) == ([], V2)


def test_what_failed_because_another_went_on_with_it_is_not_on_record_as_failed(site: PromotedSite) -> None:
    plan = site.bring_to_gate(2)
    site.runner.ends = [StepResult(status="failed", message="leased to another run", told={})]
    while_a_play_runs(site, lambda: bob_takes_it_after_its_end(site))
    result = site.promote(plan)
    assert result.outcome == "interrupted"
    assert "is no longer led from here: shop in production is no longer this process's to change" in result.messages[0]
    assert [one for one in site.receipts.chain if one.outcome == "failed"] == []


@pytest.mark.parametrize(("late", "outcome"), [(timedelta(minutes=1), "done"), (TTL, "interrupted")])
def test_a_store_that_can_t_be_asked_takes_nothing_away_as_long_as_the_lease_lasts(site: PromotedSite, late: timedelta, outcome: str) -> None:
    plan = site.bring_to_gate(2)

    def away(*_: object, **__: object) -> ReleaseHeld:
        raise UnknownError("the store can't be used: no route. Nothing was changed.")

    def breaks() -> None:
        site.clock.time += late
        site.leases.renew_release = site.leases.end_release = site.leases.find_release = away  # type: ignore[assignment,method-assign]

    while_a_play_runs(site, breaks)
    result = site.promote(plan)
    assert result.outcome == outcome
    if outcome == "interrupted":
        assert "was not begun: nobody knows who has the lease since 2026-01-02T12:3" in result.messages[0]
        assert "Z: the store can't be used: no route" in result.messages[0]


@pytest.mark.parametrize("still_ahead", [False, True])
def test_whose_lease_a_reset_of_the_time_ended_stops_where_another_environment_was_taken_since(site: PromotedSite, *, still_ahead: bool) -> None:
    """The clock by which it was taken ran two hours ahead."""
    ahead = site.clock.time
    right = ahead - timedelta(hours=2)
    with held_release(site.site, STACK, "production", "promote", site.release_ports) as held:
        assert held.lost() is None
        site.leases.reset_time(right)
        site.clock.time = ahead if still_ahead else right
        assert held.lost() is None
        site.leases.reset_time(right)
        bobs = site.leases.take_release(STACK, "staging", "stage", holder=BOB, now=right, ttl=TTL)
        site.leases.end_release(bobs, now=right)
        assert held.lost() is None
        site.leases.reset_time(right)
        site.leases.take_release(STACK, "staging", "stage", holder=BOB, now=right + timedelta(minutes=1), ttl=TTL)
        site.clock.time += timedelta(minutes=2)
        for _ in range(2):
            assert str(held.lost()).startswith("shop is no longer this process's to change: bob@west took staging for release stage at ")


def test_a_reset_of_the_time_counts_also_where_the_store_could_not_be_asked_at_once(site: PromotedSite) -> None:
    right = site.clock.time - timedelta(hours=2)
    with held_release(site.site, STACK, "production", "promote", site.release_ports) as held:
        site.leases.reset_time(right)
        site.leases.take_release(STACK, "staging", "stage", holder=BOB, now=right, ttl=TTL)
        renew = site.leases.renew_release

        def away(*_: object, **__: object) -> ReleaseHeld:
            raise UnknownError("the store can't be used: no route. Nothing was changed.")

        site.leases.renew_release = away  # type: ignore[method-assign]
        assert str(held.lost()).startswith(f"nobody knows who has the lease since {stamp_of(right)}: the store can't be used")
        site.leases.renew_release = renew  # type: ignore[method-assign]
        assert "bob@west took staging" in str(held.lost())


def test_what_changed_since_it_was_shown_does_not_go_back(site: PromotedSite) -> None:
    assert site.promote(site.bring_to_gate(2)).outcome == "done"
    back = way_back(site.site, STACK, "production", None, site.release_ports)
    assert site.promote(site.bring_to_gate(3)).outcome == "done"
    told = refusal_of(lambda: return_release(site.site, STACK, back, site.release_ports, to=None, progress=lambda _: None))
    assert told == (
        "what there is to take back of shop in production changed since it was shown. Nothing was changed. "
        "Look again: controlplane release rollback shop --env production --to r1 --dry-run"
    )
    assert site.production() == {"3 intake", "3 seeds"}


def test_a_lease_ends_with_its_verb_however_that_ends(site: PromotedSite) -> None:
    site.faults = ("production lacks PORT",)
    plan = site.bring_to_gate(2)
    refusal_of(lambda: site.promote(plan))
    held = site.leases.find_release(STACK, "production")
    assert held is not None
    assert not held.leased(datetime.fromisoformat("2026-01-02T12:00:00+00:00"))
