"""A Redis that ends between its append-only file and the start that reads it stays down until it is brought up with it, by whoever comes first."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import (
    compose,
    compose_replacing,
    redis_anew,
    redis_aof,
    redis_change,
    redis_command,
    redis_conf,
    redis_down,
    redis_end,
    redis_guard,
    redis_persist,
    redis_verbs,
    text_change,
)
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.path_source import Source
from controlplane_target.redis_client import RedisError
from controlplane_target.state import Run

from tests.unit.roles.redis_docker import FIRST, SECOND, THIRD
from tests.unit.roles.test_target_redis_kept import ASKED, HELD, KEYS, PERSISTED, Cache, cache, journal, kept, run
from tests.unit.roles.test_target_redis_wait import STACK

__all__ = ["cache", "run"]

MANIFEST = "appendonlydir/appendonly.aof.manifest"
# Any file that is there, which nobody writes here.
FILED = {**PERSISTED, "route": "file", "file": __file__}


class CutError(Exception):
    """The process was killed."""


class Host:
    """A host with Compose; `did` is what happened to the container there, `told` whether its command has the settings by now."""

    def __init__(self, cache: Cache, run: Run) -> None:
        self.cache, self.run, self.did, self.told = cache, run, cache.docker.did, False
        self.keys_at_start: list[dict[bytes, Any]] = []

    def compose(self, *_: Any, **__: Any) -> None:
        self.did.append("compose")
        self.told = "written" in self.did
        docker = self.cache.docker
        assert docker.held is not None
        docker.held = {**docker.held, "Id": "two", "HostConfig": {"RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0}}}
        docker.starts(THIRD)

    def write_down(self, *_: Any) -> None:
        self.did.append("written")

    def kills(self) -> None:
        """Kill the server, whose connections break with it; what its policy says comes next."""
        docker = self.cache.docker
        docker.ends()
        if docker.policy != "no":
            docker.starts(SECOND)
            self.did.append("by its policy")
            self.cache.runs["appendonly"] = "no"


@pytest.fixture
def host(cache: Cache, run: Run, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(cache, run)

    @contextmanager
    def held(_redis: Any) -> Iterator[None]:
        yield

    run.write(stack=STACK)
    monkeypatch.setattr(compose, "make_anew", made.compose)
    monkeypatch.setattr(compose, "await_unit", lambda _unit: None)
    monkeypatch.setattr(compose_replacing, "settle", lambda *_: [])
    monkeypatch.setattr(redis_command, "write_down", made.write_down)
    monkeypatch.setattr(redis_conf, "write_down", made.write_down)
    monkeypatch.setattr(redis_anew, "writes_held", held)
    monkeypatch.setattr(redis_persist, "is_told", lambda *_: made.told)
    monkeypatch.setattr(redis_persist, "write", lambda *_: not made.told and (made.did.append("written") or True))
    monkeypatch.setattr(redis_persist, "assert_as_written", lambda _run: None)
    monkeypatch.setattr(redis_down.time, "sleep", lambda _seconds: None)
    return made


def settled(run: Run) -> dict[str, Any]:
    """Do what the host's own unit does."""
    of = journal(run)
    return redis_end.settle(of, redis_aof.parse(PERSISTED if of.state.get("asked") is None else of.state["asked"]))


def changed(host: Host) -> list[str]:
    """Return what happened to the container, without what is only said of its policy."""
    return [one for one in host.did if not one.startswith(("watch", "restart"))]


# When it begins, and ends.


def test_it_is_kept_down_before_the_file_goes_on_and_its_unit_is_there_before_that(host: Host, run: Run) -> None:
    seen: list[Any] = []
    host.cache.at_set = lambda _name: seen.append((host.cache.docker.policy, set(host.cache.docker.units), journal(run).state["guard"]["whole"]))
    redis_aof.turn_on(run, redis_aof.parse(PERSISTED))
    assert seen == [("no", {"R1"}, False)]
    guard = journal(run).state["guard"]
    assert (guard["whole"], guard["restart"]["Name"], guard["started_at"]) == (True, "unless-stopped", FIRST)
    assert guard["manifest"] == str(host.cache.data / MANIFEST)
    # It is waited for in this boot too.
    assert host.did == ["watch R1", "restart one no"]
    redis_aof.persist(run, redis_aof.parse(PERSISTED))
    assert (journal(run).phase, journal(run).state["guard"], host.cache.docker.policy, host.cache.docker.units) == (
        "done",
        None,
        "unless-stopped",
        set(),
    )


@pytest.mark.parametrize(
    "asked", [ASKED, {**PERSISTED, "settings": {"appendfsync": "always"}, "persist": ["appendfsync"]}], ids=["persisted", "read by its start"]
)
def test_one_whose_start_reads_the_file_anyway_is_left_with_its_policy(host: Host, run: Run, asked: dict[str, Any]) -> None:
    redis_aof.turn_on(run, redis_aof.parse(asked))
    assert (host.did, journal(run).state.get("guard")) == ([], None)


