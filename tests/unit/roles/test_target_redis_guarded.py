"""A guard of a Redis outlives nothing that it stands for: not the file, not the service, not the way back of another run."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from controlplane_target import (
    compose,
    path_undo,
    redis_anew,
    redis_aof,
    redis_command,
    redis_down,
    redis_dump,
    redis_guard,
    redis_persist,
    redis_rest,
    redis_server,
    redis_verbs,
    root_refusals,
    settle_units,
)
from controlplane_target.cancel import Cancel
from controlplane_target.docker_root import DockerRoot
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.state import Run

from tests.unit.roles.redis_docker import SECOND
from tests.unit.roles.test_target_redis_guard import CutError, Host, changed, host, settled
from tests.unit.roles.test_target_redis_kept import ASKED, HELD, PERSISTED, cache, journal, kept, run
from tests.unit.roles.test_target_redis_let_go import AFTER, TOLD, file
from tests.unit.roles.test_target_redis_wait import STACK

__all__ = ["cache", "file", "host", "run"]

REQUEST = redis_aof.parse(PERSISTED)


@pytest.fixture
def way_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Return the host, on which a way back has nothing but settings to put back."""
    for name in ("refuse_back", "put_back"):
        monkeypatch.setattr(redis_persist, name, lambda *_: False)
    monkeypatch.setattr(redis_persist, "lacking", lambda *_: ["it lacks them"])
    monkeypatch.setattr(redis_aof.redis_wait, "writes_held", redis_anew.writes_held)
    monkeypatch.setattr(redis_aof.Server, "await_saved", lambda *_: None)
    return host


# Ways back.


def test_the_way_back_of_an_earlier_run_ends_what_a_later_one_keeps_down(way_back: Host, run: Run) -> None:
    docker = way_back.cache.docker
    redis_aof.turn_on(run, REQUEST)
    redis_guard.release(run, REQUEST)
    later = run.home.run("R2")
    redis_aof.turn_on(later, REQUEST)
    redis_aof.undo(journal(run), run.home.run("R3"), REQUEST)
    guards = [one.state.get("guard") for one in run.home.runs()]
    assert (guards, docker.policy, docker.units) == ([None] * len(guards), "unless-stopped", set())
    way_back.kills()
    assert (docker.state["Running"], journal(later).state["started_at"]) == (True, None)


