"""What of a Redis a stop would cost, told by its process alone: no password, no word to the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from controlplane_target import redis_rest, root_refusals, stack_look
from controlplane_target.faults import FailedFault
from controlplane_target.stack_containers import of_project

GROUP = "/system.slice/docker-abc.scope"
OFF = "AOF is off while it runs and on at its next start, which would load nothing, or what is stale"
ON = "AOF is on while it runs and off at its next start, which would load its last dump"


class Host:
    """A /proc of a few processes, and the files of one container."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.proc, self.files = folder / "proc", dict[str, bytes]()
        self.proc.mkdir()
        monkeypatch.setattr(redis_rest, "PROC", str(self.proc))
        self.process(10, "docker-entrypoi", parent=1)

    def process(self, pid: int, comm: str, *, parent: int, group: str = GROUP, opened: tuple[str, ...] = ()) -> None:
        place = self.proc / str(pid)
        (place / "fd").mkdir(parents=True)
        (place / "comm").write_text(f"{comm}\n")
        (place / "stat").write_text(f"{pid} ({comm}) S {parent} 1 1 0")
        (place / "cgroup").write_text(f"0::{group}\n")
        for number, name in enumerate(("socket:[7]", "/dev/null", *opened)):
            (place / "fd" / str(number)).symlink_to(name)

    def read(self, _pid: int, path: str) -> bytes:
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]

    def lost(self, *words: str) -> str | None:
        [server] = redis_rest.servers([container(*words)])
        return redis_rest.lost_by_start(server, list(words), read=self.read)


def container(*words: str, **state: Any) -> dict[str, Any]:
    return {
        "Id": "abc",
        "Name": "/cache",
        "Path": words[0] if words else "redis-server",
        "Args": list(words[1:]),
        "Config": {"WorkingDir": "/data", "Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "cache"}, "Image": "redis"},
        "Image": "sha256:1",
        "State": {"Running": True, "Pid": 10, **state},
        "Mounts": [],
    }


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("words", "files", "without", "with_file"),
    [
        (("redis-server",), {}, None, ON),
        (("redis-server", "--appendonly", "yes"), {}, OFF, None),
        (("redis-server", "--appendonly yes"), {}, OFF, None),
        (("redis-server", "--appendonly", "yes", "--appendonly", "no"), {}, None, ON),
        (("docker-entrypoint.sh", "redis-server", "/etc/redis.conf"), {"/etc/redis.conf": b"appendonly yes\n"}, OFF, None),
        (("redis-server", "redis.conf"), {"/data/redis.conf": b'appendonly no\n  AppendOnly "yes"\n# appendonly no\n'}, OFF, None),
        (("redis-server", "/etc/redis.conf", "--appendonly", "no"), {"/etc/redis.conf": b"appendonly yes\n"}, None, ON),
        (("valkey-server", "/c.conf"), {"/c.conf": b"include /d.conf\nsave 60 1\n", "/d.conf": b"appendonly yes\n"}, OFF, None),
        (("valkey-server", "/c.conf"), {"/c.conf": b"include /d.conf\nappendonly no\n", "/d.conf": b"appendonly yes\n"}, None, ON),
        # What can't be read may say anything; what an image's own script starts with is not known.
        (("redis-server", "/gone.conf"), {}, OFF, None),
        (("docker-entrypoint.sh", "/gone.conf"), {}, OFF, None),
        (("/opt/run.sh",), {}, None, None),
        (("sh", "-c", "exec redis-server --appendonly yes"), {}, OFF, None),
    ],
)
def test_what_it_starts_with_is_held_against_what_it_has_open(
    host: Host, words: tuple[str, ...], files: dict[str, bytes], without: str | None, with_file: str | None
) -> None:
    host.files = files
    host.process(11, "redis-server", parent=10)
    told = host.lost(*words)
    assert (told or "").startswith(f"cache: {without}") if without else told is None
    host.process(12, "redis-server", parent=11, opened=("/data/temp-3.rdb",))
    (host.proc / "11" / "fd" / "9").symlink_to("/data/appendonlydir/appendonly.aof.1.incr.aof")
    told = host.lost(*words)
    assert (told or "").startswith(f"cache: {with_file}") if with_file else told is None


