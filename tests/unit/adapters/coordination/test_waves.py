"""Waves: the same on both engines and the fake."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.errors import RefusedError
from controlplane.ports.waves import WaveStore
from tests.unit.adapters.coordination.conftest import MINUTE, T

ANN, BOB = "ann@east", "bob@west"


def take(store: WaveStore, wave: str = "W8B", **given: Any) -> Any:
    return store.take(wave, **{"state": "open", "mutating": True, "holder": ANN, "record": {}, "now": T, "ttl": MINUTE} | given)


def refusal(call: Any, *words: Any, **given: Any) -> str:
    with pytest.raises(RefusedError) as refused:
        call(*words, **given)
    return str(refused.value)


def test_a_wave_is_opened_with_a_lease_and_found_as_it_was_taken(store: WaveStore) -> None:
    record = {"hosts": ["mint-data"], "text": "ä\x00\n", "depth": {"none": None, "number": 1.5}}
    held = take(store, record=record)
    assert held.model_dump() == {
        "wave": "W8B",
        "state": "open",
        "mutating": True,
        "holder": ANN,
        "token": 1,
        "expires_at": "2026-01-01T00:01:00Z",
        "record": record,
        "version": 1,
        "opened_at": "2026-01-01T00:00:00Z",
        "taken_at": "2026-01-01T00:00:00Z",
        "ended_at": None,
    }
    assert store.find("W8B") == held
    assert store.find("W9") is None


def test_what_the_caller_does_to_its_record_afterwards_is_not_in_the_store(store: WaveStore) -> None:
    record: dict[str, Any] = {"hosts": []}
    held = take(store, record=record)
    record["hosts"].append("mint-data")
    assert held.record == {"hosts": []}
    assert store.find("W8B") == held


def test_a_record_that_is_no_json_is_a_bug_and_changes_nothing(store: WaveStore) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        take(store, record={"number": float("nan")})
    assert store.waves() == ()


def test_a_wave_that_another_holds_is_refused_until_its_lease_is_over(store: WaveStore) -> None:
    held = take(store)
    assert refusal(take, store, holder=BOB, now=T + MINUTE - timedelta(seconds=1)) == (
        "wave W8B is held by ann@east (state open), whose lease lasts until 2026-01-01T00:01:00Z. Nothing was changed. "
        "Leave it to them, or go on with it after that: 'controlplane wave resume W8B'."
    )
    assert store.find("W8B") == held
    later = take(store, holder=BOB, state="resumed", now=T + MINUTE)
    assert (later.holder, later.token, later.version, later.state) == (BOB, 2, 2, "resumed")
    assert (later.opened_at, later.taken_at) == ("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z")
    assert store.history("W8B") == (later,)


def test_the_same_holder_takes_its_wave_again_at_once_and_its_other_process_is_out(store: WaveStore) -> None:
    first = take(store)
    second = take(store)
    assert second.token == 2
    assert refusal(store.renew, first, now=T, ttl=MINUTE) == (
        "wave W8B is no longer what this process took: ann@east took it at 2026-01-01T00:00:00Z (state open). Nothing was changed. "
        "Stop what runs for it here. 'controlplane wave resume W8B' goes on from what the store holds, once it is free."
    )


def test_who_lost_the_wave_neither_writes_nor_renews(store: WaveStore) -> None:
    lost = take(store)
    held = take(store, holder=BOB, now=T + MINUTE, state="resumed")
    told = (
        "wave W8B is no longer what this process took: bob@west took it at 2026-01-01T00:01:00Z (state resumed). Nothing was changed. "
        "Stop what runs for it here. 'controlplane wave resume W8B' goes on from what the store holds, once it is free."
    )
    assert refusal(store.write, lost, state="closed", record={"by": "ann"}, now=T + MINUTE, ended=True) == told
    assert refusal(store.renew, lost, now=T + MINUTE, ttl=MINUTE) == told
    assert store.find("W8B") == held


def test_a_lease_that_is_over_is_still_its_holders_as_long_as_nobody_took_it(store: WaveStore) -> None:
    held = take(store)
    wrote = store.write(held, state="applied", record={"done": 1}, now=T + 2 * MINUTE)
    assert (wrote.state, wrote.version, wrote.token) == ("applied", 2, 1)
    renewed = store.renew(wrote, now=T + 2 * MINUTE, ttl=MINUTE)
    assert (renewed.expires_at, renewed.version) == ("2026-01-01T00:03:00Z", 2)
    assert store.find("W8B") == renewed


def test_of_two_writes_on_the_same_reading_one_is_refused(store: WaveStore) -> None:
    held = take(store)
    wrote = store.write(held, state="previewed", record={"plan": "a"}, now=T)
    told = (
        "wave W8B was written meanwhile by ann@east (state previewed). Nothing was changed. Stop what runs for it here. "
        "'controlplane wave resume W8B' goes on from what the store holds, once it is free."
    )
    assert refusal(store.write, held, state="approved", record={}, now=T) == told
    assert refusal(store.renew, held, now=T, ttl=MINUTE) == told
    assert store.find("W8B") == wrote


def test_a_take_over_that_rests_on_an_old_reading_is_refused(store: WaveStore) -> None:
    read = take(store)
    wrote = store.write(read, state="applied", record={"done": 1}, now=T)
    told = "wave W8B was written meanwhile by ann@east (state applied). Nothing was changed. "
    told += "'controlplane wave resume W8B' goes on from what the store holds, once it is free."
    assert refusal(take, store, holder=BOB, now=T + MINUTE, record=read.record, knows=read) == told
    assert store.find("W8B") == wrote
    assert take(store, holder=BOB, now=T + MINUTE, record=wrote.record, knows=wrote).record == {"done": 1}


def test_a_wave_that_goes_on_is_not_opened_anew_by_its_own_holder_either(store: WaveStore) -> None:
    held = take(store, anew=True, record={"attempt": "1"})
    told = "wave W8B is open already (state open, held by ann@east). Nothing was changed. Next: controlplane wave status W8B"
    assert refusal(take, store, anew=True) == told
    assert refusal(take, store, anew=True, now=T + 2 * MINUTE, holder=BOB) == told
    assert store.find("W8B") == held
    store.write(held, state="closed", record={}, now=T + 2 * MINUTE, ended=True)
    assert take(store, anew=True, now=T + 2 * MINUTE).token == 2


def test_a_wave_of_another_store_is_refused(store: WaveStore) -> None:
    held = take(store).model_copy(update={"wave": "W7"})
    assert refusal(store.renew, held, now=T, ttl=MINUTE) == (
        "wave W7 is not in the store: it is another store, or an older copy of it. Nothing was changed. Stop what runs for it here. "
        "'controlplane wave resume W7' goes on from what the store holds, once it is free."
    )


def test_a_second_mutating_wave_is_refused_also_while_nobodys_lease_lasts(store: WaveStore) -> None:
    held = take(store, state="applying")
    told = (
        "wave W9 can't be opened: wave W8B changes machines and is not ended (state applying, held by ann@east, lease {}). One such wave goes on at "
        "a time. Nothing was changed. End that one first: 'controlplane wave resume W8B', or 'controlplane wave abort W8B'."
    )
    assert refusal(take, store, "W9", holder=BOB) == told.format("until 2026-01-01T00:01:00Z")
    assert refusal(take, store, "W9", holder=ANN) == told.format("until 2026-01-01T00:01:00Z")
    assert refusal(take, store, "W9", holder=BOB, now=T + 3 * MINUTE) == told.format("over since 2026-01-01T00:01:00Z")
    assert store.waves() == (held,)


def test_waves_that_change_nothing_neither_wait_nor_hold_up(store: WaveStore) -> None:
    reading = take(store, "R1", mutating=False)
    mutating = take(store, "W8B")
    governing = take(store, "R2", mutating=False, holder=BOB)
    assert store.waves() == (reading, mutating, governing)


def test_a_wave_can_not_turn_into_one_that_changes_nothing_and_so_let_another_in(store: WaveStore) -> None:
    held = take(store)
    assert refusal(take, store, mutating=False) == (
        "wave W8B was opened by ann@east as one that changes machines (state open), and that can't change on the way. Nothing was changed. "
        "End it first: 'controlplane wave abort W8B'."
    )
    assert store.find("W8B") == held
    take(store, "R1", mutating=False)
    assert "as one that changes no machine" in refusal(take, store, "R1", mutating=True)


def test_an_ended_wave_lets_the_next_in_and_stays_in_history(store: WaveStore) -> None:
    held = take(store)
    ended = store.write(held, state="closed", record={"receipt": "CAP-1"}, now=T + timedelta(seconds=9), ended=True)
    assert (ended.state, ended.ended_at, ended.expires_at) == ("closed", "2026-01-01T00:00:09Z", "2026-01-01T00:00:09Z")
    assert refusal(store.write, ended, state="open", record={}, now=T + MINUTE) == (
        "wave W8B was ended by ann@east at 2026-01-01T00:00:09Z (state closed). Nothing was changed. Stop what runs for it here. "
        "'controlplane wave resume W8B' goes on from what the store holds, once it is free."
    )
    other = take(store, "W9", holder=BOB, now=T + MINUTE)
    store.write(other, state="aborted", record={}, now=T + MINUTE, ended=True)
    again = take(store, holder=BOB, now=T + 2 * MINUTE)
    assert (again.token, again.version, again.opened_at) == (3, 1, "2026-01-01T00:02:00Z")
    assert store.history("W8B") == (ended, again)
    assert [one.wave for one in store.waves()] == ["W9", "W8B"]


def test_a_lease_that_lasts_no_time_is_a_bug(store: WaveStore) -> None:
    with pytest.raises(ValueError, match="holds nothing"):
        take(store, ttl=timedelta(0))
    with pytest.raises(ValueError, match="has no timezone"):
        take(store, now=T.replace(tzinfo=None))
    assert store.waves() == ()
