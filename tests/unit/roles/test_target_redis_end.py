"""How a run at a Redis ends: what runs is read back then, and one that failed with its container made anew has its keys compared all the same."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from controlplane_target import compose, redis_anew, redis_aof, redis_down, redis_end, redis_persist, redis_server, redis_verbs, redis_wait
from controlplane_target.faults import FailedFault
from controlplane_target.redis_client import LoginError
from controlplane_target.redis_keys import Held
from controlplane_target.state import Run

from tests.unit.roles.test_target_redis_cut import KEPT, RUNS, UNSURE, cut, cut_off
from tests.unit.roles.test_target_redis_kept import HELD, PERSISTED, Cache, anew, cache, journal, kept, run

__all__ = ["anew", "cache", "run"]

Anew = Callable[[Callable[[], object]], None]
DIFFERENT: dict[str, Any] = {**PERSISTED, "settings": {"appendonly": "yes", "save": "60 1"}, "persist": ["appendonly", "save"]}
GONE = {"before": 3, "equal": 2, "unknown": 1, "not_proven": [f"1 {UNSURE}"]}


def told(keys: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in keys.items() if value}


@pytest.fixture
def failed(cache: Cache, run: Run, anew: Anew, monkeypatch: pytest.MonkeyPatch) -> redis_aof.Request:
    """Return the request of a run that failed with its container made anew and its keys not compared; by now that answers."""
    assert cache.keys
    request = cut_off(run, anew)
    run.write(asked=redis_persist._plain(request))
    for module in (redis_down, redis_end):
        monkeypatch.setattr(module, "state_of", lambda _name: RUNS)
    monkeypatch.setattr(compose, "await_unit", lambda _unit: None)
    return request


# What the host does at its next start.


def test_one_that_stands_still_is_not_waited_for(run: Run, failed: redis_aof.Request, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = {**RUNS, "Running": False, "Status": "exited", "StartedAt": "2026-02-02T00:00:00Z"}
    for module in (redis_down, redis_end):
        monkeypatch.setattr(module, "state_of", lambda _name: stopped)
    monkeypatch.setattr(redis_wait, "answering", lambda *_: pytest.fail("it was asked"))
    assert redis_end.settle(journal(run), failed) == {"changed": False, "phase": "making-anew"}


# What runs at the end.


def test_what_the_receipt_tells_is_read_from_what_runs_at_the_end(cache: Cache, run: Run, anew: Anew, monkeypatch: pytest.MonkeyPatch) -> None:
    anew(lambda: cache.runs.update(appendfsync="always"))
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    assert journal(run).state["after"]["appendfsync"] == "everysec"
    redis_aof.persist(run, request)
    assert journal(run).state["after"]["appendfsync"] == "always"
    monkeypatch.setattr(redis_persist, "lacking", lambda *_: [])
    cache.runs["save"] = "7 7"
    after = redis_aof.prove(journal(run), request)["told"]["after"]
    assert after == {"dir": str(cache.data), "save": "7 7", "appendonly": "yes", "appendfsync": "always"}


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ({"save": ""}, "save empty instead of 60 1"),
        ({"appendonly": "no"}, "appendonly no instead of yes"),
        ({"dir": "/other"}, "its data in /other"),
    ],
)
def test_a_script_that_starts_it_otherwise_is_a_fault_before_what_was_kept_is_gone(
    cache: Cache, run: Run, anew: Anew, sets: dict[str, str], said: str
) -> None:
    anew(lambda: cache.runs.update(sets))
    request = redis_aof.parse(DIFFERENT)
    redis_aof.turn_on(run, request)
    with pytest.raises(FailedFault, match=rf"^cache runs with {said}.*: a script that starts it, .* Go back: .*R1/undo$"):
        redis_aof.persist(run, request)
    assert (journal(run).phase, kept(cache)) == ("making-anew", HELD)
    # Its keys were compared, and are not once more.
    with pytest.raises(FailedFault, match=f"cache runs with {said}"):
        redis_aof.persist(journal(run), request)
    assert told(journal(run).state["keys"]) == {"before": 3, "equal": 3}


# What changed beside it.


def test_where_the_stack_changed_meanwhile_the_file_stays_as_it_was(cache: Cache, run: Run, anew: Anew, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever brings it up to its files, as it is told to, has nothing there that loads a stale file."""
    anew(lambda: pytest.fail("it was made anew"))

    def changed(_run: Run) -> None:
        raise FailedFault(".env changed while this ran")

    monkeypatch.setattr(redis_persist, "write", lambda *_: pytest.fail("it was written"))
    monkeypatch.setattr(redis_persist, "assert_as_written", changed)
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    with pytest.raises(FailedFault, match=r"^\.env changed while this ran$"):
        redis_aof.persist(run, request)
    assert (journal(run).phase, cache.docker.policy, kept(cache)) == ("on", "unless-stopped", HELD)


