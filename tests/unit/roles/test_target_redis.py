"""What is said to a Redis and what is made of its answers; a real one answers in tests/lab."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import redis_aof, redis_client, redis_keys, redis_persist, text_change
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.redis_client import Redis, RedisError, log_in
from controlplane_target.state import Home

Answers = Callable[[list[bytes]], bytes]


def bulk(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return b"$%d\r\n%s\r\n" % (len(data), data)


@pytest.fixture
def speaking() -> Iterator[Callable[[Answers], Redis]]:
    """Return a connection to a server whose answers a function gives."""
    opened: list[socket.socket] = []

    def start(answer: Answers) -> Redis:
        ours, its = socket.socketpair()
        opened.append(ours)

        def serve() -> None:
            stream = its.makefile("rb")
            while line := stream.readline():
                words = []
                for _ in range(int(line[1:])):
                    size = int(stream.readline()[1:])
                    words.append(stream.read(size + 2)[:-2])
                its.sendall(answer(words))
            its.close()

        threading.Thread(target=serve, daemon=True).start()
        return Redis(ours)

    yield start
    for stream in opened:
        stream.close()


def test_replies_of_every_kind_are_read_and_an_error_reply_is_raised_after_all_were(speaking: Callable[[Answers], Redis]) -> None:
    replies = {
        b"A": b"+OK\r\n",
        b"B": b":7\r\n",
        b"C": b"$-1\r\n",
        b"D": b"*2\r\n$1\r\nx\r\n*0\r\n",
        b"E": b"-NOPERM no\r\n",
        b"F": bulk("line\r\nother"),
    }
    redis = speaking(lambda words: replies[words[0]])
    assert redis.ask_all([("A",), ("B",), ("C",), ("D",), ("F",)]) == [b"OK", 7, None, [b"x", []], b"line\r\nother"]
    with pytest.raises(RedisError, match="NOPERM"):
        redis.ask_all([("A",), ("E",), ("B",)])
    assert redis.ask("B") == 7


def test_what_does_not_speak_the_protocol_or_is_cut_off_is_a_fault_of_the_network(speaking: Callable[[Answers], Redis]) -> None:
    with pytest.raises(OSError, match="does not speak Redis' protocol"):
        speaking(lambda _: b"HTTP/1.1 400\r\n").ask("PING")


def test_a_login_is_tried_only_where_one_is_asked_for_and_no_password_is_in_a_fault(speaking: Callable[[Answers], Redis]) -> None:
    heard: list[list[bytes]] = []

    def guarded(words: list[bytes]) -> bytes:
        heard.append(words)
        if words[0] == b"PING":
            return b"-NOAUTH Authentication required.\r\n"
        return b"+OK\r\n" if words[-1] == b"right" else b"-WRONGPASS wrong\r\n"

    log_in(speaking(guarded), user=None, passwords=["wrong", "right"])
    assert heard == [[b"PING"], [b"AUTH", b"wrong"], [b"AUTH", b"right"]]
    with pytest.raises(FailedFault, match="none of the passwords that are known is taken") as refused:
        log_in(speaking(guarded), user="ops", passwords=["hidden"])
    assert "hidden" not in str(refused.value)
    with pytest.raises(FailedFault, match="no password is known: name one"):
        log_in(speaking(guarded), user=None, passwords=[])
    log_in(speaking(lambda _: b"+PONG\r\n"), user=None, passwords=["unused"])


class _Server:
    """What a server that started lately says of itself."""

    def __init__(self, *, served: str = "", evicted: str = "0", expired: str = "0", keys: str = "0") -> None:
        self._said = {
            "server": {"uptime_in_seconds": "100"},
            "commandstats": {f"cmdstat_{name}": "calls=1,usec=2" for name in served.split()},
            "stats": {"evicted_keys": evicted, "expired_keys": expired},
            "keyspace": {"db0": f"keys={keys},expires=0"},
        }

    def info(self, section: str) -> dict[str, str]:
        return self._said[section]

    def ask(self, *_words: str) -> Any:
        return [b"1000", b"500000"]


def fared(monkeypatch: pytest.MonkeyPatch, before: redis_keys.Table | None, after: redis_keys.Table, **server: str) -> dict[str, Any]:
    """Return what is not nothing of how the keys fared."""
    monkeypatch.setattr(redis_keys, "table", lambda _redis: after)
    said = redis_keys.compared(before, {0: 2}, _Server(**server))  # type: ignore[arg-type]
    return {name: value for name, value in said.items() if value}


@pytest.mark.parametrize(
    ("was", "now", "server", "told"),
    [
        ((b"d", -1, 0), (b"d", -1, 100), {}, {"equal": 1}),
        ((b"d", -1, 0), (b"e", -1, 3), {}, {"changed": 1}),
        ((b"d", -1, 0), (b"e", -1, 100), {}, {"lost": 1, "names": ["db0 k"]}),
        ((b"d", 5_000_000, 0), (b"d", -1, 100), {}, {"lost": 1, "names": ["db0 k"]}),
        ((b"d", -1, 0), None, {}, {"lost": 1, "names": ["db0 k"]}),
        ((b"d", -1, 0), None, {"served": "get del"}, {"gone": 1}),
        ((b"d", -1, 0), None, {"served": "get set"}, {"lost": 1, "names": ["db0 k"]}),
        ((b"d", -1, 0), None, {"evicted": "3"}, {"gone": 1}),
        ((b"d", -1, 0), None, {"expired": "1"}, {"gone": 1}),
        ((b"d", 1_000_000, 0), None, {}, {"expired": 1}),
        ((b"d", 2_000_000, 0), None, {}, {"lost": 1, "names": ["db0 k"]}),
    ],
)
def test_a_key_that_differs_is_explained_by_a_client_or_lost(
    monkeypatch: pytest.MonkeyPatch, was: redis_keys.Held, now: redis_keys.Held | None, server: dict[str, str], told: dict[str, Any]
) -> None:
    assert fared(monkeypatch, {0: {b"k": was}}, {0: {b"k": now} if now else {}}, **server) == told


def test_one_call_explains_one_key_and_a_flush_explains_all(monkeypatch: pytest.MonkeyPatch) -> None:
    before: redis_keys.Table = {0: {b"a": (b"d", -1, 0), b"b": (b"d", -1, 0), b"c": (b"d", -1, 0)}}
    assert fared(monkeypatch, before, {}, served="del") == {"gone": 1, "lost": 2, "names": ["db0 a", "db0 b", "db0 c"]}
    assert fared(monkeypatch, before, {}, served="flushall") == {"gone": 3}


def test_where_no_key_was_read_their_numbers_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fared(monkeypatch, None, {}, keys="2") == {}
    assert fared(monkeypatch, None, {}, keys="5") == {}
    assert fared(monkeypatch, None, {}, keys="0", served="del") == {"gone": 1, "lost": 1}


def test_what_a_set_or_a_hash_holds_is_the_same_in_any_order_and_a_list_is_not() -> None:
    assert redis_keys._digest(b"set", [b"a", b"b"]) == redis_keys._digest(b"set", [b"b", b"a"])
    assert redis_keys._digest(b"hash", [b"a", b"1", b"b", b"2"]) == redis_keys._digest(b"hash", [b"b", b"2", b"a", b"1"])
    assert redis_keys._digest(b"list", [b"a", b"b"]) != redis_keys._digest(b"list", [b"b", b"a"])
    assert redis_keys._digest(b"list", [b"ab", b"c"]) != redis_keys._digest(b"list", [b"a", b"bc"])
    assert redis_keys._digest(b"set", [b"a"]) != redis_keys._digest(b"list", [b"a"])


ASKED = {"container": "cache", "settings": {"appendonly": "yes"}, "persist": ["appendonly"], "route": "compose", "file": "", "port": 6379}


@pytest.mark.parametrize(
    "wrong",
    [
        {"route": "restart"},
        {"settings": {}},
        {"settings": {"maxmemory": "1"}},
        {"settings": {"appendonly": "no"}},
        {"port": "x"},
        {"persist": ["save"]},
    ],
)
def test_a_request_of_something_else_is_malformed(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        redis_aof.parse({**ASKED, **wrong})


def test_a_password_is_this_services_own_and_is_shown_nowhere() -> None:
    request = redis_aof.parse({**ASKED, "told": {"cache": {"password": "hidden"}, "other": {"password": "else"}}})
    assert request.login.password == "hidden"
    assert "hidden" not in repr(request)
    with pytest.raises(RefusedFault, match=r"cache: the file is empty\. Nothing was changed"):
        redis_aof.parse({**ASKED, "told": {"cache": {"why": "the file is empty"}}})


def test_an_answer_that_is_too_large_is_not_read(speaking: Callable[[Answers], Redis], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_client, "_MOST_TEXT", 3)
    with pytest.raises(OSError, match="too large"):
        speaking(lambda _: bulk("four")).ask("GET", "x")


def test_what_an_earlier_run_wrote_and_did_not_end_with_is_this_runs_own_to_take_back(tmp_path: Path) -> None:
    home, request = Home(tmp_path), redis_aof.parse(ASKED)
    change = {**text_change.change_of("old", "new"), "files": {}}
    for key, phase, asked in (("R1", "on", ASKED), ("R2", "done", ASKED), ("R3", "on", {**ASKED, "container": "other"})):
        home.run(key).write(role="redis_aof", phase=phase, asked=asked)
        (tmp_path / key / "settings.json").write_text(json.dumps(change))
    assert redis_persist._of_another(home.run("R9"), request, "new") == change
    assert redis_persist._of_another(home.run("R9"), request, "newer") is None
    home.run("R1").write(phase="undone")
    assert redis_persist._of_another(home.run("R9"), request, "new") is None
