"""What nobody came to note of a Redis that is kept down, because whoever would have was killed, is told by what is there."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from controlplane_target import compose, redis_anew, redis_aof, redis_down, redis_dump, redis_guard, redis_persist, redis_rest
from controlplane_target.faults import FailedFault
from controlplane_target.redis_server import Server
from controlplane_target.state import Run

from tests.unit.roles.redis_docker import SECOND, THIRD
from tests.unit.roles.test_target_redis_guard import FILED, MANIFEST, CutError, Host, changed, host, settled
from tests.unit.roles.test_target_redis_kept import HELD, PERSISTED, cache, journal, kept, run

__all__ = ["cache", "host", "run"]

REQUEST = redis_aof.parse(PERSISTED)


def killed(*_: Any, **__: Any) -> None:
    raise CutError


@pytest.fixture
def unnoted(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Return the host on which a run was killed while it waited for the file, that became whole after that."""
    with monkeypatch.context() as patched:
        patched.setattr(Server, "await_file", killed)
        with pytest.raises(CutError):
            redis_aof.turn_on(run, REQUEST)
    assert (journal(run).state["guard"]["whole"], (host.cache.data / MANIFEST).exists()) == (False, True)
    return host


# The disk of its data is away.


@pytest.mark.parametrize("who", ["the host", "the same plan"])
def test_it_is_not_started_without_its_disk(unnoted: Host, run: Run, who: str) -> None:
    unnoted.kills()
    unnoted.cache.data.rename(unnoted.cache.data.with_name("away"))
    verb = settled if who == "the host" else lambda of: redis_aof.persist(journal(of), REQUEST)
    with pytest.raises(FailedFault, match=r"its data folder .* is not on / now: .* Bring the disk back"):
        verb(run)
    assert (changed(unnoted), unnoted.cache.docker.policy, unnoted.cache.docker.units) == ([], "no", {"R1"})
    unnoted.cache.data.with_name("away").rename(unnoted.cache.data)
    settled(run)
    assert changed(unnoted) == ["written", "compose"]


