"""Several controllers at once, stopped and killed ones among them; each is a process of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from controlplane.adapters.coordination.schema import HEAD
from tests.unit.adapters.coordination.conftest import MINUTE, T, Where
from tests.unit.adapters.coordination.crew import Crew

pytestmark = pytest.mark.slow


def place(where: Where) -> dict[str, str]:
    return {"store": where.store, "folder": str(where.folder)}


def race(where: Where, crew: Crew, rounds: int) -> None:
    crew.ask("open", **place(where))
    # Always the same time: a time that goes on is a write of its own, and would put the eight into a row by itself.
    tokens, now = [], T.isoformat()
    for number in range(rounds):
        answers = crew.ask("take", wave=f"W{number}", now=now)
        won = [one for one in answers if isinstance(one, dict)]
        assert len(won) == 1, answers
        lost = (
            f"RefusedError: wave W{number} is held by {won[0]['holder']} (state open), whose lease lasts until {won[0]['expires_at']}. "
            f"Nothing was changed. Leave it to them, or go on with it after that: 'controlplane wave resume W{number}'."
        )
        assert [one for one in answers if not isinstance(one, dict)] == [lost] * 7
        tokens.append(won[0]["token"])
        winner = crew.members[answers.index(won[0])]
        assert winner.ask("write", held=won[0], now=now, ended=True)["state"] == "applied"
    assert tokens == list(range(1, rounds + 1))


def test_of_eight_processes_that_start_one_wave_at_once_one_wins_each_time(where: Where, crew: Crew) -> None:
    race(where, crew, 20)


def test_of_eight_processes_of_one_person_that_open_one_wave_at_once_one_wins(where: Where, crew: Crew) -> None:
    crew.ask("open", **place(where))
    for number in range(5):
        answers = crew.ask("take", wave=f"W{number}", holder="ann@east", now=T.isoformat(), anew=True)
        [won] = [one for one in answers if isinstance(one, dict)]
        refused = [one for one in answers if not isinstance(one, dict)]
        assert [f"wave W{number} is open already (state open, held by ann@east)" in one for one in refused] == [True] * 7
        crew.members[answers.index(won)].ask("write", held=won, now=T.isoformat(), ended=True)


def test_of_eight_processes_that_start_one_wave_at_once_one_wins_200_times(where: Where, crew: Crew) -> None:
    race(where, crew, 200)


def test_of_eight_processes_that_start_eight_waves_at_once_one_may_change_machines(where: Where, crew: Crew) -> None:
    crew.ask("open", **place(where))
    for number, member in enumerate(crew.members):
        member.tell("take", wave=f"W{number}", holder=f"op{number}@controller{number}", now=T.isoformat())
    answers = [member.answer() for member in crew.members]
    [won] = [one for one in answers if isinstance(one, dict)]
    refused = [one for one in answers if not isinstance(one, dict)]
    assert [f"wave {won['wave']} changes machines and is not ended" in one for one in refused] == [True] * 7
    with where.open() as store:
        assert [one.wave for one in store.waves()] == [won["wave"]]


def test_eight_processes_open_an_empty_store_at_once_and_one_makes_its_tables(where: Where, crew: Crew) -> None:
    assert crew.ask("open", **place(where)) == ["opened"] * 8
    with where.open() as store, store._database.reading() as connection:
        assert connection.execute(text("SELECT * FROM controlplane_ledger")).all() == [(1, None, 0)]
        assert connection.execute(text("SELECT * FROM controlplane_version")).all() == [(HEAD,)]


def test_eight_processes_open_an_empty_file_at_once_and_none_finds_it_busy(tmp_path: Path, crew: Crew) -> None:
    """The switch to WAL is refused to one in a hundred that does not try again."""
    for number in range(60):
        assert crew.ask("open", store="sqlite", folder=str(tmp_path / str(number))) == ["opened"] * 8


def test_who_was_stopped_past_its_lease_finds_the_wave_anothers(where: Where, crew: Crew) -> None:
    member = crew.members[0]
    member.ask("open", **place(where))
    held = member.ask("take", wave="W8B", holder="ann@east", now=T.isoformat())
    os.kill(member.pid, signal.SIGSTOP)
    try:
        with where.open() as store:
            later = store.take("W8B", state="resumed", mutating=True, holder="bob@west", record={}, now=T + 2 * MINUTE, ttl=MINUTE)
            member.tell("write", held=held, now=(T + 2 * MINUTE).isoformat(), ended=True)
            member.tell("renew", held=held, now=(T + 2 * MINUTE).isoformat())
    finally:
        os.kill(member.pid, signal.SIGCONT)
    told = (
        "RefusedError: wave W8B is no longer what this process took: bob@west took it at 2026-01-01T00:02:00Z (state resumed). Nothing was changed. "
        "Stop what runs for it here. 'controlplane wave resume W8B' goes on from what the store holds, once it is free."
    )
    assert [member.answer(), member.answer()] == [told, told]
    with where.open() as store:
        assert store.find("W8B") == later


def kill_before_each_statement(where: Where, crew: Crew, after: Callable[[int], None], *, opening: bool) -> int:
    for statement in range(1, 200):
        ended = crew.members[0].ask("die_at", **place(where), now=T.isoformat(), statement=statement, opening=opening)
        if ended == "came to its end":
            return statement - 1
        assert ended == "killed"
        after(statement)
    raise AssertionError("it never came to its end")


def test_a_kill_before_any_statement_of_the_migration_leaves_a_store_that_the_next_one_makes(where: Where, crew: Crew) -> None:
    kills = kill_before_each_statement(where, crew, lambda _: None, opening=True)
    assert kills > 15
    goes_on(where, "W1")


def test_a_kill_before_any_statement_leaves_a_store_that_opens_and_goes_on(where: Where, crew: Crew) -> None:
    kills = kill_before_each_statement(where, crew, goes_on_now_and_then(where), opening=False)
    assert kills > 20


def goes_on_now_and_then(where: Where) -> Callable[[int], None]:
    """Each third time: between, the next one that is killed finds what the one before left."""
    return lambda statement: goes_on(where, f"W{statement}") if statement % 3 == 0 else None


def killed_by_seed(where: Where, crew: Crew, seeds: range) -> None:
    for seed in seeds:
        assert crew.members[0].ask("die_after", **place(where), now=T.isoformat(), seed=seed) == "killed"
        goes_on(where, f"W-{seed}")


def test_a_kill_at_any_moment_leaves_a_store_that_opens_and_goes_on(where: Where, crew: Crew) -> None:
    killed_by_seed(where, crew, range(4))


def test_a_hundred_kills_at_any_moment_leave_a_store_that_opens_and_goes_on(where: Where, crew: Crew) -> None:
    killed_by_seed(where, crew, range(100, 200))


def goes_on(where: Where, wave: str) -> None:
    """Assert that nothing is half there, then end what the killed one left and open another wave."""
    with where.open() as store:
        with store._database.reading() as connection:
            if where.store == "sqlite":
                assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
            assert connection.execute(text("SELECT count(*) FROM controlplane_ledger")).scalar() == 1
        assert [len(run.results) for run in store.latest_runs("mint", 10_000)] == [20] * len(store.latest_runs("mint", 10_000))
        left = [one for one in store.waves() if one.ended_at is None]
        assert [one.wave for one in left] in ([], ["W-killed"])
        ours = {"mutating": True, "holder": "op@killed", "record": {}, "now": T, "ttl": timedelta(minutes=1)}
        for one in left:
            store.write(store.take(one.wave, state="resumed", **ours), state="aborted", record={}, now=T, ended=True)
        store.write(store.take(wave, state="open", **ours), state="closed", record={}, now=T, ended=True)
