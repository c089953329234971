"""What a Redis had before AOF is turned on is kept until all is persisted, and lost keys let no run come to its end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import redis_anew, redis_aof, redis_keys, redis_live, redis_persist, redis_refuse, redis_server
from controlplane_target.docker_engine import Engine
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.redis_client import RedisError
from controlplane_target.redis_keys import Held
from controlplane_target.state import Home, Run

from tests.unit.roles.redis_docker import Docker

KEY = "R1"
HELD = b"REDIS0011\xfa\x00" + bytes(range(256)) + b"\xff"
ASKED: dict[str, Any] = {"container": "cache", "settings": {"appendonly": "yes"}, "persist": [], "route": "compose", "file": "", "port": 6379}
PERSISTED: dict[str, Any] = {**ASKED, "persist": ["appendonly"]}
KEYS: dict[bytes, Held] = {b"a": Held(b"1", -1, 900), b"b": Held(b"2", -1, 900), b"c": Held(b"3", -1, 900)}


class Cache:
    """A Redis with a data folder on this disk; `at_set` is called with each setting before it takes effect."""

    docker: Docker

    def __init__(self, data: Path) -> None:
        self.data, self.keys = data, dict(KEYS)
        self.runs = {"dir": str(data), "appenddirname": "appendonlydir", "appendfilename": "appendonly.aof", "dbfilename": "dump.rdb"}
        self.runs |= {"appendonly": "no", "appendfsync": "everysec", "save": "60 1"}
        self.at_set: Callable[[str], object] = lambda _name: None
        self.status, self.served = "ok", {"cmdstat_get": "calls=9,usec=9"}
        self.users = ["user default on nopass ~* &* +@all"]
        (data / "dump.rdb").write_bytes(HELD)

    def saves(self, content: bytes) -> None:
        """Write the dump anew as Redis does: under another name first."""
        (self.data / "temp-1.rdb").write_bytes(content)
        (self.data / "temp-1.rdb").replace(self.data / "dump.rdb")

    def settings(self, names: Sequence[str]) -> dict[str, str]:
        return dict(self.runs) if list(names) == ["*"] else {name: self.runs[name] for name in names if name in self.runs}

    def set(self, name: str, value: str) -> None:
        self.at_set(name)
        self.runs[name] = value
        if (name, value) == ("appendonly", "yes"):
            (self.data / "appendonlydir").mkdir()
            (self.data / "appendonlydir/appendonly.aof.manifest").write_text("file appendonly.aof.1.base.rdb seq 1 type b\n")

    def info(self, section: str) -> dict[str, str]:
        told = {
            "persistence": {
                "loading": "0",
                "aof_rewrite_in_progress": "0",
                "aof_rewrite_scheduled": "0",
                "aof_last_bgrewrite_status": self.status,
            },
            "keyspace": {"db0": f"keys={len(self.keys)},expires=0"} if self.keys else {},
            "server": {"uptime_in_seconds": "100"},
            "commandstats": self.served,
        }
        return told.get(section, {})

    def ask(self, *words: str) -> Any:
        return [line.encode() for line in self.users] if words == ("ACL", "LIST") else [b"1000", b"0"]

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """Return the server of the container `cache`."""
    (tmp_path / "data").mkdir()
    made = Cache(tmp_path / "data")
    server = object.__new__(redis_server.Server)
    server.name, server.redis, server.pid = "cache", made, os.getpid()  # type: ignore[assignment]
    server.engine = Engine()
    made.docker = Docker(str(tmp_path / "data"))
    made.docker.install(monkeypatch)

    def connected(_request: redis_aof.Request) -> redis_server.Server:
        if made.docker.held is None or not made.docker.state["Running"]:
            raise RefusedFault("cache does not run")
        server.inspection = made.docker.held
        return server

    monkeypatch.setattr(redis_aof.Request, "server", connected)
    monkeypatch.setattr(redis_keys, "table", lambda redis, limit_s=0.0: {0: dict(redis.keys)})  # noqa: ARG005 - as it is called
    return made


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Home(tmp_path / "home").run(KEY)


def kept(cache: Cache) -> bytes | None:
    """Return what is kept aside under the run's key."""
    path = cache.data / f"dump.rdb.{KEY}"
    return path.read_bytes() if path.exists() else None


