"""Names that a Redis reports, and files that a container shows, lead nowhere else; what is taken gets another name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import inside, redis_server
from controlplane_target.faults import FailedFault, RefusedFault


class _Redis:
    def __init__(self, **named: str) -> None:
        self._named = {"appenddirname": "appendonlydir", "appendfilename": "appendonly.aof", "dbfilename": "dump.rdb", **named}

    def settings(self, names: list[str]) -> dict[str, str]:
        return {name: self._named[name] for name in names}


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
