"""What a Redis is told at its next start, from its container's words and files."""

from __future__ import annotations

import pytest
from controlplane_target import redis_told
from controlplane_target.redis_told import Told

CONF = b"""# the shop's
maxmemory 100mb
user ops on >secret ~* +@all
include /etc/more.conf
save 60 1
"""
SCRIPT = b'#!/bin/sh\n# redis-server is started below\ncd /data\nexec setpriv redis-server --dir "$DIR" "$@"\n'
FILES = {"/etc/redis.conf": CONF, "/etc/more.conf": b'maxmemory 1gb\nsave 900 1\nslaveof "other" 6379\n', "/usr/bin/serve-redis": SCRIPT}
ENVIRONMENT = {"DIR": "/data", "PATH": "/bin:/usr/bin"}


def read(path: str) -> bytes:
    if path not in FILES:
        raise FileNotFoundError(path)
    return FILES[path]


def told(*command: str) -> Told | None:
    return redis_told.told(command, ENVIRONMENT, "/etc", read)


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        (("redis-server",), {}),
        (("redis-server", "--maxmemory", "1gb", "--maxmemory", "2gb"), {"maxmemory": "2gb"}),
        (("docker-entrypoint.sh", "redis-server", "--save", "60 1", "--save", "900 1"), {"save": "60 1 900 1"}),
        (("docker-entrypoint.sh", "--save", "60 1", "--save", ""), {"save": ""}),
        (("redis-server", "--appendonly yes", "--hz=5"), {"appendonly": "yes", "hz=5": ""}),
        (("serve-redis", "--appendonly", "yes"), {"dir": "/data", "appendonly": "yes"}),
        (("sh", "-c", 'exec redis-server --maxmemory 5 --dir "${DIR}" && true'), {"maxmemory": "5", "dir": "/data"}),
    ],
)
def test_options_are_read_however_the_server_is_started(command: tuple[str, ...], settings: dict[str, str]) -> None:
    assert told(*command) == Told(settings, {})


@pytest.mark.parametrize("file", ["/etc/redis.conf", "redis.conf"])
def test_a_file_is_read_with_those_that_it_includes_in_their_place_and_the_words_over_it(file: str) -> None:
    found = told("redis-server", file, "--maxmemory", "2gb", "--user", "late", "on", "nopass", "+get")
    assert found is not None
    assert found.settings == {"maxmemory": "2gb", "save": "900 1 60 1", "replicaof": "other 6379"}
    assert found.users == {"ops": ["on", ">secret", "~*", "+@all"], "late": ["on", "nopass", "+get"]}


@pytest.mark.parametrize(
    "command",
    [
        ("some-binary",),
        ("redis-server", "/gone.conf"),
        ("sh", "-c", "redis-server $(cat options)"),
        ("sh", "-c", "redis-server & redis-server"),
        ("sh", "-c", "redis-server --port $PORT_OF_THE_SCRIPT"),
        ("redis-server", "--save", "60 1", "--requirepass 'unclosed"),
    ],
)
def test_what_cannot_be_told_surely_is_not_known(command: tuple[str, ...]) -> None:
    assert told(*command) is None


@pytest.mark.parametrize("text", [b"include /etc/*.conf\n", b"include /etc/loop.conf\n", b"requirepass 'unclosed\n"])
def test_a_file_that_cannot_be_followed_is_not_known(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setitem(FILES, "/etc/loop.conf", text)
    assert told("redis-server", "/etc/loop.conf") is None


def test_an_acl_file_names_its_users_and_nothing_else() -> None:
    assert redis_told.of_aclfile("user ops on #ab ~*\n# user x on\n\nuser default off\nuser\n") == {"ops": ["on", "#ab", "~*"], "default": ["off"]}
