"""What the tests fill a Redis with, by what a stand-in for one is told: of each type some keys expire, and some do not."""

from __future__ import annotations

import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest

from tests.lab.redis_load import EXPIRING, RedisClient

_TYPES = {"SET": "string", "HSET": "hash", "SADD": "set", "ZADD": "zset", "RPUSH": "list", "XADD": "stream"}


class _Redis(socketserver.ThreadingTCPServer):
    """Knows each key's type and expiry; `read` are the streams of which an entry was delivered."""

    daemon_threads = True

    def __init__(self) -> None:
        self.types: dict[str, str] = {}
        self.expire: dict[str, int] = {}
        self.read: list[str] = []
        super().__init__(("127.0.0.1", 0), _Told)

    def answer(self, words: list[str]) -> str:
        name, key = words[0], words[1]
        if name in _TYPES:
            self.types[key] = _TYPES[name]
        elif name == "PEXPIRE":
            self.expire[key] = int(words[2])
        elif name == "XREADGROUP":
            self.read.append(words[-2])
        elif name == "TYPE":
            return f"+{self.types[key]}"
        elif name == "PTTL":
            return f":{self.expire.get(key, -1)}"
        return ":1"


class _Told(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline():
            words = [self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2].decode() for _ in range(int(line[1:]))]
            self.wfile.write(f"{cast(_Redis, self.server).answer(words)}\r\n".encode())


class _Machine:
    """Runs the client's program here."""

    program = ""

    def run(self, argv: Sequence[str], *, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        if stdin:
            self.program = stdin.decode()
            return subprocess.CompletedProcess(argv, 0, "", "")
        return subprocess.run([sys.executable, "-c", self.program, *argv[2:]], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def redis() -> Iterator[_Redis]:
    with _Redis() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_of_each_type_some_keys_expire_and_more_do_not(redis: _Redis) -> None:
    client = RedisClient(cast(Any, _Machine()), port=redis.server_address[1])
    client.fill(600)
    assert len(redis.types) == 600
    for kind in _TYPES.values():
        of_it = {key for key, one in redis.types.items() if one == kind}
        assert len(of_it) == 100
        assert 10 < len(of_it & set(redis.expire)) < 50, kind
    # A stream that is read and one that expires as well.
    assert len(redis.read) == 10
    assert set(redis.read) & set(redis.expire)
    assert client.expiring() == dict.fromkeys(EXPIRING, True)


def test_a_key_that_came_to_expire_never_is_seen(redis: _Redis) -> None:
    client = RedisClient(cast(Any, _Machine()), port=redis.server_address[1])
    client.fill(60)
    del redis.expire[EXPIRING["stream"]]
    assert client.expiring() == {**dict.fromkeys(EXPIRING, True), "stream": False}
