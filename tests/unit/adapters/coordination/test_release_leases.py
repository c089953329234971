"""Leases of stacks: the same on both engines and the fake."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from controlplane.domain.errors import RefusedError
from controlplane.domain.releases.lease import ReleaseHeld
from controlplane.ports.releases import ReleaseLeases
from tests.unit.adapters.coordination.conftest import MINUTE, T, Where

ANN, BOB = "ann@east", "bob@west"


def take(store: ReleaseLeases, holder: str = ANN, *, now: datetime = T, environment: str = "production", verb: str = "promote") -> ReleaseHeld:
    return store.take_release("shop", environment, verb, holder=holder, now=now, ttl=MINUTE)


def refusal(call: Any, *words: Any, **given: Any) -> str:
    with pytest.raises(RefusedError) as refused:
        call(*words, **given)
    return str(refused.value)


def test_a_stack_is_held_as_it_was_taken_and_found_so(store: ReleaseLeases) -> None:
    held = take(store)
    assert held.model_dump() == {
        "stack": "shop",
        "environment": "production",
        "verb": "promote",
        "holder": ANN,
        "token": 1,
        "taken_at": "2026-01-01T00:00:00Z",
        "expires_at": "2026-01-01T00:01:00Z",
        "ended_at": None,
    }
    assert (store.find_release("shop", "production"), store.find_release("shop", "staging")) == (held, None)


def test_another_is_refused_as_long_as_the_lease_lasts_and_only_in_that_environment(store: ReleaseLeases) -> None:
    held = take(store)
    assert refusal(take, store, BOB, now=T + MINUTE - timedelta(seconds=1), verb="rollback") == (
        "shop in production is being changed by ann@east, release promote since 2026-01-01T00:00:00Z, whose lease lasts until 2026-01-01T00:01:00Z. "
        "Nothing was changed. Leave it to them; if that controller is gone, run this again after that."
    )
    assert store.find_release("shop", "production") == held
    assert take(store, BOB, environment="staging", verb="stage").token == 2
    assert take(store, BOB, now=T + MINUTE).token == 3


def test_who_gave_it_back_lets_the_next_in_at_once(store: ReleaseLeases) -> None:
    store.end_release(take(store), now=T)
    assert take(store, BOB).token == 2


def test_who_was_killed_goes_on_at_once_with_a_token_that_the_dead_one_has_not(store: ReleaseLeases) -> None:
    dead, alive = take(store), take(store)
    assert (dead.token, alive.token) == (1, 2)
    assert "is no longer this process's to change" in refusal(store.renew_release, dead, now=T, ttl=MINUTE)


def test_who_slept_past_its_end_goes_on_where_nobody_took_it_and_is_refused_where_somebody_did(store: ReleaseLeases) -> None:
    held = take(store)
    late = T + 5 * MINUTE
    assert store.renew_release(held, now=late, ttl=MINUTE).expires_at == "2026-01-01T00:06:00Z"
    taken = take(store, BOB, now=late + MINUTE)
    assert refusal(store.renew_release, held, now=late + MINUTE, ttl=MINUTE) == (
        "shop in production is no longer this process's to change: bob@west took it for release promote at 2026-01-01T00:06:00Z. Nothing was changed."
    )
    store.end_release(held, now=late + MINUTE)
    assert store.find_release("shop", "production") == taken


def test_what_was_given_back_or_is_not_there_is_not_renewed(store: ReleaseLeases) -> None:
    held = take(store)
    store.end_release(held, now=T)
    assert "was given back at 2026-01-01T00:00:00Z" in refusal(store.renew_release, held, now=T, ttl=MINUTE)
    stranger = held.model_copy(update={"stack": "other"})
    assert "the lease of other in production is not in the store" in refusal(store.renew_release, stranger, now=T, ttl=MINUTE)


def test_a_clock_that_is_set_back_revives_no_lease(store: ReleaseLeases) -> None:
    take(store)
    take(store, BOB, now=T + 4 * MINUTE, environment="staging")
    assert take(store, BOB, now=T).taken_at == "2026-01-01T00:04:00Z"


def test_a_person_who_resets_the_time_ends_the_leases_of_the_clock_that_ran_ahead(store: Any) -> None:
    held = take(store, now=T + 9999 * MINUTE)
    store.reset_time(T)
    assert store.find_release("shop", "production") == held.model_copy(update={"expires_at": "2026-01-01T00:00:00Z"})
    assert take(store, BOB).token == 2


def test_two_controllers_share_what_is_held(where: Where) -> None:
    with where.open() as ann, where.open() as bob:
        held = take(ann)
        assert "is being changed by ann@east" in refusal(take, bob, BOB)
        ann.end_release(held, now=T)
        assert take(bob, BOB).token == 2
