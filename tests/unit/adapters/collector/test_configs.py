"""What is written in fstab, in Redis' and containerd's configuration, and what PostgreSQL says of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.collector import units
from controlplane.adapters.collector.docker import volume_place
from controlplane.adapters.collector.docker_config import containerd_root, toml_root
from controlplane.adapters.collector.fstab import parse_fstab
from controlplane.adapters.collector.postgres import same_spelling, spaces_of, state_of
from controlplane.adapters.collector.redis_config import effective, parse_file, parse_words, secrets_of, server_words
from controlplane.adapters.collector.supervise import ProbeError
from controlplane.adapters.collector.units import check_units, mount_unit, parse_show


def test_fstab_s_escapes_are_decoded_and_lines_that_are_no_entry_are_named() -> None:
    text = "# comment\n\nUUID=1\t/mnt/with\\040space  ext4 defaults,nofail 0 2\nonly-one-field\n/dev/x /y ext4 rw nine 0\n/dev/y /z xfs\n"
    entries, bad = parse_fstab(text)
    assert bad == [4, 5]
    assert entries[0] == {
        "line": 3,
        "spec": "UUID=1",
        "file": "/mnt/with space",
        "vfstype": "ext4",
        "options": ["defaults", "nofail"],
        "freq": 0,
        "passno": 2,
    }
    assert (entries[1]["file"], entries[1]["options"]) == ("/z", ["defaults"])


def test_more_than_six_fields_are_named_as_bad() -> None:
    entries, bad = parse_fstab("UUID=1 /a ext4 rw 0 2 extra\n")
    assert bad == [1]
    assert len(entries) == 1


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["redis-server"], []),
        (["docker-entrypoint.sh", "redis-server", "--appendonly", "yes"], ["--appendonly", "yes"]),
        (["docker-entrypoint.sh", "/etc/redis.conf", "--port", "0"], ["/etc/redis.conf", "--port", "0"]),
        (["docker-entrypoint.sh", "--appendonly", "yes"], ["--appendonly", "yes"]),
        (["sh", "-c", 'exec redis-server --save "60 1" --dir "$DIR" && true'], ["--save", "60 1", "--dir", "/data"]),
        (["serve-redis", "--appendonly", "yes"], ["--dir", "/data", "--appendonly", "yes"]),
        (["sh", "-c", "redis-server --requirepass ab#cd --hz 5 # ours"], ["--requirepass", "ab#cd", "--hz", "5"]),
    ],
)
def test_the_words_after_the_server_are_found_however_it_is_started(command: list[str], words: list[str]) -> None:
    script = '#!/bin/sh\n# redis-server is started below\ncd /data\nexec setpriv redis-server --dir /data "$@"\n'
    assert server_words(command, {"DIR": "/data"}, lambda program: script if program == "serve-redis" else None) == words


@pytest.mark.parametrize(
    "command",
    [
        ["some-binary"],
        ["sh", "-c", "redis-server $(cat options)"],
        ["sh", "-c", "redis-server & redis-server"],
        ["sh", "-c", "redis-server 'unclosed"],
        ["sh", "-c", "redis-server\nredis-server --port 1"],
    ],
)
def test_a_command_that_can_t_be_read_without_running_it_gives_nothing(command: list[str]) -> None:
    assert server_words(command, {}, lambda _program: None) is None


def test_the_command_line_goes_over_the_file_and_save_lines_add_up() -> None:
    files = {"/etc/redis.conf": "# x\nappendonly no\nsave 900 1\nsave 300 10\ninclude /etc/more.conf\n", "/etc/more.conf": 'dir "/srv/re dis"\n'}
    parsed = parse_words(["/etc/redis.conf", "--appendonly", "yes", "--requirepass", "s3cret"])
    assert parsed is not None
    file, options = parsed
    assert file == "/etc/redis.conf"
    directives = parse_file(file, files.__getitem__) + options
    assert effective(directives) == {"appendonly": "yes", "save": "900 1 300 10", "dir": "/srv/re dis"}
    assert secrets_of(directives) == ["s3cret"]


def test_an_empty_save_clears_the_points_before_it() -> None:
    assert effective([("save", ["900", "1"]), ("save", [""])]) == {"save": ""}


def test_names_from_before_and_valkey_s_are_the_same_settings() -> None:
    told = [("replicaof", ["a", "1"]), ("slaveof", ["b", "2"]), ("min-slaves-to-write", ["3"]), ("primaryauth", ["s3cret"])]
    assert effective(told) == {"replicaof": "b 2", "min-replicas-to-write": "3"}
    assert secrets_of(told) == ["s3cret"]


def test_a_file_with_an_open_quote_is_not_told_and_not_shown() -> None:
    with pytest.raises(OSError, match=r"^/a can't be read: a quote is not closed$"):
        parse_file("/a", lambda _path: "appendonly yes\nrequirepass 's3cret\n")


def test_a_file_that_includes_itself_ends() -> None:
    with pytest.raises(OSError, match="includes too deep"):
        parse_file("/a", lambda _path: "include /a\n")


def test_postgres_keeps_what_its_file_says_last_unless_its_command_line_says_otherwise() -> None:
    state = state_of(
        "15.1",
        [
            ["fsync", "on", "configuration file", "on", "bool", "false", "0"],
            ["full_page_writes", "off", "command line", "on", "bool", "false", "on"],
            ["synchronous_commit", "on", "default", "on", "enum", "false", None],
            ["shared_buffers", "1", "default", "1", "integer", "true", None],
        ],
    )
    assert state["running"] == {"fsync": "on", "full_page_writes": "off", "synchronous_commit": "on"}
    assert state["persisted"] == {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "on"}
    assert state["pending_restart"] == ["shared_buffers"]


class _Server:
    def __init__(self, answer: list[list[str | None]] | Exception) -> None:
        self.answer = answer

    def rows(self, query: str) -> list[list[str | None]]:
        assert "pg_tablespace_location" in query
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_where_a_postgres_has_its_tablespaces_is_what_it_says_and_unknown_where_it_does_not() -> None:
    asked: Any = spaces_of
    assert asked(_Server([["far", "/srv/space"], ["near", "/data/near"]])) == {"tablespaces": {"far": "/srv/space", "near": "/data/near"}}
    assert asked(_Server([])) == {"tablespaces": {}}
    assert asked(_Server(ProbeError("PostgreSQL: permission denied"))) == asked(_Server(TimeoutError())) == {}


@pytest.mark.parametrize(("value", "told"), [("YES", "on"), ("1", "on"), ("f", "off"), ("maybe", "maybe")])
def test_booleans_are_told_in_one_spelling(value: str, told: str) -> None:
    assert same_spelling(value, "bool") == told


@pytest.mark.parametrize(
    ("driver", "options", "place"),
    [
        ("local", {}, "/point"),
        ("local", {"type": "none", "o": "bind", "device": "/mnt/data/x"}, "/mnt/data/x"),
        ("local", {"type": "none", "o": "rbind,ro", "device": "/mnt/data/x"}, "/mnt/data/x"),
        ("local", {"type": "nfs", "o": "addr=nas", "device": ":/export"}, None),
        ("local", {"type": "tmpfs", "device": "tmpfs"}, None),
        ("sshfs", {}, None),
        ("", {}, None),
    ],
)
def test_a_volume_lies_where_its_options_mount_it(driver: str, options: dict[str, str], place: str | None) -> None:
    assert volume_place(driver, "/point", options) == place


def test_containerd_s_root_is_its_top_level_key_only(tmp_path: Path) -> None:
    assert toml_root("version = 2\nroot = '/srv/c' # here\n") == "/srv/c"
    assert toml_root('[plugins]\nroot = "/other"\n') is None
    config = tmp_path / "config.toml"
    config.write_text('root = "/mnt/data/containerd"\n')
    assert containerd_root(["containerd", "--config", str(config)]) == "/mnt/data/containerd"
    assert containerd_root(["containerd", f"--config={config}", "--root", "/flag"]) == "/flag"
    assert containerd_root(["containerd", "-c", f"{tmp_path}/absent"]) == "/var/lib/containerd"


@pytest.mark.parametrize(
    ("path", "unit"), [("/", "-.mount"), ("/mnt/data", "mnt-data.mount"), ("/mnt/a-b c", "mnt-a\\x2db\\x20c.mount"), ("/.x", "\\x2ex.mount")]
)
def test_mount_units_are_named_as_systemd_names_them(path: str, unit: str) -> None:
    assert mount_unit(path) == unit


def test_the_checks_of_declared_mounts_are_named_as_systemd_names_them_and_nothing_else_is_asked_of_it() -> None:
    uuid = "6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11"
    name = r"systemd-fsck@dev-disk-by\x2duuid-6f1c1a52\x2d6a44\x2d4d8c\x2d9a8f\x2d0f4b4b3c2d11.service"
    table = f"UUID=1a2b-3c4d /boot vfat defaults 0 2\nUUID={uuid} /mnt/data/ ext4 nofail 0 2\nnas:/x /mnt/nas nfs ro\nUUID=../$x /mnt/odd ext4\n"
    assert check_units(["/mnt/data", "/mnt/nas", "/mnt/odd", "/mnt/none"], table) == [name]
    assert check_units(["/mnt/data"], f'UUID="{uuid}" /mnt/data ext4 nofail 0 2\n') == [name]
    assert check_units([], table) == check_units(["/mnt/data"], "") == []


def test_the_units_of_what_fstab_names_are_shown_by_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fstab").write_text("UUID=1a2b-3c4d /mnt/data ext4 nofail 0 2\n")
    asked: list[tuple[str, ...]] = []

    def tool(*argv: str) -> tuple[int, str, str]:
        asked.append(argv)
        names = argv[argv.index("--") + 1 :]
        return 0, "\n".join(f"Id={name}\nActiveState={'failed' if 'fsck' in name else 'active'}\n" for name in names), ""

    monkeypatch.setattr(units, "FSTAB", str(tmp_path / "fstab"))
    monkeypatch.setattr(units, "tool", tool)
    seen = units.units({"mounts": ["/mnt/data"]}, {})
    assert len(asked) == 1
    check = r"systemd-fsck@dev-disk-by\x2duuid-1a2b\x2d3c4d.service"
    assert list(seen) == [*units.ALWAYS, "mnt-data.mount", check]
    assert (seen[check]["active_state"], seen["mnt-data.mount"]["active_state"]) == ("failed", "active")
    (tmp_path / "fstab").unlink()
    assert list(units.units({"mounts": ["/mnt/data"]}, {})) == [*units.ALWAYS, "mnt-data.mount"]


def test_units_are_told_apart_by_empty_lines() -> None:
    assert parse_show("Id=a\nX=1=2\n\nId=b\n") == [{"Id": "a", "X": "1=2"}, {"Id": "b"}]