def journal(run: Run) -> Run:
    """Return the run as the next process reads it."""
    return run.home.run(run.key)


def test_the_dump_is_kept_byte_for_byte_before_anything_is_set_and_gone_once_it_is_persisted(cache: Cache, run: Run) -> None:
    seen: list[tuple[str, str, bytes | None]] = []
    cache.at_set = lambda name: seen.append((name, journal(run).phase, kept(cache)))
    request = redis_aof.parse(ASKED)
    assert redis_aof.turn_on(run, request) == {"changed": True}
    assert seen == [("appendonly", "turning-on", HELD)]
    # Its next save replaces the dump, be it by one of nothing.
    cache.saves(b"REDIS0011 nothing")
    assert (journal(run).phase, kept(cache)) == ("on", HELD)
    assert redis_aof.persist(run, request)["changed"] is False
    assert (journal(run).phase, kept(cache)) == ("done", None)
    assert (cache.data / "dump.rdb").read_bytes() == b"REDIS0011 nothing"
    assert redis_aof.prove(journal(run), request)["told"]["container"] == "cache"


def test_it_is_kept_where_the_server_takes_no_setting_and_the_run_goes_on_with_the_first(cache: Cache, run: Run) -> None:
    def refused(_name: str) -> None:
        raise RedisError("ERR Unable to turn on AOF")

    cache.at_set = refused
    request = redis_aof.parse(ASKED)
    told = r"cache serves on, and does not take appendonly yes \(ERR Unable to turn on AOF\): look at its log .* the room .*Go back: .*R1/undo"
    with pytest.raises(FailedFault, match=told):
        redis_aof.turn_on(run, request)
    assert (journal(run).phase, kept(cache)) == ("turning-on", HELD)
    cache.saves(b"REDIS0011 later")
    cache.at_set = lambda _name: None
    again = journal(run)
    redis_aof.turn_on(again, request)
    assert (journal(run).phase, kept(cache)) == ("on", HELD)
    redis_aof.persist(again, request)
    assert kept(cache) is None


def test_it_is_kept_where_the_append_only_file_could_not_be_written(cache: Cache, run: Run) -> None:
    cache.status = "err"
    request = redis_aof.parse(ASKED)
    for verb in (redis_aof.turn_on, redis_aof.persist):
        cache.runs["appendonly"] = "no"
        with pytest.raises(FailedFault, match="could not write its append-only file"):
            verb(journal(run), request)
        assert (journal(run).phase, kept(cache)) == ("turning-on", HELD)