def test_nor_is_it_made_anew_where_it_goes_away_once_the_file_was_seen(unnoted: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    unnoted.kills()
    monkeypatch.setattr(compose, "make_anew", killed)
    with pytest.raises(CutError):
        settled(run)
    assert (journal(run).phase, journal(run).state["guard"]["whole"]) == ("making-anew", True)


def test_a_folder_that_a_link_leads_to_is_looked_for_on_its_own_mount(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    link = host.cache.data.with_name("link")
    link.symlink_to(host.cache.data)
    host.cache.runs["dir"] = str(link)
    monkeypatch.setattr(redis_guard.mounts, "mount_of", lambda path, _table: SimpleNamespace(mount=path))
    assert redis_guard.place_of_data(REQUEST.server()) == {"path": str(host.cache.data), "mount": str(host.cache.data)}


def test_a_way_back_that_takes_it_over_knows_where_its_data_lie(unnoted: Host, run: Run) -> None:
    earlier = run.home.run("R0")
    redis_guard.take_over(earlier, REQUEST.server())
    assert earlier.state["data"] == {"path": str(unnoted.cache.data), "mount": "/"}


# AOF goes off by hand.


@pytest.mark.parametrize("keeps", [True, False, None])
def test_that_it_goes_off_is_seen_by_the_file_that_is_there(unnoted: Host, run: Run, monkeypatch: pytest.MonkeyPatch, keeps: bool | None) -> None:
    monkeypatch.setattr(redis_rest, "keeps_file", lambda _held: keeps)
    settled(run)
    assert unnoted.cache.docker.policy == ("unless-stopped" if keeps is False else "no")


def test_a_stale_file_that_was_about_to_be_set_aside_is_no_measure(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run turned it on once more after a client had turned it off, and was killed before it had set the old one aside."""
    redis_aof.turn_on(run, REQUEST)
    host.cache.runs["appendonly"] = "no"
    monkeypatch.setattr(redis_aof, "_set_aside", killed)
    with pytest.raises(CutError):
        redis_aof.turn_on(journal(run), REQUEST)
    monkeypatch.setattr(redis_rest, "keeps_file", lambda _held: False)
    settled(run)
    host.kills()
    assert changed(host) == ["by its policy"]


# How often its unit looks.


def test_as_long_as_its_process_is_there_its_unit_asks_seldom(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    redis_aof.turn_on(run, REQUEST)
    docker, asked, slept = host.cache.docker, list[float](), list[float]()
    assert docker.held is not None
    docker.held["State"]["Pid"] = os.getpid()
    monkeypatch.setattr(redis_down, "systemctl", lambda *_, **__: asked.append(len(slept)) or "active\n")
    monkeypatch.setattr(redis_rest, "keeps_file", lambda _held: len(slept) < 30)
    monkeypatch.setattr(redis_down.time, "sleep", lambda seconds: slept.append(seconds) if len(slept) < 99 else pytest.fail("it waits on"))
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getpid()))
    assert redis_down.await_end(run, REQUEST)
    assert asked == [0, 10, 20, 30]


def test_once_its_process_is_gone_its_unit_asks_at_once(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    redis_aof.turn_on(run, REQUEST)
    docker, slept = host.cache.docker, list[float]()
    assert docker.held is not None
    docker.held["State"]["Pid"] = os.getpid()
    monkeypatch.setattr(redis_rest, "keeps_file", lambda _held: True)

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            host.kills()
            monkeypatch.setattr(redis_rest, "PROC", "/nowhere")

    monkeypatch.setattr(redis_down.time, "sleep", sleep)
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getpid()))
    assert redis_down.await_end(run, REQUEST)
    assert len(slept) == 3


# A start that fails.


def test_its_last_dump_is_kept_once_however_often_its_start_fails(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise FailedFault("cache does not start: port is already allocated")

    run.write(asked=FILED)
    redis_aof.turn_on(run, redis_aof.parse(FILED))
    host.cache.saves(b"REDIS0011 later")
    host.kills()
    with monkeypatch.context() as patched:
        patched.setattr(redis_down, "start", fails)
        for _ in range(3):
            with pytest.raises(FailedFault, match="port is already allocated"):
                settled(run)
    ends = sorted(path.name for path in host.cache.data.iterdir() if ".end" in path.name)
    assert (ends, len(journal(run).state["doubts"])) == (["dump.rdb.R1.end"], 1)
    # Whoever was killed between both had not told it.
    run.write(doubts=None)
    redis_dump.keep_of_end(run)
    assert "had somebody turned that off before it ended, dump.rdb.R1.end in" in run.state["doubts"][0]
    # One that it wrote since is another.
    host.cache.saves(b"REDIS0011 later still")
    settled(run)
    assert (host.cache.data / "dump.rdb.R1.end.2").read_bytes() == b"REDIS0011 later still"


# A start that reads the file by now.


@pytest.mark.parametrize("told", ["by its file", "by its words", "by neither"])
def test_one_whose_start_reads_it_since_the_plan_may_have_started_empty(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    assert host.cache.docker.held is not None
    if told == "by its words":
        # What else is to be persisted is in the plan as well.
        host.cache.docker.held["Args"] = ["--appendonly", "yes"]
    monkeypatch.setattr(redis_persist, "lacking", lambda *_: [] if told == "by its file" else ["it lacks them"])
    host.cache.at_set = killed
    with pytest.raises(CutError):
        redis_aof.turn_on(run, REQUEST)
    assert bool(journal(run).state["begun_in"]) is (told != "by neither")
    if told == "by neither":
        return
    host.cache.docker.ends()
    host.cache.docker.starts(SECOND)
    host.cache.at_set = lambda _name: None
    host.cache.keys.clear()
    host.cache.set("appendonly", "yes")
    with pytest.raises(FailedFault, match=r"it starts empty\. Its dump from before is kept"):
        redis_aof.turn_on(journal(run), REQUEST)
    assert kept(host.cache) == HELD


def test_the_way_back_of_one_that_may_have_started_empty_leaves_its_dump(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    host.cache.docker.starts(THIRD)
    run.write(role=redis_aof.ROLE, phase="turning-on", begun_in=SECOND, container="cache", before={})
    redis_dump.keep(REQUEST.server(), run)
    for name in ("refuse_back", "put_back"):
        monkeypatch.setattr(redis_persist, name, lambda *_: False)
    monkeypatch.setattr(redis_aof, "writes_held", redis_anew.writes_held)
    redis_aof.undo(journal(run), run.home.run("R3"), REQUEST)
    assert (journal(run).phase, kept(host.cache)) == ("undone", HELD)