def test_where_its_data_can_not_be_seen_while_it_is_down_it_begins_once_the_file_is_whole(
    host: Host, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(*_: Any) -> Source:
        raise RefusedFault("it is an NFS export")

    monkeypatch.setattr(redis_guard, "source_of", elsewhere)
    seen: list[str] = []
    host.cache.at_set = lambda _name: seen.append(host.cache.docker.policy)
    redis_aof.turn_on(run, redis_aof.parse(PERSISTED))
    assert (seen, host.cache.docker.policy, journal(run).state["guard"]["whole"]) == (["unless-stopped"], "no", True)
    # Its configuration file nobody could write then.
    run.write(guard=None)
    host.did.clear()
    monkeypatch.setattr(redis_persist, "lacking", lambda *_: ["it lacks them"])
    redis_aof.turn_on(run, redis_aof.parse({**FILED, "settings": {"appendonly": "yes"}}))
    assert host.did == []


def test_where_the_host_sees_another_folder_than_the_container_that_is_not_looked_at(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker tells a volume of which one folder is mounted as the whole."""
    monkeypatch.setattr(redis_guard, "source_of", lambda _engine, _held, path: Source("volume", str(Path(path).parent), "", "data"))
    redis_aof.turn_on(run, redis_aof.parse(PERSISTED))
    guard = journal(run).state["guard"]
    assert (guard["manifest"], guard["whole"], host.cache.docker.policy) == (None, True, "no")
    host.kills()
    settled(run)
    assert changed(host) == ["written", "compose"]


@pytest.mark.parametrize("fault", [FailedFault("no room"), RefusedFault("not now"), OSError("broken")])
@pytest.mark.parametrize("verb", [redis_aof.turn_on, redis_aof.persist])
def test_a_verb_that_fails_gives_a_container_that_runs_its_policy_back(
    host: Host, run: Run, monkeypatch: pytest.MonkeyPatch, verb: Callable[..., Any], fault: Exception
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise fault

    monkeypatch.setattr(redis_anew.redis_live, "forgotten", fails)
    monkeypatch.setattr(redis_aof.Server, "await_file", fails) if verb is redis_aof.turn_on else None
    with pytest.raises(type(fault), match=str(fault)):
        verb(run, redis_aof.parse(PERSISTED))
    assert (host.cache.docker.policy, journal(run).state["guard"], host.cache.docker.units) == ("unless-stopped", None, set())


def test_a_later_run_takes_it_over_with_the_policy_from_before_both(host: Host, run: Run) -> None:
    redis_aof.turn_on(run, redis_aof.parse(PERSISTED))
    later = run.home.run("R2")
    redis_aof.turn_on(later, redis_aof.parse(PERSISTED))
    assert (later.state["guard"]["restart"]["Name"], journal(run).state["guard"], host.cache.docker.units) == ("unless-stopped", None, {"R2"})


def test_a_way_back_ends_it_once_the_dump_has_all_and_before_the_file_goes_off(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    seen: list[tuple[str, str]] = []
    monkeypatch.setattr(redis_aof.redis_wait, "writes_held", redis_anew.writes_held)
    monkeypatch.setattr(redis_aof.Server, "await_saved", lambda *_: seen.append(("saved", host.cache.docker.policy)))
    host.cache.at_set = lambda name: seen.append((name, host.cache.docker.policy))
    for name in ("refuse_back", "put_back"):
        monkeypatch.setattr(redis_persist, name, lambda *_: False)
    redis_aof.undo(run, run, request)
    assert seen == [("saved", "no"), ("appendonly", "unless-stopped")]
    assert (journal(run).phase, journal(run).state["guard"], host.cache.docker.units) == ("undone", None, set())


# Killed, with nobody there but the host.


@pytest.mark.parametrize("phase", ["turning-on", "on", "undoing"])
def test_the_host_brings_it_up_by_its_file_and_ends_the_run(host: Host, run: Run, phase: str) -> None:
    redis_aof.turn_on(run, redis_aof.parse(PERSISTED))
    run.write(phase=phase)
    host.kills()
    said = settled(run)
    assert (changed(host), said["changed"], said["phase"]) == (["written", "compose"], True, "done")
    assert "was brought up by its append-only file" in said["keys"]["not_proven"][0]
    assert (host.cache.docker.policy, host.cache.docker.units, kept(host.cache)) == ("unless-stopped", set(), None)
    # The same plan finds nothing left to do.
    assert redis_aof.persist(journal(run), redis_aof.parse(PERSISTED))["changed"] is False


def test_killed_while_the_file_is_written_it_has_what_its_dump_has(host: Host, run: Run) -> None:
    def killed(_name: str) -> None:
        raise CutError

    host.cache.at_set = killed
    with pytest.raises(CutError):
        redis_aof.turn_on(run, redis_aof.parse(PERSISTED))
    host.kills()
    assert settled(run)["changed"] is False
    assert (changed(host), host.cache.docker.policy, journal(run).state["guard"]) == (["start cache"], "unless-stopped", None)
    assert (journal(run).phase, kept(host.cache)) == ("turning-on", HELD)


def test_killed_in_the_moment_in_which_the_file_became_whole_it_has_that(host: Host, run: Run) -> None:
    def killed(_name: str) -> None:
        (host.cache.data / "appendonlydir").mkdir()
        (host.cache.data / MANIFEST).write_text("file appendonly.aof.1.base.rdb seq 1 type b\n")
        raise CutError

    host.cache.at_set = killed
    with pytest.raises(CutError):
        redis_aof.turn_on(run, redis_aof.parse(PERSISTED))
    host.kills()
    assert settled(run)["changed"] is True
    assert changed(host) == ["written", "compose"]


def test_a_stale_file_of_that_name_is_out_of_the_way_before_it_could_be_taken_for_it(host: Host, run: Run) -> None:
    """AOF went off again by somebody's hand: what its file had is old."""
    redis_aof.turn_on(run, redis_aof.parse(PERSISTED))
    host.cache.runs["appendonly"] = "no"

    def killed(_name: str) -> None:
        raise CutError

    host.cache.at_set = killed
    with pytest.raises(CutError):
        redis_aof.turn_on(journal(run), redis_aof.parse(PERSISTED))
    host.kills()
    settled(run)
    assert changed(host) == ["start cache"]


def test_without_the_disk_of_its_data_it_is_not_started(host: Host, run: Run) -> None:
    redis_aof.turn_on(run, redis_aof.parse(PERSISTED))
    host.kills()
    (host.cache.data / MANIFEST).unlink()
    with pytest.raises(FailedFault, match=r"cache stands still, and .*manifest, which its newest data need, is not there: .* Bring its disk back"):
        settled(run)
    assert (changed(host), host.cache.docker.policy, host.cache.docker.units) == ([], "no", {"R1"})


def test_one_that_somebody_started_meanwhile_is_let_go(host: Host, run: Run) -> None:
    redis_aof.turn_on(run, redis_aof.parse(PERSISTED))
    host.kills()
    host.cache.docker.starts(SECOND)
    assert settled(run) == {"changed": False, "phase": "on"}
    assert (changed(host), host.cache.docker.policy, host.cache.docker.units) == ([], "unless-stopped", set())


def test_one_that_somebody_started_and_that_ended_once_more_is_started(host: Host, run: Run) -> None:
    redis_aof.turn_on(run, redis_aof.parse(PERSISTED))
    host.kills()
    host.cache.docker.starts(SECOND)
    host.cache.docker.ends()
    settled(run)
    assert (changed(host), host.cache.docker.policy) == (["start cache"], "unless-stopped")


def test_a_new_plan_is_not_told_to_start_it(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.write(asked=PERSISTED)
    redis_aof.turn_on(run, redis_aof.parse(PERSISTED))
    host.kills()
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(PERSISTED)))
    said = r"^cache stands still: run R1 keeps cache down .* no start by hand loads\. .*settle --run R1' there does, or .*\. Nothing was changed\.$"
    with pytest.raises(RefusedFault, match=said):
        redis_verbs.act(run.home, argparse.Namespace(run="R2", of=None, action="refuse", check=False))
    assert changed(host) == []


def test_as_long_as_it_runs_its_unit_stays(host: Host, run: Run) -> None:
    redis_aof.turn_on(run, redis_aof.parse(PERSISTED))
    assert settled(run) == {"changed": False, "phase": "on"}
    assert (changed(host), host.cache.docker.policy, host.cache.docker.units) == ([], "no", {"R1"})


def test_its_unit_waits_for_its_end_and_a_person_does_not(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    redis_aof.turn_on(run, redis_aof.parse(PERSISTED))
    run.write(asked=PERSISTED)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 5:
            host.kills()

    monkeypatch.setattr(redis_down.time, "sleep", sleep)
    monkeypatch.delenv("SYSTEMD_EXEC_PID", raising=False)
    options = argparse.Namespace(run="R1", of=None, action="settle", check=False)
    assert redis_verbs.act(run.home, options) == {"changed": False, "phase": "on"}
    assert slept == []
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getpid()))
    assert redis_verbs.act(run.home, options)["phase"] == "done"
    assert (len(slept), changed(host)) == (5, ["written", "compose"])