def test_one_that_is_half_made_and_let_go_is_not_made_anew_by_a_file_that_is_off(way_back: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise FailedFault("Compose did not bring cache up")

    earlier = run.home.run("R0")
    redis_aof.turn_on(earlier, REQUEST)
    redis_guard.release(earlier, REQUEST)
    redis_aof.turn_on(run, REQUEST)
    # Nothing was stopped.
    with monkeypatch.context() as patched:
        patched.setattr(compose, "make_anew", fails)
        with pytest.raises(FailedFault, match="did not bring cache up"):
            redis_aof.persist(run, REQUEST)
    settled(run)
    assert (journal(run).phase, journal(run).state["guard"]) == ("making-anew", None)
    earlier.write(before={"appendonly": "no"})
    redis_aof.undo(journal(earlier), run.home.run("R3"), REQUEST)
    assert (journal(run).state["started_at"], journal(run).state["counts"]) == (None, None)
    way_back.cache.docker.ends()
    way_back.did.clear()
    settled(run)
    assert changed(way_back) == ["start cache"]


def test_a_guard_of_a_container_before_this_one_is_no_reason_to_leave_another_runs(way_back: Host, run: Run) -> None:
    later = run.home.run("R2")
    redis_aof.turn_on(later, REQUEST)
    run.write(guard={**later.state["guard"], "id": "before"}, container="cache")
    redis_guard.take_over(run, REQUEST.server())
    assert (run.state["guard"]["id"], journal(later).state["guard"], way_back.cache.docker.units) == ("one", None, {"R1"})
    redis_guard.off(run)
    assert way_back.cache.docker.policy == "unless-stopped"


def test_the_way_back_of_another_run_does_not_ask_to_start_one_that_is_kept_down(way_back: Host, run: Run) -> None:
    redis_aof.turn_on(run, REQUEST)
    redis_guard.release(run, REQUEST)
    later = run.home.run("R2")
    redis_aof.turn_on(later, REQUEST)
    later.write(asked=PERSISTED)
    way_back.kills()
    with pytest.raises(RefusedFault, match="run R2 keeps cache down"):
        redis_aof.undo(journal(run), run.home.run("R3"), REQUEST)


def test_a_way_back_that_fails_leaves_what_the_way_there_keeps_down(way_back: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked_out(*_: Any) -> None:
        raise FailedFault("none of the passwords that are known is taken")

    redis_aof.turn_on(run, REQUEST)
    monkeypatch.setattr(redis_aof, "_set_back", locked_out)
    with pytest.raises(FailedFault, match="none of the passwords"):
        redis_aof.undo(run, run, REQUEST)
    assert (way_back.cache.docker.policy, bool(journal(run).state["guard"]), way_back.cache.docker.units) == ("no", True, {"R1"})


def test_the_file_is_put_back_before_the_container_is_let_go(way_back: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(redis_persist, "put_back", lambda *_: seen.append(way_back.cache.docker.policy))
    redis_aof.turn_on(run, REQUEST)
    redis_aof.undo(run, run, REQUEST)
    assert seen == ["no"]


# One whose start reads the file anyway.


def test_one_that_may_have_started_empty_is_no_success_and_its_dump_is_kept_and_named(host: Host, run: Run) -> None:
    def killed(_name: str) -> None:
        raise CutError

    request = redis_aof.parse(ASKED)
    host.cache.at_set = killed
    with pytest.raises(CutError):
        redis_aof.turn_on(run, request)
    # Docker starts it with AOF on, and without a file.
    host.cache.docker.starts(SECOND)
    host.cache.at_set = lambda _name: None
    host.cache.keys.clear()
    host.cache.set("appendonly", "yes")
    for verb in (redis_aof.turn_on, redis_aof.persist):
        with pytest.raises(FailedFault, match=r"it starts empty\. Its dump from before is kept in its data folder as dump\.rdb\.R1: see what"):
            verb(journal(run), request)
    redis_dump.drop(journal(run), request)
    assert (journal(run).phase, kept(host.cache)) == ("turning-on", HELD)


@pytest.mark.parametrize("asked", [ASKED, PERSISTED], ids=["read by its start", "persisted"])
def test_that_it_may_start_empty_is_told_as_soon_as_its_connection_breaks(
    host: Host, run: Run, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    def broken(_name: str) -> None:
        raise OSError("the connection was lost")

    host.cache.at_set = broken
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(asked)))
    with pytest.raises(FailedFault, match="the connection was lost") as fault:
        redis_verbs.act(run.home, argparse.Namespace(run="R1", of=None, action="turn-on", check=False))
    assert ("it may have started empty: its dump from before is kept" in str(fault.value)) is (asked is ASKED)


def test_the_same_life_is_gone_on_with(host: Host, run: Run) -> None:
    request = redis_aof.parse(ASKED)
    host.cache.status = "err"
    with pytest.raises(FailedFault, match="could not write"):
        redis_aof.turn_on(run, request)
    host.cache.status = "ok"
    redis_aof.turn_on(journal(run), request)
    redis_aof.persist(journal(run), request)
    assert journal(run).phase == "done"


# A service that is taken away.


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the services that Compose finds in the files."""
    found = ["other"]
    monkeypatch.setattr(redis_command.command, "run", lambda *_, **__: SimpleNamespace(code=0, out="\n".join(found), err=""))
    return found


@pytest.mark.parametrize("phase", ["making-anew", "undoing-anew"])
def test_a_service_that_was_taken_away_is_let_go_and_where_its_file_lies_is_told(host: Host, run: Run, services: list[str], phase: str) -> None:
    redis_aof.turn_on(run, REQUEST)
    run.write(phase=phase)
    host.cache.docker.held = None
    services.append("cache")
    assert not redis_command.is_taken_away(run, None)
    services.remove("cache")
    said = settled(run)
    assert f"cache was taken away while run R1 kept it down: its newest data are in {host.cache.data}/appendonlydir" in said["message"]
    assert (host.cache.docker.units, journal(run).state["guard"], len(journal(run).state["doubts"])) == (set(), None, 1)
    assert redis_guard.keeping(run.home, lambda _run: True) == []
    with pytest.raises(FailedFault, match="cache was taken away while run R1 kept it down"):
        redis_anew.finish(journal(run), journal(run), REQUEST, None)


def test_what_compose_can_not_say_is_not_taken_for_that(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.write(stack=STACK)
    monkeypatch.setattr(redis_command.command, "run", lambda *_, **__: SimpleNamespace(code=1, out="", err="no such file"))
    assert not redis_command.is_taken_away(run, None)


# AOF that went off by hand.


def test_one_whose_file_somebody_turned_off_is_let_go(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    redis_aof.turn_on(run, REQUEST)
    open_now: list[bool | None] = [None]
    monkeypatch.setattr(redis_rest, "keeps_file", lambda _held: open_now[0])
    for keeps in (None, True):
        open_now[0] = keeps
        settled(run)
        assert host.cache.docker.policy == "no"
    open_now[0] = False
    settled(run)
    assert (host.cache.docker.policy, journal(run).state["guard"], host.cache.docker.units) == ("unless-stopped", None, set())


def test_its_unit_looks_for_that_while_it_waits_for_its_end(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    redis_aof.turn_on(run, REQUEST)
    looks: list[object] = []
    monkeypatch.setattr(redis_rest, "keeps_file", lambda held: looks.append(held) or len(looks) < 4)
    slept: list[float] = []
    monkeypatch.setattr(redis_down.time, "sleep", lambda seconds: slept.append(seconds) if len(slept) < 9 else pytest.fail("it waits on"))
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getpid()))
    assert redis_down.await_end(run, REQUEST)
    assert (len(looks), looks[0]) == (4, host.cache.docker.held)


def test_before_its_file_is_whole_that_it_has_none_open_says_nothing(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    redis_guard.on(run, REQUEST, REQUEST.server(), whole=False)
    monkeypatch.setattr(redis_rest, "keeps_file", lambda _held: False)
    run.write(phase="turning-on")
    settled(run)
    assert host.cache.docker.policy == "no"


def test_a_dump_that_it_wrote_since_is_kept_where_it_is_brought_up_by_its_file(host: Host, run: Run) -> None:
    redis_aof.turn_on(run, REQUEST)
    host.cache.saves(b"REDIS0011 later")
    host.kills()
    settled(run)
    [doubt] = journal(run).state["doubts"]
    assert "had somebody turned that off before it ended, dump.rdb.R1.end in" in doubt
    assert ((host.cache.data / "dump.rdb.R1.end").read_bytes(), changed(host)) == (b"REDIS0011 later", ["written", "compose"])


def test_the_dump_from_before_is_not_kept_twice(host: Host, run: Run) -> None:
    redis_aof.turn_on(run, REQUEST)
    host.kills()
    settled(run)
    assert (journal(run).state.get("doubts"), (host.cache.data / "dump.rdb.R1.end").exists()) == (None, False)


# Everybody else.


def test_a_move_of_dockers_root_and_the_way_back_of_a_move_are_refused(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    redis_aof.turn_on(run, REQUEST)
    for name in ("_of_the_engine", "_of_the_units", "of_the_running", "of_the_space"):
        monkeypatch.setattr(root_refusals, name, lambda *_: [])
    monkeypatch.setattr(root_refusals, "roots_now", lambda _info: {})
    monkeypatch.setattr(root_refusals.configs, "pairs", lambda _request: [])
    monkeypatch.setattr(root_refusals.configs, "faults", lambda _pairs: [])
    engine, nothing = SimpleNamespace(containers=list, info=dict), SimpleNamespace(moves=())
    [said] = root_refusals.reasons(run.home, nothing, engine, {})  # type: ignore[arg-type]
    assert said.startswith("run R1 keeps cache down once it ends")
    moved = run.home.run("M0")
    moved.write(forward={"trees": []})
    monkeypatch.setattr(root_refusals, "space_back", lambda _pairs: [])
    with pytest.raises(RefusedFault, match="undo of M0 refused: run R1 keeps cache down once it ends"):
        DockerRoot(run.home, engine, Cancel())._refuse_undo(moved, overwrite=False)  # type: ignore[arg-type]
    for module, name in ((path_undo.path_stack, "refuse_back"), (path_undo.path_top, "without_their_mount"), (redis_rest, "at_risk")):
        monkeypatch.setattr(module, name, lambda _what: [])
    monkeypatch.setattr(path_undo, "inspected", lambda *_: host.cache.docker.held)
    monkeypatch.setattr(path_undo, "sources_of", lambda *_: {})
    monkeypatch.setattr(path_undo, "_of_the_room", lambda *_: [])
    monkeypatch.setattr(path_undo.compose, "stack_of", lambda _held: None)
    verbs: Any = SimpleNamespace(home=run.home, engine=None)
    request: Any = SimpleNamespace(container="cache", only=lambda _paths: None)
    of = run.home.run("M1")
    of.write(paths=[])
    with pytest.raises(RefusedFault, match="undo of M1 refused: run R1 keeps cache down once it ends"):
        path_undo._refuse(verbs, of, request, overwrite=False)


# What asks nothing of the file.


@pytest.mark.parametrize("persist", [{"appendonly": "yes"}, {"save": "60 1"}])
def test_only_where_the_file_is_to_be_persisted_a_changed_compose_file_is_in_the_way(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch, persist: dict[str, str]
) -> None:
    monkeypatch.setattr(redis_command, "_is_read", lambda *_: False)
    file.write_text(f"# mine\n{AFTER}")
    run.write(stack=STACK)
    request = redis_aof.parse({**PERSISTED, "settings": {"appendonly": "yes", **persist}, "persist": list(persist)})
    if "appendonly" in persist:
        with pytest.raises(FailedFault, match="was changed by somebody"):
            redis_command.write_down(run, request, None)
    else:
        redis_command.write_down(run, request, None)


def test_one_whose_own_command_turns_the_file_on_is_only_started_with_its_other_settings_open(host: Host, run: Run) -> None:
    request = redis_aof.parse({**PERSISTED, "settings": {"appendonly": "yes", "save": "900 1"}, "persist": ["appendonly", "save"]})
    redis_aof.turn_on(run, request)
    run.write(asked={**PERSISTED, "settings": {"appendonly": "yes", "save": "900 1"}, "persist": ["appendonly", "save"]})
    assert host.cache.docker.held is not None
    host.cache.docker.held["Config"]["Cmd"] = TOLD
    host.kills()
    settled(run)
    assert changed(host) == ["start cache"]


def test_without_the_disk_of_its_data_it_is_not_made_anew_whatever_was_asked(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {**PERSISTED, "settings": {"save": "900 1"}, "persist": ["save"]}
    run.write(asked=asked)
    mount, installed = ["/mnt/data"], list[Any]()

    def killed(*_: Any, **__: Any) -> None:
        raise CutError

    monkeypatch.setattr(redis_guard.mounts, "mount_of", lambda *_: SimpleNamespace(mount=mount[0]))
    monkeypatch.setattr(settle_units, "install_after", lambda _run, _argv, mounts, **_: installed.append(mounts))
    monkeypatch.setattr(redis_anew, "compose_up", killed)
    redis_aof.turn_on(run, redis_aof.parse(asked))
    with pytest.raises(CutError):
        redis_aof.persist(run, redis_aof.parse(asked))
    assert (journal(run).phase, installed) == ("making-anew", [["/mnt/data"]])
    # The disk is nofail, and the container gone.
    mount[0], host.cache.docker.held = "/", None
    monkeypatch.setattr(redis_command, "is_taken_away", lambda *_: False)
    for verb in (lambda: settled(run), lambda: redis_anew.finish(journal(run), journal(run), redis_aof.parse(asked), None)):
        with pytest.raises(FailedFault, match=r"its data folder .* is not on /mnt/data now: .* Bring the disk back"):
            verb()


# A policy that can't be set.


def test_one_whose_policy_docker_will_not_turn_off_has_nothing_to_be_put_back(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise FailedFault("the restart policy of one can't be set")

    monkeypatch.setattr(redis_guard, "set_restart", broken)
    with pytest.raises(FailedFault, match="can't be set"):
        redis_aof.turn_on(run, REQUEST)
    assert (journal(run).state["guard"], host.cache.docker.units, redis_guard.keeping(run.home, lambda _run: True)) == (None, set(), [])


def test_what_is_to_be_done_about_it_is_told() -> None:
    engine: Any = SimpleNamespace(call=lambda *_, **__: (500, {"message": "broken"}))
    with pytest.raises(FailedFault, match=r"can't be set: broken\. It shall be no: see that 'docker update --restart no one' works"):
        redis_server.set_restart("one", redis_guard.NEVER, engine)
