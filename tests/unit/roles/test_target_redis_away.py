"""How long a Redis did not take its clients' writes: from the hold of them on, over every attempt of a run and through a boot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from controlplane_target import (
    compose,
    compose_replacing,
    path_downtime,
    redis_anew,
    redis_aof,
    redis_command,
    redis_down,
    redis_end,
    redis_keys,
    redis_persist,
    redis_server,
    redis_wait,
)
from controlplane_target.faults import FailedFault
from controlplane_target.redis_client import LoginError
from controlplane_target.state import Run, utc

from tests.unit.roles.test_target_redis_cut import CutError, cut
from tests.unit.roles.test_target_redis_kept import KEYS, PERSISTED, Cache, cache, journal, run
from tests.unit.roles.test_target_redis_wait import STACK, Clock, Loading, clock, request_of

__all__ = ["cache", "clock", "run"]

READING_S, COMPOSE_S = 20.0, 7.0


def life(at: float) -> dict[str, Any]:
    """Return Docker's state of a container that started at that epoch."""
    return {"Running": True, "Status": "running", "StartedAt": f"{utc(at).rstrip('Z')}.{int(at % 1 * 1e9):09d}Z"}


@contextmanager
def held(_redis: Any) -> Iterator[None]:
    yield


@pytest.fixture
def host(cache: Cache, run: Run, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Let Compose take seven seconds, and reading the keys twenty; a function does what happens within Compose."""
    told = {"already": False}
    run.write(stack=STACK)

    def begin(happens: Callable[[], object]) -> None:
        def table(redis: Any, limit_s: float = 0.0) -> Any:
            if limit_s != float("inf") and not told["already"]:
                clock.sleep(READING_S)
            return {0: dict(redis.keys)}

        def make_anew(*_: Any, **__: Any) -> None:
            clock.sleep(COMPOSE_S)
            happens()
            told["already"] = True

        monkeypatch.setattr(redis_keys, "table", table)
        monkeypatch.setattr(compose, "make_anew", make_anew)
        monkeypatch.setattr(redis_anew, "writes_held", held)
        monkeypatch.setattr(redis_persist, "is_told", lambda *_: told["already"])
        monkeypatch.setattr(redis_persist, "write", lambda *_: True)
        monkeypatch.setattr(redis_persist, "assert_as_written", lambda _run: None)
        monkeypatch.setattr(compose_replacing, "settle", lambda *_: [])
        monkeypatch.setattr(compose, "await_unit", lambda _unit: None)

    assert cache.keys == KEYS
    return begin


def begun(run: Run) -> redis_aof.Request:
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    return request


def test_it_counts_from_the_hold_of_its_writes(run: Run, host: Callable[[Callable[[], object]], None]) -> None:
    host(lambda: None)
    assert redis_aof.persist(run, begun(run))["downtime_s"] == {"cache": READING_S + COMPOSE_S}


def test_a_hold_of_which_no_stop_came_counts_as_well_and_attempts_add_up(
    run: Run, host: Callable[[Callable[[], object]], None], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    host(lambda: None)
    request = begun(run)
    with monkeypatch.context() as patched:
        patched.setattr(redis_anew.path_kept, "keep", lambda *_: (_ for _ in ()).throw(FailedFault("there is no room")))
        with pytest.raises(FailedFault, match=r"^there is no room$"):
            redis_aof.persist(run, request)
    assert (run.phase, run.state["downtime_s"], run.state["down_since"]) == ("on", {"cache": READING_S}, None)
    # Nobody waited in between.
    clock.sleep(3600)
    assert redis_aof.persist(journal(run), request)["downtime_s"] == {"cache": 2 * READING_S + COMPOSE_S}


def test_what_a_killed_process_held_at_most_counts_where_nothing_stopped(
    run: Run, host: Callable[[Callable[[], object]], None], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    host(lambda: None)
    request = begun(run)
    with monkeypatch.context() as patched:
        patched.setattr(path_downtime, "end", lambda *_, **__: None)
        patched.setattr(redis_anew.path_kept, "keep", lambda *_: cut())
        with pytest.raises(CutError):
            redis_aof.persist(run, request)
    clock.sleep(3600)
    assert redis_aof.persist(journal(run), request)["downtime_s"] == {"cache": 60.0 + READING_S + COMPOSE_S}


def test_a_way_back_that_goes_on_and_stops_nothing_leaves_no_downtime_to_the_next_attempt(
    run: Run, host: Callable[[Callable[[], object]], None], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its phase stands in the journal already."""
    host(lambda: None)
    request = begun(run)
    run.write(phase="undoing-anew")

    def unsaved(*_: Any) -> None:
        raise FailedFault("its dump was not written")

    monkeypatch.setattr(redis_server.Server, "await_saved", unsaved)
    with pytest.raises(FailedFault, match="its dump was not written"):
        redis_anew.make_anew(run, run, request, phase="undoing-anew", saved=True)
    assert (run.state["down_since"], run.state["downtime_s"]) == (None, {"cache": READING_S})
    clock.sleep(3600)
    redis_wait.note_held(run, request)
    assert run.state["downtime_s"] == {"cache": READING_S}


@pytest.mark.parametrize("by_the_host", [True, False])
def test_it_counts_through_a_power_cut_whoever_sees_it_come_back(
    run: Run, host: Callable[[Callable[[], object]], None], clock: Clock, monkeypatch: pytest.MonkeyPatch, by_the_host: bool
) -> None:
    host(cut)
    request = begun(run)
    with pytest.raises(CutError):
        redis_aof.persist(run, request)
    assert journal(run).phase == "making-anew"
    clock.boot = "b2"
    clock.sleep(100)
    back = clock.at
    clock.sleep(2 if by_the_host else 3000)
    monkeypatch.setattr(redis_persist, "is_told", lambda *_: True)
    monkeypatch.setattr(redis_down, "state_of", lambda _name: life(back))
    monkeypatch.setattr(redis_end, "state_of", lambda _name: life(back))
    monkeypatch.setattr(redis_aof, "state_of", lambda _name: life(back))
    if by_the_host:
        assert redis_end.settle(journal(run), request)["phase"] == "done"
        assert redis_aof.prove(journal(run), request)["downtime_s"] == {"cache": pytest.approx(READING_S + COMPOSE_S + 100, abs=0.01)}
    else:
        # It was up for long: who goes on knows since when.
        assert redis_aof.persist(journal(run), request)["downtime_s"] == {"cache": pytest.approx(READING_S + COMPOSE_S + 100, abs=0.01)}


def test_who_sees_it_load_counts_until_it_has(run: Run, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    run.write(phase="making-anew")
    path_downtime.begin(run)
    clock.sleep(10)
    back = clock.at
    clock.sleep(1)
    redis = Loading((1, 1), *[(number, number) for number in range(2, 52)], None)
    redis_wait.note_answer(run, request_of(monkeypatch, redis), life(back))
    assert run.state["downtime_s"]["cache"] == pytest.approx(16.0, abs=0.2)


def test_nothing_is_waited_for_where_no_write_was_held(run: Run, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    redis = Loading(None)
    redis_wait.note_answer(run, request_of(monkeypatch, redis), life(clock.at))
    path_downtime.begin(run)
    redis_wait.note_answer(run, request_of(monkeypatch, redis), None)
    assert (redis.asked, run.state.get("downtime_s"), run.state["down_since"]["at"]) == (0, None, clock.at)


def test_one_in_which_only_others_may_look_counts_until_its_start(run: Run, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    path_downtime.begin(run)
    clock.sleep(40)
    back = clock.at
    clock.sleep(500)
    redis_wait.note_answer(run, request_of(monkeypatch, Loading(LoginError("no password is known"))), life(back))
    assert run.state["downtime_s"] == {"cache": pytest.approx(40.0, abs=0.01)}


def test_a_live_way_back_counts_for_as_long_as_its_dump_is_written_with_writes_held(
    cache: Cache, run: Run, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = redis_aof.parse({**PERSISTED, "persist": []})
    redis_aof.turn_on(run, asked)
    redis_aof.persist(run, asked)
    run.write(before={**run.state["before"], "appendonly": "no"})
    monkeypatch.setattr(redis_wait, "writes_held", held)
    monkeypatch.setattr(redis_server.Server, "await_saved", lambda *_: clock.sleep(33))
    monkeypatch.setattr(redis_aof, "state_of", lambda _name: life(clock.at))
    asked = redis_aof.parse({**PERSISTED, "persist": ["appendonly"], "route": "file", "file": "/etc/redis.conf"})
    for name in ("refuse_back", "lacking"):
        monkeypatch.setattr(redis_persist, name, lambda *_: [])
    monkeypatch.setattr(redis_persist, "put_back", lambda *_: True)
    monkeypatch.setattr(redis_persist, "lacking", lambda *_: ["its file does not carry the settings"])
    assert redis_aof.undo(run, run, asked)["downtime_s"] == {"cache": 33.0}
    assert cache.runs["appendonly"] == "no"


def test_what_it_is_called_by_its_own_check_is_known_before_it_is_gone(cache: Cache, run: Run, host: Callable[[Callable[[], object]], None]) -> None:
    host(lambda: None)
    server = redis_aof.parse(PERSISTED).server()
    server.inspection.update(Id="one", Config={"Cmd": [], "Healthcheck": {"Test": ["CMD", "x"], "Interval": 60_000_000_000, "Retries": 9}})
    redis_aof.persist(run, begun(run))
    assert (run.state["old"], len(cache.keys)) == ({"id": "one", "health_s": 600.0}, 3)
    # As it is called afterwards.
    assert run.state["made"] == "one"


# What a power cut left between Compose's stop of it and its removal.


@pytest.mark.parametrize("by_the_host", [True, False])
def test_one_that_compose_stopped_and_did_not_remove_is_brought_up_by_compose(
    cache: Cache, run: Run, host: Callable[[Callable[[], object]], None], monkeypatch: pytest.MonkeyPatch, by_the_host: bool
) -> None:
    """No policy starts what Docker was told to stop; and started as it was it would load its last dump."""

    def stopped() -> None:
        cache.docker.ends()
        cut()

    host(stopped)
    request = begun(run)
    with pytest.raises(CutError):
        redis_aof.persist(run, request)
    assert (journal(run).phase, cache.docker.state["Status"]) == ("making-anew", "exited")
    host(cache.docker.starts)
    monkeypatch.setattr(redis_command, "write_down", lambda *_: cache.docker.did.append("written"))
    cache.docker.did.clear()
    if by_the_host:
        assert redis_end.settle(journal(run), request)["changed"] is True
    else:
        redis_aof.persist(journal(run), request)
    # The settings stand in its file before; and Compose, not a plain start, comes next.
    assert cache.docker.did == ["written", "restart one unless-stopped"]
    assert (journal(run).phase, journal(run).state["keys"]["equal"], cache.docker.units) == ("done", 3, set())


def test_going_back_one_that_compose_stopped_is_started_with_its_file(cache: Cache, run: Run, host: Callable[[Callable[[], object]], None]) -> None:
    host(lambda: pytest.fail("Compose made it anew"))
    request = begun(run)
    cache.docker.starts("2026-01-01T05:00:00Z")
    run.write(phase="undoing-anew")
    cache.docker.ends()
    redis_down.settle(journal(run), request)
    assert (cache.docker.did[-2:], cache.docker.policy) == (["restart one unless-stopped", "start cache"], "unless-stopped")
