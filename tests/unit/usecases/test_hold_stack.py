"""A stack is held over its environments: what works in one keeps the others out, what was interrupted there does not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from controlplane.domain.coordination import stamp_of
from controlplane.domain.errors import UnknownError
from controlplane.domain.receipt import open_intents
from controlplane.domain.releases.lease import ReleaseHeld, refuse_beside
from controlplane.ports.plays import StepResult
from controlplane.usecases.hold_release import TTL, leases_of
from tests.fakes.promotions import PromotedSite
from tests.fakes.releases import STACK
from tests.unit.usecases.test_hold_release import BOB, HERE, V1, V2, refusal_of, while_a_play_runs


@pytest.fixture
def site() -> PromotedSite:
    made = PromotedSite()
    assert made.promote(made.bring_to_gate(1)).outcome == "done"
    return made


def test_what_was_interrupted_in_one_environment_keeps_no_verb_from_the_other(site: PromotedSite) -> None:
    plan = site.bring_to_gate(2)
    site.runner.ends = [StepResult(status="interrupted", message="interrupted.", told={})]
    assert site.promote(plan).outcome == "interrupted"
    [open_run] = {one.run for one in open_intents(site.receipts.chain)}
    # Killed as well, so that its lease was not given back.
    site.leases.take_release(STACK, "production", "promote", holder=HERE, now=site.clock.now(), ttl=TTL)
    spec = site.files.specs[STACK]
    # On hosts that the open run did not come to.
    hosts = spec.environments["staging"].model_copy(update={"hosts": ("mint-data",)})
    site.files.specs[STACK] = spec.model_copy(update={"environments": {**spec.environments, "staging": hosts}})
    assert site.stage(3).outcome == "done"
    assert {one.run for one in open_intents(site.receipts.chain)} == {open_run}


def test_of_two_environments_that_are_taken_at_once_the_first_one_stays(site: PromotedSite) -> None:
    now = site.clock.now()
    first = site.leases.take_release(STACK, "production", "promote", holder=HERE, now=now, ttl=TTL)
    second = site.leases.take_release(STACK, "staging", "stage", holder=BOB, now=now, ttl=TTL)
    both = leases_of(STACK, site.leases)
    refuse_beside(first, both, at=now)
    assert "shop in staging is not begun" in refusal_of(lambda: refuse_beside(second, both, at=now))


def test_who_slept_past_its_lease_begins_no_further_host_while_another_changes_the_other_environment(site: PromotedSite) -> None:
    plan = site.bring_to_gate(2)

    def bob_stages() -> None:
        site.clock.time += TTL + timedelta(seconds=1)
        held = site.leases.take_release(STACK, "staging", "stage", holder=BOB, now=site.clock.now(), ttl=TTL)
        refuse_beside(held, leases_of(STACK, site.leases), at=site.clock.now())

    while_a_play_runs(site, bob_stages)
    result = site.promote(plan)
    assert (result.outcome, site.production()) == ("interrupted", {*V1, *V2})
    assert "was not begun: shop is no longer this process's to change: bob@west took staging for release stage at " in result.messages[0]
    # It keeps bob out of nothing.
    held = site.leases.find_release(STACK, "production")
    assert held is not None
    assert not held.leased(site.clock.now())


def test_who_slept_past_its_lease_and_can_t_learn_who_came_in_meanwhile_begins_nothing(site: PromotedSite) -> None:
    plan = site.bring_to_gate(2)

    def away(*_: object) -> ReleaseHeld:
        raise UnknownError("the store can't be used: no route. Nothing was changed.")

    def sleeps() -> None:
        site.clock.time += TTL + timedelta(seconds=1)
        site.leases.find_release = away  # type: ignore[assignment,method-assign]
        site.leases.renew_release = lambda held, *, now, ttl: held.model_copy(update={"expires_at": stamp_of(now + ttl)})  # type: ignore[method-assign]

    while_a_play_runs(site, sleeps)
    result = site.promote(plan)
    assert (result.outcome, site.production()) == ("interrupted", {*V1, *V2})
    assert "was not begun: nobody knows who has the lease since " in result.messages[0]