def test_it_is_kept_where_the_settings_could_not_be_persisted(cache: Cache, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(*_: Any) -> bool:
        raise FailedFault("compose.yml was changed by somebody")

    monkeypatch.setattr(redis_persist, "write", changed)
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    with pytest.raises(FailedFault, match="changed by somebody"):
        redis_aof.persist(run, request)
    assert (journal(run).phase, kept(cache)) == ("on", HELD)


def test_where_there_is_no_dump_there_is_none_to_keep_and_where_all_runs_as_asked_none_is_needed(cache: Cache, run: Run) -> None:
    (cache.data / "dump.rdb").unlink()
    redis_aof.turn_on(run, redis_aof.parse(ASKED))
    assert (journal(run).phase, kept(cache)) == ("on", None)
    cache.saves(HELD)
    redis_aof.turn_on(run.home.run("R2"), redis_aof.parse(ASKED))
    assert sorted(path.name for path in cache.data.iterdir()) == ["appendonlydir", "dump.rdb"]


def test_a_run_without_a_dump_comes_to_its_end(cache: Cache, run: Run) -> None:
    (cache.data / "dump.rdb").unlink()
    redis_aof.turn_on(run, redis_aof.parse(ASKED))
    redis_aof.persist(run, redis_aof.parse(ASKED))
    assert journal(run).phase == "done"


# Keys that are gone once the container was made anew.


@pytest.fixture
def anew(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Let the container be made anew from files that carry the settings; a function does what happens to the keys meanwhile."""
    told = {"already": False}

    def begin(happens: Callable[[], object]) -> None:
        @contextmanager
        def held(_redis: Any) -> Iterator[None]:
            yield

        def brought_up(*_: Any) -> None:
            told["already"] = True
            happens()

        monkeypatch.setattr(redis_anew, "writes_held", held)
        monkeypatch.setattr(redis_anew, "bring_up", brought_up)
        monkeypatch.setattr(redis_anew, "answering", lambda request: request.server())
        monkeypatch.setattr(redis_persist, "is_told", lambda *_: told["already"])
        monkeypatch.setattr(redis_persist, "write", lambda *_: True)
        monkeypatch.setattr(redis_persist, "assert_as_written", lambda _run: None)

    assert cache.keys == KEYS
    return begin


def no_server(_request: redis_aof.Request) -> redis_server.Server:
    raise AssertionError("the server is not even asked")


LOST = r"1 keys of cache are gone or differ since it was made anew, and no client explains it; .*state\.json names some\. .*Go back: .*R1/undo"


def test_with_every_key_there_the_run_ends_and_is_proven(cache: Cache, run: Run, anew: Callable[[Callable[[], object]], None]) -> None:
    anew(lambda: None)
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    assert redis_aof.persist(run, request)["changed"] is True
    assert (journal(run).phase, kept(cache)) == ("done", None)
    keys = redis_aof.prove(journal(run), request)["told"]["keys"]
    assert (keys["before"], keys["equal"], keys["lost"]) == (3, 3, 0)


@pytest.mark.parametrize(
    "happens",
    [
        lambda keys: keys.pop(b"b"),
        lambda keys: keys.update({b"b": Held(b"other", -1, 900)}),
        lambda keys: keys.update({b"b": Held(b"2", 5_000_000, 900)}),
    ],
    ids=["gone", "of another value", "of another expiry"],
)
def test_a_key_that_is_lost_meanwhile_ends_no_run_however_often_it_is_tried(
    cache: Cache,
    run: Run,
    anew: Callable[[Callable[[], object]], None],
    monkeypatch: pytest.MonkeyPatch,
    happens: Callable[[dict[bytes, Held]], object],
) -> None:
    anew(lambda: happens(cache.keys))
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    with pytest.raises(FailedFault, match=LOST):
        redis_aof.persist(run, request)
    assert (journal(run).phase, kept(cache)) == ("making-anew", HELD)
    assert (journal(run).state["keys"]["lost"], journal(run).state["keys"]["names"]) == (1, ["db0 b"])
    # What was lost stays lost, also where somebody wrote the key again.
    cache.keys = dict(KEYS)
    monkeypatch.setattr(redis_aof.Request, "server", no_server)
    for verb in (redis_aof.persist, redis_aof.prove):
        with pytest.raises(FailedFault, match=LOST):
            verb(journal(run), request)
    assert (journal(run).phase, kept(cache)) == ("making-anew", HELD)


@pytest.mark.parametrize(("gone", "stays"), [(9, False), (10, True)])
def test_where_many_keys_are_gone_the_run_ends_and_the_dump_stays_also_after_a_way_back(
    cache: Cache, run: Run, anew: Callable[[Callable[[], object]], None], monkeypatch: pytest.MonkeyPatch, gone: int, stays: bool
) -> None:
    cache.keys.update({b"%d" % number: Held(b"x", -1, 900) for number in range(gone)})

    def removed() -> None:
        cache.served["cmdstat_expire"] = "calls=1000,usec=9"
        cache.keys = dict(KEYS)

    anew(removed)
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    assert redis_aof.persist(run, request)["changed"] is True
    assert (journal(run).phase, journal(run).state["keys"]["gone"], kept(cache)) == ("done", gone, HELD if stays else None)
    monkeypatch.setattr(redis_persist, "lacking", lambda *_: [])
    assert redis_aof.prove(journal(run), request)["told"].get("dump_kept", False) is stays
    # Going back compares once more, and loses nothing.
    monkeypatch.setattr(redis_server.Server, "await_saved", lambda *_: None)
    for module, name in (
        (redis_persist, "refuse_back"),
        (redis_persist, "put_back"),
        (redis_aof, "_refuse_unless_running"),
        (redis_aof, "_set_back"),
    ):
        monkeypatch.setattr(module, name, lambda *_: False)
    redis_aof.undo(run, run, request)
    assert (journal(run).phase, journal(run).state["keys"]["gone"], kept(cache)) == ("undone", 0, HELD if stays else None)


def test_the_names_of_lost_keys_stay_on_the_host(cache: Cache, run: Run) -> None:
    run.write(role="redis_aof", phase="done", keys={"before": 3, "equal": 3, "lost": 0, "names": ["db0 somebody@example.org"]})
    cache.runs["appendonly"] = "yes"
    (cache.data / "appendonlydir").mkdir()
    (cache.data / "appendonlydir/appendonly.aof.manifest").write_text("x")
    assert redis_aof.prove(run, redis_aof.parse(ASKED))["told"]["keys"] == {"before": 3, "equal": 3, "lost": 0}


@pytest.mark.parametrize(("there", "lost"), [(3, 0), (4, 0), (2, 1), (0, 3)])
def test_a_run_that_was_cut_off_before_its_keys_were_compared_goes_by_their_number(
    cache: Cache, run: Run, anew: Callable[[Callable[[], object]], None], monkeypatch: pytest.MonkeyPatch, there: int, lost: int
) -> None:
    anew(lambda: None)
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    monkeypatch.setattr(redis_persist, "is_told", lambda *_: True)
    run.write(phase="making-anew", counts={"0": 3}, keys=None)
    cache.keys = {b"%d" % number: Held(b"x", -1, 0) for number in range(there)}
    if lost:
        with pytest.raises(FailedFault, match=f"{lost} keys of cache are gone"):
            redis_aof.persist(journal(run), request)
        with pytest.raises(FailedFault, match=f"{lost} keys of cache are gone"):
            redis_aof.prove(journal(run), request)
    else:
        redis_aof.persist(journal(run), request)
    assert (journal(run).phase, kept(cache)) == (("making-anew", HELD) if lost else ("done", None))


@pytest.mark.parametrize("keys", [None, {}, {"lost": 0}])
def test_a_journal_without_a_lost_key_is_no_reason_to_refuse(run: Run, keys: dict[str, Any] | None) -> None:
    run.write(keys=keys)
    redis_anew.refuse_lost(run, redis_aof.parse(ASKED))


def test_what_was_compared_is_in_the_journal_before_a_loss_is_told(cache: Cache, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_anew, "answering", lambda request: request.server())
    run.write(counts={"0": 3})
    cache.keys = {}
    with pytest.raises(FailedFault, match="3 keys of cache are gone"):
        redis_anew.judge(run, redis_aof.parse(ASKED), {0: dict(KEYS)})
    told = journal(run).state["keys"]
    assert (told["before"], told["lost"], told["names"]) == (3, 3, ["db0 a", "db0 b", "db0 c"])


@pytest.mark.parametrize("lost", [0, 1])
def test_a_way_back_clears_it_away_but_where_keys_were_lost(cache: Cache, run: Run, monkeypatch: pytest.MonkeyPatch, lost: int) -> None:
    redis_aof.turn_on(run, redis_aof.parse(ASKED))
    run.write(role="redis_aof", keys={"lost": lost})
    for module, name in ((redis_persist, "refuse_back"), (redis_aof, "_refuse_unless_running")):
        monkeypatch.setattr(module, name, lambda *_: None)
    monkeypatch.setattr(redis_aof, "_set_back", lambda *_: True)
    assert redis_aof.undo(run, run, redis_aof.parse(ASKED))["changed"] is True
    assert (journal(run).phase, kept(cache)) == ("undone", HELD if lost else None)


# Settings and users that it has only while it runs.

OPS = "user ops on #ab ~* &* +@all"
FORGETS = "cache was left as it is, and goes on with what runs: its ACL user ops is in nothing that a start reads"


def test_nothing_is_written_and_nothing_stopped_where_a_user_would_be_forgotten(
    cache: Cache, run: Run, anew: Callable[[Callable[[], object]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    anew(lambda: pytest.fail("it was made anew"))
    monkeypatch.setattr(redis_persist, "write", lambda *_: pytest.fail("it was written"))
    cache.users.append(OPS)
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    with pytest.raises(FailedFault, match=f"{FORGETS}.*Then run this again"):
        redis_aof.persist(run, request)
    assert journal(run).phase == "on"


@pytest.mark.parametrize("is_anew", [True, False])
def test_it_is_refused_before_anything_changes_but_only_where_it_is_made_anew(cache: Cache, monkeypatch: pytest.MonkeyPatch, is_anew: bool) -> None:
    cache.users.append(OPS)
    monkeypatch.setattr(redis_refuse, "_objections", lambda _server: [])
    monkeypatch.setattr(redis_persist, "planned", lambda *_: {"path": "compose.yml", "anew": is_anew})
    if is_anew:
        with pytest.raises(RefusedFault, match=r"redis_aof refused for cache: its ACL user ops .*Nothing was changed\."):
            redis_refuse.refuse(redis_aof.parse(PERSISTED))
    else:
        assert redis_refuse.refuse(redis_aof.parse(PERSISTED))["pending"] is True


def test_no_way_back_is_begun_where_a_user_would_be_forgotten(
    cache: Cache, run: Run, anew: Callable[[Callable[[], object]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    anew(lambda: None)
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    redis_aof.persist(run, request)
    for module, name in ((redis_persist, "refuse_back"), (redis_aof, "_refuse_unless_running")):
        monkeypatch.setattr(module, name, lambda *_: None)
    monkeypatch.setattr(redis_persist, "put_back", lambda *_: pytest.fail("it was put back"))
    run.write(role="redis_aof")
    cache.users.append(OPS)
    with pytest.raises(FailedFault, match=FORGETS):
        redis_aof.undo(run, run, request)


def test_what_it_forgot_all_the_same_is_told_by_name_in_the_result_and_no_digest_stays(
    cache: Cache, run: Run, anew: Callable[[Callable[[], object]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgets() -> None:
        assert set(journal(run).state["live"]["users"]) == {"default", "ops"}
        cache.users.pop()
        cache.runs["loglevel"] = "notice"

    anew(forgets)
    cache.users.append(OPS)
    cache.runs["loglevel"] = "debug"
    monkeypatch.setattr(redis_live, "forgotten", lambda *_, **__: [])
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    redis_aof.persist(run, request)
    assert journal(run).state["live"] is None
    monkeypatch.setattr(redis_persist, "lacking", lambda *_: [])
    told = redis_aof.prove(journal(run), request)["told"]
    assert told["forgotten"] == {"users": ["ops"], "settings": ["loglevel"]}


def test_what_a_way_back_forgot_is_told_as_well_without_what_it_set_itself(
    cache: Cache, run: Run, anew: Callable[[Callable[[], object]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    anew(lambda: None)
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    redis_aof.persist(run, request)
    run.write(role="redis_aof")
    cache.runs["loglevel"] = "debug"
    anew(lambda: cache.runs.update(loglevel="notice", save="1 1", appendonly="no"))
    monkeypatch.setattr(redis_server.Server, "await_saved", lambda *_: None)
    for module, name in (
        (redis_persist, "refuse_back"),
        (redis_persist, "put_back"),
        (redis_aof, "_refuse_unless_running"),
        (redis_aof, "_set_back"),
    ):
        monkeypatch.setattr(module, name, lambda *_: False)
    assert redis_aof.undo(run, run, request)["told"] == {"container": "cache", "forgotten": {"settings": ["loglevel"]}}


def test_what_a_way_back_that_was_cut_off_forgot_is_told_by_the_one_that_ends_it(cache: Cache, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.runs["loglevel"] = "debug"
    note = redis_live.noted(cache)  # type: ignore[arg-type]
    run.write(role="redis_aof", phase="undoing-anew", live=note)
    cache.runs["loglevel"] = "notice"
    for module, name in (
        (redis_persist, "refuse_back"),
        (redis_persist, "put_back"),
        (redis_aof, "_refuse_unless_running"),
        (redis_aof, "_set_back"),
    ):
        monkeypatch.setattr(module, name, lambda *_: False)
    assert redis_aof.undo(run, run, redis_aof.parse(PERSISTED))["told"] == {"container": "cache", "forgotten": {"settings": ["loglevel"]}}
    assert journal(run).state["live"] is None


# How often the dump is written.

UNSAVED: dict[str, Any] = {**ASKED, "settings": {"appendonly": "yes", "save": ""}, "persist": ["appendonly", "save"]}


def test_the_dump_is_written_as_often_as_before_until_a_new_container_reads_the_file(
    cache: Cache, run: Run, anew: Callable[[Callable[[], object]], None]
) -> None:
    anew(lambda: cache.runs.update(save=""))
    cache.at_set = lambda name: pytest.fail("save was set") if name == "save" else None
    request = redis_aof.parse(UNSAVED)
    redis_aof.turn_on(run, request)
    assert (cache.runs["save"], journal(run).phase) == ("60 1", "on")
    redis_aof.persist(run, request)
    assert (journal(run).phase, journal(run).state["before"]["save"], journal(run).state["after"]["save"]) == ("done", "60 1", "")


@pytest.mark.parametrize("asked", [UNSAVED, {**UNSAVED, "settings": {"save": ""}, "persist": ["save"]}], ids=["with AOF", "alone"])
def test_the_dump_is_written_as_often_as_before_until_the_configuration_file_is(
    cache: Cache, run: Run, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    order: list[str] = []
    cache.at_set = order.append
    monkeypatch.setattr(redis_persist, "lacking", lambda *_: [] if "file" in order else ["it lacks them"])
    monkeypatch.setattr(redis_persist, "write", lambda *_: order.append("file") or True)
    request = redis_aof.parse({**asked, "route": "file", "file": "/etc/redis.conf"})
    redis_aof.turn_on(run, request)
    assert (cache.runs["save"], kept(cache)) == ("60 1", HELD)
    assert redis_aof.persist(run, request)["changed"] is True
    assert order == [*(["appendonly"] if "appendonly" in asked["settings"] else []), "file", "save"]
    assert (cache.runs["save"], journal(run).phase, journal(run).state["before"]["save"]) == ("", "done", "60 1")


def test_where_all_is_persisted_it_is_set_at_once(cache: Cache, run: Run) -> None:
    redis_aof.turn_on(run, redis_aof.parse({**UNSAVED, "persist": []}))
    assert cache.runs["save"] == ""


def test_the_dump_is_kept_as_well_where_only_persisting_is_left(cache: Cache, run: Run) -> None:
    cache.set("appendonly", "yes")
    assert redis_aof.turn_on(run, redis_aof.parse(PERSISTED)) == {"changed": False}
    assert kept(cache) == HELD