def test_a_configuration_file_is_written_and_then_it_is_started(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_persist, "lacking", lambda *_: [] if "written" in host.did else ["it lacks them"])
    request = redis_aof.parse(FILED)
    run.write(asked=FILED)
    redis_aof.turn_on(run, request)
    assert (host.cache.docker.policy, journal(run).state["guard"]["file"]) == ("no", __file__)
    host.kills()
    settled(run)
    assert (changed(host), host.cache.docker.policy, journal(run).phase) == (["written", "start cache"], "unless-stopped", "on")
    redis_aof.persist(journal(run), request)
    assert (journal(run).phase, journal(run).state.get("doubts")) == ("done", None)


# Killed under a run.


def test_a_run_that_finds_it_down_goes_on_with_it(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    redis_aof.turn_on(run, redis_aof.parse(PERSISTED))
    host.kills()
    monkeypatch.setattr(redis_persist, "lacking", lambda *_: [])
    options = {"run": "R1", "of": None, "check": False}
    for action, said in (("refuse", "pending"), ("prepare", "changed"), ("turn-on", "changed"), ("persist", "changed"), ("prove", "told")):
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(PERSISTED)))
        assert said in redis_verbs.act(run.home, argparse.Namespace(action=action, **options))
    assert (changed(host), journal(run).phase) == (["written", "compose"], "done")


