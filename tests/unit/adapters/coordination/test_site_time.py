"""The site's time: clocks that step back revive nothing, clocks that run ahead end leases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.coordination import GateRun
from controlplane.domain.errors import RefusedError
from tests.unit.adapters.coordination.conftest import MINUTE, T, Where

HOUR, LONG = timedelta(hours=1), timedelta(days=400)
OPEN = {"state": "open", "mutating": True, "record": {}, "ttl": MINUTE}


def behind(says: str, saw: str = "2026-01-01T00:00:00Z") -> str:
    return (
        f"this controller's clock is behind what the site has seen: it says {says}, and the site saw {saw} already. "
        "Nothing was changed. Set this controller's clock. If it is right, and the one that ran ahead was wrong: "
        "controlplane receipts reset-time --reason TEXT"
    )


@pytest.mark.parametrize(("step", "says"), [(HOUR, "2025-12-31T23:00:00Z"), (LONG, "2024-11-27T00:00:00Z")])
def test_a_clock_that_stepped_back_is_refused_for_everything_that_writes(store: Any, step: timedelta, says: str) -> None:
    held = store.take("W8B", holder="ann@east", now=T, **OPEN)
    run = GateRun(run="R", at=says, pack="mint", policy="p", hosts={}, results=())
    calls = (
        lambda now: store.take("W8B", holder="ann@east", now=now, **OPEN),
        lambda now: store.renew(held, now=now, ttl=MINUTE),
        lambda now: store.write(held, state="closed", record={}, now=now, ended=True),
        lambda now: store.add_run(run, now=now),
        store.assert_time,
    )
    for call in calls:
        with pytest.raises(RefusedError) as refused:
            call(T - step)
        assert str(refused.value) == behind(says)
    assert store.waves() == (held,)
    assert store.latest_runs("mint") == ()


def test_five_minutes_behind_are_borne_and_one_second_more_is_refused(store: Any) -> None:
    store.assert_time(T)
    store.assert_time(T - 5 * MINUTE)
    with pytest.raises(RefusedError) as refused:
        store.assert_time(T - 5 * MINUTE - timedelta(seconds=1))
    assert str(refused.value) == behind("2025-12-31T23:54:59Z")


def test_a_clock_a_little_behind_revives_no_lease_and_gives_one_by_the_sites_time(store: Any) -> None:
    store.take("W8B", holder="ann@east", now=T, **OPEN)
    store.assert_time(T + 2 * MINUTE)
    held = store.take("W8B", holder="bob@west", now=T, **OPEN)
    assert (held.taken_at, held.expires_at) == ("2026-01-01T00:02:00Z", "2026-01-01T00:03:00Z")


@pytest.mark.parametrize("step", [HOUR, LONG])
def test_a_clock_that_runs_ahead_ends_leases_and_the_wave_it_overtook_is_safe(store: Any, step: timedelta) -> None:
    held = store.take("W8B", holder="ann@east", now=T, **OPEN)
    taken = store.take("W8B", holder="bob@west", now=T + step, **OPEN)
    assert taken.token == 2
    with pytest.raises(RefusedError, match="clock is behind what the site has seen"):
        store.write(held, state="applied", record={}, now=T)
    with pytest.raises(RefusedError, match="no longer what this process took: bob@west took it"):
        store.write(held, state="applied", record={}, now=T + step)
    assert store.find("W8B") == taken


def test_the_time_is_kept_also_where_what_was_asked_for_is_refused(store: Any) -> None:
    held = store.take("W8B", holder="ann@east", now=T, **OPEN)
    with pytest.raises(RefusedError, match="can't be opened"):
        store.take("W9", holder="bob@west", now=T + HOUR, **OPEN)
    with pytest.raises(RefusedError) as refused:
        store.renew(held, now=T, ttl=MINUTE)
    assert str(refused.value) == behind("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z")


def test_a_person_can_reset_the_time_and_no_lease_of_the_wrong_clock_lasts(store: Any) -> None:
    held = store.take("W8B", holder="ann@east", now=T + LONG, **OPEN)
    ended = store.write(
        store.take("R1", holder="ann@east", now=T + LONG, **OPEN | {"mutating": False}), state="closed", record={}, now=T + LONG, ended=True
    )
    store.reset_time(T)
    assert store.find("W8B") == held.model_copy(update={"expires_at": "2026-01-01T00:00:00Z"})
    assert store.find("R1") == ended
    # Who holds it still works with it, and who comes can take it.
    assert store.renew(held, now=T, ttl=MINUTE).expires_at == "2026-01-01T00:01:00Z"
    assert store.take("W8B", holder="bob@west", now=T + MINUTE, **OPEN).token == 3


def test_who_only_looks_leaves_the_sites_time_as_it_is(store: Any) -> None:
    store.compare_time(T + LONG)
    store.assert_time(T)
    store.compare_time(T + LONG)
    store.compare_time(T - 5 * MINUTE)
    with pytest.raises(RefusedError) as refused:
        store.compare_time(T - HOUR)
    assert str(refused.value) == behind("2025-12-31T23:00:00Z")
    # A clock that ran ahead and only looked keeps nobody out.
    store.take("W8B", holder="ann@east", now=T, **OPEN)


def test_the_latest_time_outlives_the_program(where: Where) -> None:
    with where.open() as store:
        store.assert_time(T)
    with where.open() as store, pytest.raises(RefusedError, match="it says 2025-12-31T23:00:00Z, and the site saw 2026-01-01T00:00:00Z already"):
        store.assert_time(T - HOUR)
