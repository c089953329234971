"""What is said to a Redis and what is made of its answers; a real one answers in tests/lab."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import redis_aof, redis_change, redis_client, redis_file, redis_keys, redis_streams, text_change
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.redis_client import LoadingError, LoginError, Redis, RedisError, log_in
from controlplane_target.redis_keys import Held
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


def test_one_that_loads_says_how_far_it_is_and_one_that_lets_nobody_in_is_told_from_it(speaking: Callable[[Answers], Redis]) -> None:
    told = {b"persistence": "loading:1\r\nloading_loaded_bytes:4096\r\n", b"keyspace": "db0:keys=3,expires=0\r\ndb7:keys=4,expires=1\r\n"}

    def loading(words: list[bytes]) -> bytes:
        return b"-LOADING Redis is loading the dataset in memory\r\n" if words[0] == b"PING" else bulk(told[words[1]])

    with pytest.raises(LoadingError, match="LOADING") as fault:
        log_in(speaking(loading), user=None, passwords=[])
    assert fault.value.loaded == (4096, 7)
    with pytest.raises(LoadingError) as fault:
        log_in(speaking(lambda words: b"-LOADING x\r\n" if words[0] == b"PING" else b"-NOPERM no\r\n"), user=None, passwords=[])
    assert fault.value.loaded == (0, 0)
    with pytest.raises(LoginError, match="no password is known"):
        log_in(speaking(lambda _: b"-NOAUTH Authentication required.\r\n"), user=None, passwords=[])


# As Redis 8.0 tells them: name, arity, flags, first key, last key, step.
_FLAGS: dict[str, list[Any]] = {
    name.decode(): [name, -2, flags, key, key, key]
    for name, flags, key in (
        (b"get", [b"readonly", b"fast"], 1),
        (b"type", [b"readonly", b"fast"], 1),
        (b"pfcount", [b"readonly", b"may_replicate"], 1),
        (b"scan", [b"readonly"], 0),
        (b"xread", [b"readonly", b"blocking", b"movablekeys"], 0),
        (b"eval", [b"noscript", b"stale", b"movablekeys"], 0),
        (b"set", [b"write", b"denyoom"], 1),
        (b"mset", [b"write", b"denyoom"], 1),
        (b"lmove", [b"write", b"denyoom"], 1),
        (b"del", [b"write"], 1),
        (b"json.set", [b"write", b"module"], 1),
    )
}
# Of a command with parts only these say what they do (tried, 7.0.15).
_FLAGS |= {
    name: [name.encode(), -2, [], 0, 0, 0, [], [], [], [[part, 4, flags, key, key, 1] for part, flags, key in parts]]
    for name, parts in {
        "xgroup": [(b"xgroup|destroy", [b"write"], 2), (b"xgroup|help", [b"loading"], 0)],
        "xinfo": [(b"xinfo|groups", [b"readonly"], 2)],
        "function": [(b"function|load", [b"write"], 0)],
    }.items()
}


class _Server:
    """What a server that started lately says of itself."""

    def __init__(self, *, served: str = "", evicted: str = "0", expired: str = "0", keys: str = "0") -> None:
        self._said = {
            "server": {"uptime_in_seconds": "100"},
            "commandstats": {f"cmdstat_{name}": f"calls={served.split().count(name)},usec=2" for name in served.split()},
            "stats": {"evicted_keys": evicted, "expired_keys": expired},
            "keyspace": {"db0": f"keys={keys},expires=0"},
        }

    def info(self, section: str) -> dict[str, str]:
        return self._said[section]

    def ask(self, *words: str) -> Any:
        if words[0] == "COMMAND":
            return [_FLAGS.get(name) for name in words[2:]]
        return [b"1000", b"500000"]


def fared(monkeypatch: pytest.MonkeyPatch, before: redis_keys.Table | None, after: redis_keys.Table, **server: str) -> dict[str, Any]:
    """Return what is not nothing of how the keys fared."""
    monkeypatch.setattr(redis_keys, "table", lambda _redis: after)
    said = redis_keys.compared(before, {0: 2}, _Server(**server))  # type: ignore[arg-type]
    return {name: value for name, value in said.items() if value}


@pytest.mark.parametrize(
    ("was", "now", "server", "told"),
    [
        (Held(b"d", -1, 0), Held(b"d", -1, 100), {}, {"equal": 1}),
        (Held(b"d", -1, 0), Held(b"e", -1, 3), {"served": "set"}, {"changed": 1}),
        (Held(b"d", -1, 0), Held(b"e", -1, 100), {}, {"lost": 1, "names": ["db0 k"]}),
        (Held(b"d", 5_000_000, 0), Held(b"d", -1, 100), {}, {"lost": 1, "names": ["db0 k"]}),
        (Held(b"d", -1, 0), None, {}, {"lost": 1, "names": ["db0 k"]}),
        (Held(b"d", -1, 0), None, {"served": "get del"}, {"gone": 1}),
        (Held(b"d", -1, 0), None, {"served": "get set"}, {"lost": 1, "names": ["db0 k"]}),
        (Held(b"d", -1, 0), None, {"evicted": "3"}, {"gone": 1}),
        (Held(b"d", -1, 0), None, {"expired": "1"}, {"gone": 1}),
        (Held(b"d", 1_000_000, 0), None, {}, {"expired": 1}),
        (Held(b"d", 2_000_000, 0), None, {}, {"lost": 1, "names": ["db0 k"]}),
    ],
)
def test_a_key_that_differs_is_explained_by_a_client_or_lost(
    monkeypatch: pytest.MonkeyPatch, was: Held, now: Held | None, server: dict[str, str], told: dict[str, Any]
) -> None:
    assert fared(monkeypatch, {0: {b"k": was}}, {0: {b"k": now} if now else {}}, **server) == told


@pytest.mark.parametrize(
    ("calls", "told"),
    [
        # Nobody wrote: whoever worked on them read them only.
        ("", {"lost": 3}),
        ("get get get", {"lost": 3}),
        ("eval get", {"lost": 3}),
        # Nobody read: whoever worked on them wrote.
        ("set set set", {"changed": 3}),
        ("set set set scan type", {"changed": 3}),
        ("mset", {"changed": 3}),
        ("lmove set", {"changed": 3}),
        ("set set", {"changed": 2, "lost": 1}),
        # Which of both a key had is not known.
        ("set set set get", {"unknown": 3}),
        ("set set set xread", {"unknown": 3}),
        ("set get", {"unknown": 1, "lost": 2}),
        ("pfcount pfcount pfcount", {"unknown": 3}),
        ("json.set", {"changed": 3}),
        ("whatever", {"unknown": 3}),
    ],
)
def test_that_somebody_worked_on_a_key_explains_another_value_only_where_it_can_have_been_a_write(
    monkeypatch: pytest.MonkeyPatch, calls: str, told: dict[str, int]
) -> None:
    before: redis_keys.Table = {0: {b"%d" % number: Held(b"d", -1, 0) for number in range(3)}}
    after: redis_keys.Table = {0: {key: Held(b"e", -1, 3) for key in before[0]}}
    said = fared(monkeypatch, before, after, served=calls)
    assert ("names" in said) is ("lost" in told)
    assert {name: value for name, value in said.items() if name != "names"} == told


def test_where_nobody_may_ask_what_a_command_does_a_key_that_differs_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_server: _Server, *words: str) -> Any:
        if words[0] == "COMMAND":
            raise RedisError("NOPERM this user has no permissions to run the 'command|info' command")
        return [b"1000", b"500000"]

    monkeypatch.setattr(_Server, "ask", refused)
    assert fared(monkeypatch, {0: {b"k": Held(b"d", -1, 0)}}, {0: {b"k": Held(b"e", -1, 3)}}, served="set") == {"unknown": 1}


@pytest.mark.parametrize(("served", "told"), [("xgroup|destroy", "changed"), ("xinfo|groups", "lost"), ("function|load", "lost")])
def test_of_a_command_with_parts_one_that_writes_a_key_explains_one(monkeypatch: pytest.MonkeyPatch, served: str, told: str) -> None:
    assert fared(monkeypatch, {0: {b"k": Held(b"d", -1, 0)}}, {0: {b"k": Held(b"e", -1, 3)}}, served=served)[told] == 1


def test_this_programs_own_reading_of_every_key_is_no_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    before: redis_keys.Table = {0: {b"k": Held(b"d", -1, 0), b"l": Held(b"d", -1, 0)}}
    after: redis_keys.Table = {0: {b"k": Held(b"e", -1, 3), b"l": Held(b"d", -1, 3)}}
    for own, told in (("get get", {"equal": 1, "changed": 1}), ("get get get", {"equal": 1, "unknown": 1})):
        server = _Server(served="set")

        def read(_redis: Any, server: _Server = server, own: str = own) -> redis_keys.Table:
            server._said["commandstats"] = _Server(served=f"set {own}")._said["commandstats"]
            return after

        monkeypatch.setattr(redis_keys, "table", read)
        said = redis_keys.compared(before, {0: 2}, server)  # type: ignore[arg-type]
        assert {name: value for name, value in said.items() if value} == told


def test_one_call_explains_one_key_and_a_flush_explains_all(monkeypatch: pytest.MonkeyPatch) -> None:
    before: redis_keys.Table = {0: {b"a": Held(b"d", -1, 0), b"b": Held(b"d", -1, 0), b"c": Held(b"d", -1, 0)}}
    assert fared(monkeypatch, before, {}, served="del") == {"gone": 1, "lost": 2, "names": ["db0 a", "db0 b", "db0 c"]}
    assert fared(monkeypatch, before, {}, served="flushall") == {"gone": 3}


@pytest.mark.parametrize("script", ["eval", "evalsha", "fcall"])
def test_a_script_explains_no_key_and_what_it_calls_explains_one_a_call(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    before: redis_keys.Table = {0: {b"%d" % number: Held(b"d", -1, 0) for number in range(1000)}}
    assert fared(monkeypatch, before, {}, served=script)["lost"] == 1000
    told = fared(monkeypatch, before, {}, served=f"{script} del")
    assert (told["gone"], told["lost"]) == (1, 999)


@pytest.mark.parametrize(("command", "explained"), [("expire", 1), ("getex", 1), ("sort", 1), ("restore", 1), ("copy", 0), ("xtrim", 0), ("set", 0)])
def test_only_a_call_that_can_remove_a_key_explains_one(monkeypatch: pytest.MonkeyPatch, command: str, explained: int) -> None:
    told = fared(monkeypatch, {0: {b"k": Held(b"d", -1, 0)}}, {}, served=command)
    assert (told.get("gone", 0), told.get("lost", 0)) == (explained, 1 - explained)


@pytest.mark.parametrize(
    ("keys", "is_doubtful"),
    [
        ({}, False),
        ({"before": 1000, "gone": 0, "lost": 1}, True),
        ({"before": 10, "gone": 9, "lost": 0}, False),
        ({"before": 10, "gone": 10, "lost": 0}, True),
        ({"before": 1000, "gone": 10, "lost": 0}, False),
        ({"before": 1000, "gone": 11, "lost": 0}, True),
    ],
)
def test_more_than_a_small_share_of_keys_that_are_gone_is_no_certainty(keys: dict[str, Any], is_doubtful: bool) -> None:
    assert redis_keys.doubtful(keys) is is_doubtful


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
    assert redis_change.of_another(home.run("R9"), request, "new") == change
    assert redis_change.of_another(home.run("R9"), request, "newer") is None
    home.run("R1").write(phase="undone")
    assert redis_change.of_another(home.run("R9"), request, "new") is None


CONF = "port 6379\nrequirepass hidden\n# a line\n"


@pytest.fixture
def conf(tmp_path: Path) -> Iterator[tuple[int, Path, Path]]:
    """Return a configuration file, opened, its path, and where its old text lies while it is written."""
    path, aside = tmp_path / "redis.conf", tmp_path / "configuration-before"
    path.write_text(CONF)
    held = os.open(path, os.O_RDWR)
    yield held, path, aside
    os.close(held)


def written(conf: tuple[int, Path, Path], text: str) -> bool:
    held, path, aside = conf
    return redis_file.write(held, str(path), text, aside)


@pytest.mark.parametrize("text", [CONF + "appendonly yes\n", "port 1\n", CONF * 30000])
def test_a_configuration_file_is_whole_however_little_one_write_takes(
    conf: tuple[int, Path, Path], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    real = os.pwrite
    seen: list[tuple[str, int]] = []

    def short(held: int, data: bytes, at: int) -> int:
        seen.append((conf[2].read_text(), conf[2].stat().st_mode & 0o777))
        return real(held, data[: max(len(data) // 2, 1)], at)

    monkeypatch.setattr(os, "pwrite", short)
    inode = conf[1].stat().st_ino
    assert written(conf, text) is True
    assert (conf[1].read_text(), conf[1].stat().st_ino, conf[2].exists()) == (text, inode, False)
    assert set(seen) == {(CONF, 0o600)}
    assert redis_file.text(conf[0]) == text


@pytest.mark.parametrize("after", [0, 5])
def test_where_the_disk_is_full_the_configuration_file_is_as_it_was(
    conf: tuple[int, Path, Path], monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    real = os.pwrite
    left = [after]

    def full(held: int, data: bytes, at: int) -> int:
        if not left[0]:
            monkeypatch.setattr(os, "pwrite", real)
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0], taken = 0, left[0]
        return real(held, data[:taken], at)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(FailedFault, match=r"redis\.conf could not be written \(No space left on device\), and is as it was"):
        written(conf, "appendonly yes\n" + CONF)
    assert (conf[1].read_text(), conf[2].exists()) == (CONF, False)


def test_where_no_room_can_be_had_nothing_is_written_at_all(conf: tuple[int, Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def none(held: int, _at: int, size: int) -> None:
        # Some filesystems have grown the file by then.
        os.ftruncate(held, size)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", none)
    monkeypatch.setattr(os, "pwrite", lambda *_: pytest.fail("it was written"))
    with pytest.raises(FailedFault, match="and is as it was"):
        written(conf, CONF + "appendonly yes\n")
    assert (conf[1].read_text(), conf[2].exists()) == (CONF, False)


def test_a_filesystem_that_reserves_nothing_is_written_all_the_same(conf: tuple[int, Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", unknown)
    assert written(conf, "port 1\n") is True
    assert conf[1].read_text() == "port 1\n"


def test_what_cannot_be_put_back_either_is_kept_for_root_alone(conf: tuple[int, Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite

    def broken(held: int, data: bytes, at: int) -> int:
        if at:
            raise OSError(errno.EIO, "Input/output error")
        return real(held, data[:3], at)

    monkeypatch.setattr(os, "pwrite", broken)
    with pytest.raises(FailedFault, match=r"nor put back \(Input/output error\): its text from before is .*configuration-before") as told:
        written(conf, "appendonly yes\n" + CONF)
    assert "hidden" not in str(told.value)
    assert (conf[2].read_text(), conf[2].stat().st_mode & 0o777) == (CONF, 0o600)
    change = text_change.change_of(CONF, CONF + "appendonly yes\n")
    with pytest.raises(FailedFault, match=r"an earlier attempt was cut off while it wrote it"):
        redis_change.assert_known(change, str(conf[1]), conf[1].read_text(), conf[2])
    with pytest.raises(FailedFault, match=r"was changed by somebody"):
        redis_change.assert_known(change, str(conf[1]), conf[1].read_text(), conf[2].with_name("nowhere"))


# Fields of hashes that expire (Redis 7.4 and newer).

LASTING = redis_keys._digest(b"hash", [b"name", b"x"])
NONE = redis_keys._digest(b"hash", [])
NOW_MS = 1_000_500


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        (Held(LASTING, -1, 0, ((NOW_MS, b"f"),)), Held(LASTING, -1, 100), {"expired": 1}),
        (Held(LASTING, -1, 0, ((NOW_MS, b"f"),)), Held(LASTING, -1, 100, ((NOW_MS, b"f"),)), {"expired": 1}),
        (Held(LASTING, -1, 0, ((2_000_000, b"f"),)), Held(LASTING, -1, 100, ((2_000_000, b"f"),)), {"equal": 1}),
        (Held(LASTING, -1, 0, ((NOW_MS, b"f"), (2_000_000, b"g"))), Held(LASTING, -1, 100, ((2_000_000, b"g"),)), {"expired": 1}),
        (Held(NONE, -1, 0, ((1, b"f"), (NOW_MS, b"g"))), None, {"expired": 1}),
        # What time does not explain.
        (Held(LASTING, -1, 0, ((2_000_000, b"f"),)), Held(LASTING, -1, 100), {"lost": 1, "names": ["db0 k"]}),
        (Held(LASTING, -1, 0, ((NOW_MS, b"f"),)), Held(NONE, -1, 100), {"lost": 1, "names": ["db0 k"]}),
        (Held(LASTING, -1, 0, ((2_000_000, b"f"),)), Held(LASTING, -1, 100, ((2_000_000, b"other"),)), {"lost": 1, "names": ["db0 k"]}),
        (Held(LASTING, -1, 0, ((NOW_MS, b"f"),)), None, {"lost": 1, "names": ["db0 k"]}),
        (Held(NONE, -1, 0, ((NOW_MS, b"f"), (2_000_000, b"g"))), None, {"lost": 1, "names": ["db0 k"]}),
    ],
)
def test_a_field_whose_time_is_over_is_no_loss_and_anything_else_of_its_hash_is(
    monkeypatch: pytest.MonkeyPatch, was: Held, now: Held | None, told: dict[str, Any]
) -> None:
    assert fared(monkeypatch, {0: {b"k": was}}, {0: {b"k": now} if now else {}}) == told


def of_hash(*, keyspace: str, hpexpiretime: bytes, asked: list[bytes]) -> Answers:
    """Answer as a Redis with one hash of three fields, the first of which expires and the last of which has since."""
    answers = {
        b"INFO": bulk(f"# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0{keyspace}\r\n"),
        b"SELECT": b"+OK\r\n",
        b"SCAN": b"*2\r\n" + bulk("0") + b"*1\r\n" + bulk("h"),
        b"TYPE": b"+hash\r\n",
        b"OBJECT": b":7\r\n",
        b"HGETALL": b"*6\r\n" + b"".join(bulk(word) for word in ("token", "t", "name", "x", "over", "o")),
        b"PEXPIRETIME": b":-1\r\n",
        b"HPEXPIRETIME": hpexpiretime,
    }

    def answer(words: list[bytes]) -> bytes:
        asked.append(words[0])
        return b"*1\r\n:-2\r\n" if words[:2] == [b"HPEXPIRETIME", b"x"] and hpexpiretime[:1] == b"*" else answers[words[0]]

    return answer


@pytest.mark.parametrize("keyspace", [",subexpiry=1", ",keys_with_volatile_items=1", ""])
def test_the_fields_that_expire_are_read_apart_from_the_others(speaking: Callable[[Answers], Redis], keyspace: str) -> None:
    found = redis_keys.table(speaking(of_hash(keyspace=keyspace, hpexpiretime=b"*3\r\n:5000\r\n:-1\r\n:-2\r\n", asked=[])))
    assert found == {0: {b"h": Held(LASTING, -1, 7, ((5000, redis_keys._digest(b"field", [b"token", b"t"])),))}}


@pytest.mark.parametrize(
    ("keyspace", "hpexpiretime", "times"),
    [
        (",subexpiry=0", b"-ERR not to be asked\r\n", 0),
        ("", b"-ERR unknown command 'HPEXPIRETIME', with args beginning with: 'x' \r\n", 1),
        (",subexpiry=1", b"-NOPERM this user has no permissions to run the 'hpexpiretime' command\r\n", 1),
    ],
)
def test_where_no_field_expires_or_nobody_may_ask_a_hash_is_read_as_one(
    speaking: Callable[[Answers], Redis], keyspace: str, hpexpiretime: bytes, times: int
) -> None:
    asked: list[bytes] = []
    found = redis_keys.table(speaking(of_hash(keyspace=keyspace, hpexpiretime=hpexpiretime, asked=asked)))
    whole = redis_keys._digest(b"hash", [b"token", b"t", b"name", b"x", b"over", b"o"])
    assert (found, asked.count(b"HPEXPIRETIME")) == ({0: {b"h": Held(whole, -1, 7)}}, times)


# Consumer groups of streams.


def told_of(rows: list[dict[str, Any]]) -> bytes:
    """Return a reply of flat lists, name after value."""
    flat = [[part for pair in row.items() for part in pair] for row in rows]
    parts = [b"*%d\r\n" % len(row) + b"".join(b":%d\r\n" % one if isinstance(one, int) else bulk(one) for one in row) for row in flat]
    return b"*%d\r\n" % len(rows) + b"".join(parts)


def group(name: str, *, consumers: int = 2, pending: int = 1, last: str = "1-1", lag: int = 0) -> dict[str, Any]:
    return {"name": name, "consumers": consumers, "pending": pending, "last-delivered-id": last, "entries-read": 9 - lag, "lag": lag}


def consumer(name: str, *, pending: int = 1, idle: int = 5) -> dict[str, Any]:
    return {"name": name, "pending": pending, "idle": idle}


READ, BUSY, REST = group("g"), consumer("busy"), consumer("rest", pending=0)


def of_stream(*, groups: bytes, consumers: bytes) -> Answers:
    """Answer as a Redis with one stream of one entry."""
    answers = {
        b"INFO": bulk("# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0,subexpiry=0\r\n"),
        b"SELECT": b"+OK\r\n",
        b"SCAN": b"*2\r\n" + bulk("0") + b"*1\r\n" + bulk("s"),
        b"TYPE": b"+stream\r\n",
        b"OBJECT": b":7\r\n",
        b"XRANGE": b"*1\r\n*2\r\n" + bulk("1-1") + b"*2\r\n" + bulk("f") + bulk("v"),
        b"PEXPIRETIME": b":-1\r\n",
    }
    told = {b"GROUPS": groups, b"CONSUMERS": consumers}
    return lambda words: told[words[1]] if words[0] == b"XINFO" else answers[words[0]]


@pytest.mark.parametrize(
    ("groups", "consumers", "is_same"),
    [
        ([READ], [BUSY, REST], True),
        # What a start does not keep, or time alone changes.
        ([group("g", lag=3)], [consumer("busy", idle=900), REST], True),
        ([group("g", consumers=1)], [BUSY], True),
        # What nobody gets back.
        ([], [], False),
        ([READ, group("other", pending=0)], [BUSY, REST], False),
        ([group("g", last="0-0")], [BUSY, REST], False),
        ([group("g", pending=0)], [REST], False),
        ([READ], [consumer("another"), REST], False),
        ([READ], [BUSY, consumer("rest")], False),
    ],
)
def test_a_stream_whose_groups_or_pending_entries_are_others_is_not_the_same(
    speaking: Callable[[Answers], Redis], groups: list[dict[str, Any]], consumers: list[dict[str, Any]], is_same: bool
) -> None:
    before = redis_keys.table(speaking(of_stream(groups=told_of([READ]), consumers=told_of([BUSY, REST]))))
    after = redis_keys.table(speaking(of_stream(groups=told_of(groups), consumers=told_of(consumers))))
    assert before is not None
    assert (before == after) is is_same


def test_groups_are_the_same_in_any_order_and_consumers_are_asked_for_within_a_bound(
    speaking: Callable[[Answers], Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[bytes]] = []
    many = [group(f"g{number}") for number in range(5)]

    def answer(words: list[bytes]) -> bytes:
        asked.append(words)
        return told_of(many) if words[1] == b"GROUPS" else told_of([REST, BUSY])

    found = redis_streams.groups(speaking(answer), [b"s"])
    many.reverse()
    assert redis_streams.groups(speaking(answer), [b"s"]) == found
    assert [row[0] for row in found[b"s"]] == [b"g0", b"g1", b"g2", b"g3", b"g4"]
    assert found[b"s"][0] == (b"g0", b"1-1", 1, ((b"busy", 1),))
    monkeypatch.setattr(redis_streams, "_MOST_GROUPS", 2)
    asked.clear()
    assert [row[3] for row in redis_streams.groups(speaking(answer), [b"s"])[b"s"]] == [((b"busy", 1),), ((b"busy", 1),), (), (), ()]
    assert [words[3] for words in asked[1:]] == [b"g0", b"g1"]


@pytest.mark.parametrize("error", ["NOPERM this user has no permissions", "ERR no such key", "WRONGTYPE Operation against a key"])
def test_of_a_stream_that_is_gone_or_that_nobody_may_ask_about_only_the_entries_count(speaking: Callable[[Answers], Redis], error: str) -> None:
    told = b"-%s\r\n" % error.encode()
    found = redis_keys.table(speaking(of_stream(groups=told, consumers=told)))
    assert found == {0: {b"s": Held(redis_keys._digest(b"stream", [[[b"1-1", [b"f", b"v"]]], []]), -1, 7)}}
    with pytest.raises(RedisError, match="OOM"):
        redis_keys.table(speaking(of_stream(groups=b"-OOM command not allowed\r\n", consumers=told)))