# Failed with the container made anew.


def test_the_fault_says_what_compares_its_keys(cache: Cache, run: Run, anew: Anew) -> None:
    def unhealthy() -> None:
        raise FailedFault("Compose did not bring cache up: it is unhealthy")

    anew(unhealthy)
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    with pytest.raises(FailedFault) as fault:
        redis_aof.persist(run, request)
    command = f"{sys.executable} -I -X utf8 -B {run.folder}/controlplane_target redis settle --run R1"
    assert f"it is unhealthy. How its keys fared was not compared: once it answers, made anew, '{command}' on this host does that" in str(fault.value)
    assert (journal(run).phase, kept(cache)) == ("making-anew", HELD)


def test_with_a_password_that_only_the_controller_has_it_names_what_can_log_in(cache: Cache, run: Run, anew: Anew) -> None:
    def unhealthy() -> None:
        raise FailedFault("Compose did not bring cache up: it is unhealthy")

    anew(unhealthy)
    request = redis_aof.parse({**PERSISTED, "told": {"cache": {"password": "a secret"}}})
    redis_aof.turn_on(run, request)
    with pytest.raises(FailedFault) as fault:
        redis_aof.persist(run, request)
    assert str(fault.value) == (
        "Compose did not bring cache up: it is unhealthy. How its keys fared was not compared: once it answers, made anew, applying the same plan "
        "again does that and ends the run, or the next run at it does; the way back (controlplane rollback R1) does it as well, before it goes"
    )
    assert kept(cache) == HELD


def test_the_host_compares_the_keys_of_a_run_that_failed_and_ends_it(cache: Cache, run: Run, failed: redis_aof.Request) -> None:
    cache.keys.pop(b"b")
    cache.keys[b"new"] = Held(b"4", -1, 900)
    said = redis_end.settle(journal(run), failed)
    assert (said["changed"], said["phase"], told(said["keys"])) == (False, "done", GONE)
    assert (journal(run).phase, kept(cache), (run.folder / KEPT).exists()) == ("done", HELD, False)
    # Once is enough.
    cache.keys.clear()
    assert redis_end.settle(journal(run), failed) == said