def test_whether_it_has_a_file_open_is_said_only_of_one_that_has_anything_open(host: Host) -> None:
    """One that ends has let go of all of it before Docker sees its end."""
    assert redis_rest.keeps_file(container()) is None
    host.process(11, "redis-server", parent=10)
    assert redis_rest.keeps_file(container()) is False
    (host.proc / "11" / "fd" / "9").symlink_to("/data/appendonlydir/appendonly.aof.1.incr.aof")
    assert redis_rest.keeps_file(container()) is True
    for name in (host.proc / "11" / "fd").iterdir():
        name.unlink()
    assert redis_rest.keeps_file(container()) is None


def test_processes_of_others_and_other_programs_are_nobodys_server(host: Host) -> None:
    host.process(11, "redis-server", parent=1, group="/system.slice/docker-abcdef.scope")
    host.process(12, "redis-sentinel", parent=10)
    host.process(13, "redis-server", parent=1, group="/")
    assert redis_rest.servers([container()]) == []
    assert redis_rest.servers([container(Running=False, Pid=0)]) == []


def test_a_group_of_its_own_within_the_container_counts(host: Host) -> None:
    host.process(11, "redis-server", parent=10, group=f"{GROUP}/init")
    assert [server.pid for server in redis_rest.servers([container()])] == [11]


def test_the_first_file_is_waited_for_and_so_is_a_rewrite_that_a_child_does(host: Host) -> None:
    host.process(11, "redis-server", parent=10, opened=("/data/appendonlydir/temp-appendonly.aof.incr",))
    looks = list[int]()

    def look() -> list[dict[str, Any]]:
        looks.append(1)
        if len(looks) == 2:
            (host.proc / "11" / "fd" / "2").unlink()
            (host.proc / "11" / "fd" / "2").symlink_to("/data/appendonlydir/appendonly.aof.1.incr.aof")
            host.process(12, "redis-server", parent=11, opened=("/data/temp-rewriteaof-20.aof",))
        if len(looks) == 3:
            (host.proc / "12" / "fd" / "2").unlink()
        return [container()]

    redis_rest.await_rest(look, 30)
    assert len(looks) == 3


def test_what_a_killed_one_left_behind_is_not_waited_for(host: Host, tmp_path: Path) -> None:
    (tmp_path / "temp-rewriteaof-7.aof").touch()
    host.process(11, "redis-server", parent=10, opened=("/data/appendonlydir/appendonly.aof.1.incr.aof",))
    (host.proc / "11" / "cwd").symlink_to(tmp_path)
    assert redis_rest.writing([container()]) == []


def test_one_that_does_not_end_its_writing_is_not_stopped(host: Host) -> None:
    host.process(11, "redis-server", parent=10, opened=("/data/temp-rewriteaof-20.aof",))
    with pytest.raises(FailedFault, match=r"cache still writes its append-only file after 0 s, .*Nothing was stopped"):
        redis_rest.await_rest(lambda: [container()], 0)


def test_who_waits_can_be_told_to_stop(host: Host) -> None:
    host.process(11, "redis-server", parent=10, opened=("/data/temp-rewriteaof-20.aof",))

    def check() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        redis_rest.await_rest(lambda: [container()], 30, check)


def test_a_move_of_docker_s_root_is_refused_with_it(host: Host) -> None:
    host.process(11, "redis-server", parent=10)
    held = {**container("redis-server", "--appendonly", "yes"), "HostConfig": {}}
    [told] = root_refusals.of_the_running([held])
    assert told.startswith(f"cache: {OFF}")


class Images:
    """An engine that knows one image."""

    def call(self, _method: str, _target: str) -> tuple[int, Any]:
        return 200, {"Config": {"Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["redis-server"]}}


@pytest.mark.parametrize(
    ("service", "told"),
    [
        ({}, False),
        ({"command": ["redis-server", "--appendonly", "yes"]}, True),
        ({"command": ["--appendonly", "yes"]}, True),
        ({"entrypoint": ["redis-server"], "command": ["--appendonly", "no"]}, False),
    ],
)
def test_a_release_that_turns_it_on_by_a_start_is_refused(host: Host, service: dict[str, Any], *, told: bool) -> None:
    host.process(11, "redis-server", parent=10)
    own = of_project([container("docker-entrypoint.sh", "redis-server")], "shop")
    found = stack_look._of_redis(Images(), own, {"services": {"cache": service}}, {"cache": "redis@sha256:1"})  # type: ignore[arg-type]
    assert [one.startswith(f"cache: {OFF}") for one in found] == ([True] if told else [])
    assert stack_look._of_redis(Images(), own, {"services": {}}, {}) == []  # type: ignore[arg-type]
