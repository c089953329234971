"""Names that a Redis reports, and files that a container shows, lead nowhere else; what is taken gets another name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import inside, redis_server
from controlplane_target.faults import FailedFault, RefusedFault


class _Redis:
    """What it says of its persistence is told in turn; the last goes on for ever."""

    says: list[dict[str, str]]
    heard = 0

    def __init__(self, **named: str) -> None:
        self._named = {"appenddirname": "appendonlydir", "appendfilename": "appendonly.aof", "dbfilename": "dump.rdb", **named}

    def settings(self, names: list[str]) -> dict[str, str]:
        return {name: self._named[name] for name in names}

    def info(self, section: str) -> dict[str, str]:
        assert section == "persistence"
        self.heard += 1
        return self.says[min(self.heard, len(self.says)) - 1]


def server(redis: Any, mounts: list[dict[str, Any]] | None = None) -> redis_server.Server:
    made = object.__new__(redis_server.Server)
    made.name, made.redis, made.inspection, made.pid = "cache", redis, {"Mounts": mounts or []}, os.getpid()
    return made


@pytest.mark.parametrize("setting", ["appenddirname", "appendfilename", "dbfilename"])
@pytest.mark.parametrize("name", ["", ".", "..", "../x", "evil/shadow", "/etc/shadow", "a\0b"])
def test_a_name_that_leads_elsewhere_is_refused(setting: str, name: str) -> None:
    with pytest.raises(FailedFault, match=f"cache names its {setting} .*, which is no plain name"):
        server(_Redis(**{setting: name})).names()


def test_plain_names_are_taken_as_they_are() -> None:
    assert server(_Redis(dbfilename="my dump.rdb")).names()["dbfilename"] == "my dump.rdb"


def test_a_path_lies_on_the_mount_that_covers_it_best_and_in_no_layer() -> None:
    mounts = [
        {"Type": "volume", "Source": "/var/lib/docker/volumes/data/_data", "Destination": "/data"},
        {"Type": "bind", "Source": "/srv/redis.conf", "Destination": "/data/redis.conf"},
        {"Type": "tmpfs", "Source": "", "Destination": "/run"},
    ]
    held = server(_Redis(), mounts)
    assert held.place_of("/data/sub/x") == "/var/lib/docker/volumes/data/_data/sub/x"
    assert held.place_of("/data/redis.conf") == "/srv/redis.conf"
    for path in ("/etc/redis.conf", "/run/x", "/database"):
        with pytest.raises(RefusedFault, match="lies in its own layer"):
            held.place_of(path)


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        assert redis_server.free_name(folder, "aside") == "aside"
        (tmp_path / "aside").mkdir()
        (tmp_path / "aside.2").symlink_to("nowhere")
        assert redis_server.free_name(folder, "aside") == "aside.3"
    finally:
        os.close(folder)


def test_only_plain_files_are_opened_and_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    with inside.opened_plainly(str(tmp_path / "file")) as held:
        assert os.read(held, 9) == b"text"
    with pytest.raises(OSError, match="symbolic links"), inside.opened_plainly(str(tmp_path / "link")):
        pass
    with pytest.raises(FailedFault, match="pipe is no plain file"), inside.opened_plainly(str(tmp_path / "pipe"), os.O_RDWR):
        pass


DONE = {"aof_rewrite_in_progress": "0", "aof_rewrite_scheduled": "0", "aof_last_bgrewrite_status": "ok"}


class _Clock:
    """Time that passes only while somebody waits; `then` is called each time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.then: Callable[[], object] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.then()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    """Return the clock by which the server is waited for."""
    made = _Clock()
    monkeypatch.setattr(redis_server, "time", made)
    return made


def saying(data: Path, *says: dict[str, str]) -> tuple[_Redis, redis_server.Server]:
    redis = _Redis(dir=str(data))
    redis.says = list(says)
    return redis, server(redis)


def written(data: Path, text: str = "file appendonly.aof.1.base.rdb seq 1 type b\n") -> None:
    (data / "appendonlydir").mkdir(exist_ok=True)
    (data / "appendonlydir/appendonly.aof.manifest").write_text(text)


def test_an_append_only_file_is_waited_for_until_nothing_works_on_it_and_it_is_on_disk(tmp_path: Path, clock: _Clock) -> None:
    """The status reads ok all the time: it is that of the rewrite before."""
    redis, made = saying(tmp_path, {**DONE, "aof_rewrite_in_progress": "1"}, {**DONE, "aof_rewrite_scheduled": "1"}, DONE, DONE)
    clock.then = lambda: written(tmp_path) if redis.heard == 3 else None
    made.await_file(60)
    assert redis.heard == 4