def test_by_hand_it_needs_no_request_and_names_no_key(cache: Cache, run: Run, failed: redis_aof.Request, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failed.container == "cache"
    cache.keys = {b"somebody": Held(b"1", -1, 900)}
    monkeypatch.setattr(sys, "stdin", io.StringIO("no JSON"))
    said = redis_verbs.act(run.home, argparse.Namespace(run="R1", of=None, action="settle", check=False))
    assert "2 keys of cache are gone or differ since it was made anew" in said["message"]
    assert (said["phase"], said["keys"]["lost"], "names" in said["keys"], kept(cache)) == ("making-anew", 2, False, HELD)
    assert "somebody" not in json.dumps(said)


def test_one_that_was_not_made_anew_or_lets_nobody_in_is_left_as_it_is(
    cache: Cache, run: Run, failed: redis_aof.Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_persist, "is_told", lambda *_: False)
    assert redis_end.settle(journal(run), failed) == {"changed": False, "phase": "making-anew"}

    def nobody(_request: redis_aof.Request) -> Any:
        raise LoginError("Redis demands a login, and no password is known")

    monkeypatch.setattr(redis_wait, "answering", nobody)
    said = redis_end.settle(journal(run), failed)
    assert said["message"].startswith("Redis demands a login, and no password is known. Its keys were not compared here")
    assert (journal(run).phase, (run.folder / KEPT).exists(), kept(cache)) == ("making-anew", True, HELD)


def test_the_next_run_at_that_container_compares_them_first_and_says_so(
    cache: Cache, run: Run, failed: redis_aof.Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.keys.pop(b"b")
    cache.keys[b"new"] = Held(b"4", -1, 900)
    later = run.home.run("R2")
    redis_end.compare_earlier(later, failed)
    assert later.state["notes"] == ["of 3 keys of cache 2 are equal, 1 are unknown, since run R1 made it anew and failed"]
    assert (journal(run).phase, kept(cache)) == ("done", HELD)
    redis_end.compare_earlier(later, failed)
    monkeypatch.setattr(redis_persist, "lacking", lambda *_: [])
    assert redis_aof.prove(later, failed)["told"]["notes"] == later.state["notes"]


def test_the_next_run_notes_that_keys_were_lost_in_the_one_before_which_stays_open(
    cache: Cache, run: Run, failed: redis_aof.Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.keys.clear()
    monkeypatch.setattr(redis_persist, "prepare", lambda *_: {"changed": True})
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(PERSISTED)))
    assert redis_verbs.act(run.home, argparse.Namespace(run="R2", of=None, action="prepare", check=False)) == {"changed": True}
    [note] = run.home.run("R2").state["notes"]
    assert note == (
        "of 3 keys of cache 3 are lost, since run R1 made it anew and failed: its dump from before is kept in its data folder under that run's "
        f"name, and {run.folder}/undo goes back"
    )
    assert (journal(run).phase, kept(cache)) == ("making-anew", HELD)
    # That run itself can't come to its end.
    with pytest.raises(FailedFault, match=r"3 keys of cache are gone .*Go back: .*/R1/undo$"):
        redis_aof.persist(journal(run), failed)


def test_keys_that_clients_removed_before_it_was_started_once_more_fail_no_later_run(cache: Cache, run: Run, failed: redis_aof.Request) -> None:
    failed.server().inspection["State"]["FinishedAt"] = "2026-01-01T00:00:00Z"
    cache.keys.pop(b"b")
    later = run.home.run("R2")
    redis_end.compare_earlier(later, failed)
    assert later.state["notes"] == ["of 3 keys of cache 2 are equal, 1 are unknown, since run R1 made it anew and failed"]
    assert (journal(run).phase, kept(cache)) == ("done", HELD)


def test_where_they_can_not_be_compared_the_next_run_is_not_begun(
    cache: Cache, run: Run, failed: redis_aof.Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: Any, **__: Any) -> None:
        raise FailedFault("cache does not answer")

    monkeypatch.setattr(redis_anew, "judge_after_cut", silent)
    with pytest.raises(FailedFault, match="cache does not answer"):
        redis_end.compare_earlier(run.home.run("R2"), failed)
    assert (journal(run).state["keys"], kept(cache)) == (None, HELD)


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ((b"a",), "of 3 keys of cache 1 are equal, 2 are lost, between when it was made anew and when it went back"),
        ((b"a", b"b", b"c"), None),
    ],
)
def test_a_way_back_compares_them_before_it_goes_and_the_dump_stays_where_keys_are_gone(
    cache: Cache, run: Run, failed: redis_aof.Request, anew: Anew, monkeypatch: pytest.MonkeyPatch, left: tuple[bytes, ...], said: str | None
) -> None:
    cache.keys = {key: held for key, held in cache.keys.items() if key in left}
    anew(lambda: None)
    monkeypatch.setattr(redis_persist, "is_told", lambda *_: True)
    monkeypatch.setattr(redis_server.Server, "await_saved", lambda *_: None)
    for module, name in (
        (redis_persist, "refuse_back"),
        (redis_persist, "put_back"),
        (redis_aof, "_refuse_unless_running"),
        (redis_aof, "_set_back"),
    ):
        monkeypatch.setattr(module, name, lambda *_: False)
    of = journal(run)
    answer = redis_aof.undo(of, of, failed)
    assert answer["told"].get("complaint") == said
    assert (journal(run).phase, told(answer["told"]["keys"])) == ("undone", {"before": len(left), "equal": len(left)})
    assert kept(cache) == (HELD if said else None)


def test_a_way_back_that_was_cut_off_does_not_compare_with_what_was_before_the_way_there(
    cache: Cache, run: Run, failed: redis_aof.Request, anew: Anew, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.write(phase="undoing")
    anew(cut)
    monkeypatch.setattr(redis_anew, "judge_after_cut", lambda *_, **__: pytest.fail("it was compared"))
    redis_end.compare_before_back(journal(run), failed)
    assert (journal(run).state["keys"], len(cache.keys)) == (None, 3)
