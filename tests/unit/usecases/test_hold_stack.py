"""A stack is held over its environments: what works in one keeps the others out, what was interrupted there does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import product
from threading import Barrier, Condition, Thread

import pytest

from controlplane.domain.coordination import stamp_of
from controlplane.domain.errors import RefusedError, UnknownError
from controlplane.domain.receipt import open_intents
from controlplane.domain.releases.lease import ReleaseHeld, refuse_beside
from controlplane.domain.releases.values import EnvironmentName
from controlplane.ports.plays import StepResult
from controlplane.ports.releases import ReleaseLeases
from controlplane.usecases.hold_release import TTL, held_release, leases_of
from tests.fakes.coordination import FakeCoordination
from tests.fakes.ports import FakeLocks
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


class Turns:
    """Leases of which each call waits for its turn: `order` says whose call is next, and who is done is left out."""

    def __init__(self, leases: FakeCoordination, order: Sequence[str]) -> None:
        self.leases, self.order, self.turn, self.tokens = leases, list(order), Condition(), dict[str, int]()

    def of(self, who: str) -> ReleaseLeases:
        return _TurnsOf(self, who)  # type: ignore[return-value]  # any call of the port

    def call(self, who: str, act: Callable[[], object]) -> object:
        with self.turn:
            assert self.turn.wait_for(lambda: self.order[0] == who, timeout=10), (who, self.order)
            del self.order[0]
            result = act()
            if isinstance(result, ReleaseHeld) and who not in self.tokens:
                self.tokens[who] = result.token
            self.turn.notify_all()
            return result

    def done(self, who: str) -> None:
        with self.turn:
            self.order = [one for one in self.order if one != who]
            self.turn.notify_all()


class _TurnsOf:
    def __init__(self, turns: Turns, who: str) -> None:
        self.turns, self.who = turns, who

    def __getattr__(self, name: str) -> Callable[..., object]:
        return lambda *words, **given: self.turns.call(self.who, lambda: getattr(self.turns.leases, name)(*words, **given))


# What each of two controllers asks the store, in turn: it takes its lease, looks at both environments, and who is refused gives its lease back.
ORDERS = [order for order in product("ab", repeat=8) if order.count("a") == 4]


def test_of_two_controllers_that_begin_at_once_in_two_environments_one_stays_in_every_order_the_one_with_the_smaller_token() -> None:
    base = PromotedSite()

    def both(order: Sequence[str]) -> tuple[dict[str, str], dict[str, int]]:
        turns, ended, held = Turns(FakeCoordination(), order), dict[str, str](), Barrier(2)

        def begins(who: str, name: EnvironmentName) -> None:
            apply = replace(base.ports, locks=FakeLocks())
            ports = replace(base.release_ports, apply=apply, leases=turns.of(who))
            try:
                with held_release(replace(base.site, operator=who), STACK, name, "stage", ports):
                    turns.done(who)
                    # It works until the other has come to its end as well, and then gives back what it has.
                    held.wait(timeout=10)
                    ended[who] = "stays"
                    turns.order.append(who)
            except RefusedError as kept_out:
                ended[who] = str(kept_out)
                turns.done(who)
                held.wait(timeout=10)

        threads = [Thread(target=begins, args=one) for one in (("a", "production"), ("b", "staging"))]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        return ended, turns.tokens

    for order in ORDERS:
        ended, tokens = both(order)
        first, second = sorted(tokens, key=tokens.__getitem__)
        assert ended[first] == "stays", (order, ended)
        assert " is not begun, one environment at a time: shop in " in ended[second], (order, ended)