def test_killed_while_a_verb_works_on_it_it_is_brought_up_and_the_verb_comes_to_its_end(
    host: Host, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)

    def killed(_run: Run) -> None:
        host.kills()
        raise OSError("the connection was lost")

    monkeypatch.setattr(redis_persist, "assert_as_written", killed)
    assert redis_aof.persist(run, request)["changed"] is True
    assert (changed(host), journal(run).phase, len(host.cache.keys)) == (["written", "compose"], "done", len(KEYS))


@pytest.mark.parametrize("is_whole", [True, False])
def test_killed_while_it_is_turned_on_the_file_decides(host: Host, run: Run, is_whole: bool) -> None:
    def killed(_name: str) -> None:
        if is_whole:
            (host.cache.data / "appendonlydir").mkdir()
            (host.cache.data / MANIFEST).write_text("x")
        host.kills()
        raise OSError("the connection was lost")

    host.cache.at_set = killed
    request = redis_aof.parse(PERSISTED)
    if is_whole:
        assert redis_aof.turn_on(run, request) == {"changed": True}
        assert (changed(host), journal(run).phase) == (["written", "compose"], "making-anew")
    else:
        with pytest.raises(OSError, match="the connection was lost"):
            redis_aof.turn_on(run, request)
        assert (changed(host), host.cache.docker.policy) == (["start cache"], "unless-stopped")


def test_a_way_back_of_one_that_is_down_brings_it_up_first(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    host.kills()
    for name in ("refuse_back", "put_back"):
        monkeypatch.setattr(redis_persist, name, lambda *_: False)
    monkeypatch.setattr(redis_aof.Server, "await_saved", lambda *_: host.did.append("saved"))
    monkeypatch.setattr(redis_aof, "_set_back", lambda *_: True)
    redis_aof.undo(journal(run), journal(run), request)
    assert (changed(host), journal(run).phase, host.cache.docker.units) == (["written", "compose", "saved", "compose"], "undone", set())


def test_one_that_answers_is_not_taken_for_one_that_ended(host: Host, run: Run) -> None:
    def refused(_name: str) -> None:
        raise RedisError("ERR Unable to turn on AOF")

    host.cache.at_set = refused
    with pytest.raises(FailedFault, match="does not take appendonly yes"):
        redis_aof.turn_on(run, redis_aof.parse(PERSISTED))
    assert (changed(host), host.cache.docker.policy) == ([], "unless-stopped")


# What is written while it is down.

CONF, WANTED = "port 1\n", "port 1\nappendonly yes\n"


@pytest.fixture
def conf(run: Run, tmp_path: Path) -> Path:
    path = tmp_path / "redis.conf"
    path.write_text(CONF)
    run.write(path=str(path))
    (run.folder / redis_change.NAME).write_text(json.dumps(text_change.change_of(CONF, WANTED)))
    return path


def test_a_configuration_file_is_written_without_its_container_and_once_is_enough(run: Run, conf: Path) -> None:
    for _ in range(2):
        redis_conf.write_down(run, redis_aof.parse(FILED), str(conf))
        assert conf.read_text() == WANTED
    conf.write_text("port 2\n")
    with pytest.raises(FailedFault, match="was changed by somebody"):
        redis_conf.write_down(run, redis_aof.parse(FILED), str(conf))
    conf.unlink()
    with pytest.raises(FailedFault, match=r"redis\.conf can't be written .* it stands still, with its newest data in its append-only file"):
        redis_conf.write_down(run, redis_aof.parse(FILED), str(conf))