@pytest.mark.parametrize(
    ("says", "on_disk"),
    [
        ({**DONE, "aof_rewrite_in_progress": "1"}, "file"),
        ({**DONE, "aof_rewrite_scheduled": "1"}, "file"),
        ({"aof_last_bgrewrite_status": "ok"}, "file"),
        # The status of one that still works is none.
        ({**DONE, "aof_rewrite_in_progress": "1", "aof_last_bgrewrite_status": "err"}, "file"),
        (DONE, None),
        (DONE, ""),
    ],
    ids=["it works on it", "it will work on it", "it does not say", "it works on it after one that failed", "no manifest", "an empty manifest"],
)
def test_each_sign_alone_that_it_is_not_there_yet_is_waited_out_to_the_limit(
    tmp_path: Path, clock: _Clock, says: dict[str, str], on_disk: str | None
) -> None:
    if on_disk is not None:
        written(tmp_path, on_disk)
    redis, made = saying(tmp_path, says)
    with pytest.raises(FailedFault, match="cache still writes its first append-only file after 5 s; it goes on by itself"):
        made.await_file(5)
    assert 5 < clock.now < 6
    assert redis.heard > 40
    assert made.has_manifest() is (on_disk == "file")


def test_one_that_could_not_be_written_is_a_fault_at_once_whatever_lies_on_disk(tmp_path: Path, clock: _Clock) -> None:
    written(tmp_path)
    redis, made = saying(tmp_path, {**DONE, "aof_rewrite_in_progress": "1"}, {**DONE, "aof_last_bgrewrite_status": "err"})
    with pytest.raises(FailedFault, match="cache could not write its append-only file: look at its log"):
        made.await_file(60)
    assert (redis.heard, clock.now < 1) == (2, True)


@pytest.mark.parametrize(
    "what", ["a file of Redis 6", "a link to a folder", "a folder with nothing in it", "a link for a manifest", "a file by the folder's name"]
)
def test_what_is_no_manifest_in_a_folder_of_its_own_is_no_append_only_file(tmp_path: Path, what: str) -> None:
    _, made = saying(tmp_path, DONE)
    folder = tmp_path / "appendonlydir"
    if what == "a file of Redis 6":
        # It is refused before (redis_aof), and its file is set aside: what turned AOF on here writes a folder.
        (tmp_path / "appendonly.aof").write_text("*1")
        assert made.aof_names() == ["appendonly.aof"]
    elif what == "a link to a folder":
        written(tmp_path)
        folder.rename(tmp_path / "other")
        folder.symlink_to("other")
    elif what == "a folder with nothing in it":
        folder.mkdir()
    elif what == "a link for a manifest":
        folder.mkdir()
        (folder / "appendonly.aof.manifest").symlink_to("somewhere")
    else:
        folder.write_text("x")
    assert made.has_manifest() is False


class _Limited:
    """A Redis whose user may run all but what lists consumer groups."""

    def text(self, *words: str) -> str:
        return "ops" if words == ("ACL", "WHOAMI") else "no permissions" if words[3:5] == ("XINFO", "GROUPS") else "OK"


def test_a_user_who_may_not_ask_for_consumer_groups_is_told_so() -> None:
    assert server(_Limited()).lacking_rights() == ["XINFO GROUPS"]


@pytest.mark.usefixtures("clock")
def test_a_dump_that_it_began_by_itself_meanwhile_is_waited_for(tmp_path: Path) -> None:
    busy, quiet = {**DONE, "rdb_bgsave_in_progress": "1"}, {**DONE, "rdb_bgsave_in_progress": "0", "rdb_last_bgsave_status": "ok"}
    redis, held = saying(tmp_path, quiet, busy, busy, quiet)
    asked: list[str] = []

    def ask(word: str) -> int:
        asked.append(word)
        if asked == ["LASTSAVE", "BGSAVE"]:
            raise redis_server.RedisError("ERR Background save already in progress")
        return len(asked)

    redis.ask = ask  # type: ignore[attr-defined]
    held.await_saved(60)
    assert asked == ["LASTSAVE", "BGSAVE", "BGSAVE", "LASTSAVE"]
    assert redis.heard >= 4
