"""Redis is logged in to with the password that the controller told, or with one that its container has, never with both."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from controlplane.adapters.collector.redis import _look, _running

CANARY = "c4nary-Zx9"


class _Server(socketserver.ThreadingTCPServer):
    """As much of Redis as the collector asks: `logins` are the arguments of AUTH that it takes, `refusal` its answer to others."""

    daemon_threads = True

    def __init__(self, *, logins: list[list[str]], refusal: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.logins, self.refusal, self.heard = logins, refusal, list[list[str]]()


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        is_in = not server.logins
        while count := self.rfile.readline()[1:]:
            command, *words = [self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2].decode() for _ in range(int(count))]
            server.heard.append([command, *words])
            if command == "AUTH":
                is_in = words in server.logins
                answer = "+OK" if is_in else server.refusal.replace("ARGS", " ".join(words))
            elif not is_in:
                answer = "-NOAUTH Authentication required."
            else:
                answer = {"PING": "+PONG", "CONFIG": "*2\r\n$10\r\nappendonly\r\n$3\r\nyes", "INFO": "$21\r\nredis_version:7.0.15\r\n\r\n"[:-2]}[
                    command
                ]
            self.wfile.write(f"{answer}\r\n".encode())


@contextmanager
def _redis(*logins: list[str], refusal: str = "-WRONGPASS invalid username-password pair or user is disabled.") -> Iterator[_Server]:
    with _Server(logins=list(logins), refusal=refusal) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def _asked(server: _Server, service: dict[str, Any], passwords: list[str]) -> tuple[bool, str | None]:
    state = _running([("port", [str(server.server_address[1])])], service, passwords)
    return state["reachable"], state["error"]


def test_the_password_that_was_told_opens_it() -> None:
    with _redis([CANARY]) as server:
        assert _asked(server, {"secret": {"password": CANARY}}, [CANARY]) == (True, None)
        assert server.heard[:2] == [["PING"], ["AUTH", CANARY]]


def test_a_user_is_named_with_the_password_and_at_once() -> None:
    with _redis(["probe", CANARY]) as server:
        assert _asked(server, {"auth": {"user": "probe"}, "secret": {"password": CANARY}}, [CANARY]) == (True, None)
        assert server.heard[0] == ["AUTH", "probe", CANARY]


@pytest.mark.parametrize("refusal", ["-WRONGPASS invalid username-password pair or user is disabled.", "-ERR invalid password"])
def test_a_password_that_was_told_and_is_wrong_is_said_to_be_refused(refusal: str) -> None:
    with _redis(["another"], refusal=refusal) as server:
        assert _asked(server, {"secret": {"password": CANARY}}, [CANARY]) == (False, "the password was refused")


def test_a_server_that_repeats_what_it_was_given_is_not_quoted() -> None:
    with _redis(["another"], refusal="-ERR unknown command 'AUTH', with args beginning with: 'ARGS'") as server:
        assert _asked(server, {"secret": {"password": CANARY}}, [CANARY]) == (False, "Redis took no login (ERR)")


def test_without_a_told_password_each_that_the_container_has_is_tried() -> None:
    with _redis([CANARY]) as server:
        assert _asked(server, {"auth": {"password_env": "PW"}}, ["old", CANARY]) == (True, None)
        why = "NOAUTH: Redis demands a login, PW is not set on the controller, and the container's own settings gave none that it takes"
        assert _asked(server, {"auth": {"password_env": "PW"}}, ["old"]) == (False, why)
        why = "NOAUTH: Redis demands a login, the policy names no password, and the container's own settings gave none that it takes"
        assert _asked(server, {}, []) == (False, why)


def test_a_server_without_a_password_is_sent_none() -> None:
    with _redis() as server:
        assert _asked(server, {"secret": {"password": CANARY}}, [CANARY]) == (True, None)
        assert ["AUTH", CANARY] not in server.heard


@pytest.mark.parametrize(("password", "shown"), [(CANARY, "1gb ***"), ("1gb", f"1gb {CANARY}"), ("e", f"1gb {CANARY}")])
def test_a_told_password_is_hidden_in_a_command_and_a_short_one_hides_no_setting(password: str, shown: str) -> None:
    command = {"Path": "redis-server", "Args": ["--maxmemory", "1gb", CANARY], "Config": {}, "State": {"Running": False}}
    state = _look(command, {"secret": {"password": password}})
    assert (state["persisted"], state["error"]) == ({"maxmemory": shown}, "the container does not run")


@pytest.mark.parametrize(
    ("words", "persisted"),
    [
        (["--requirepass", "--appendonly", "--appendonly", "yes"], {"appendonly": "yes"}),
        (["--masterauth", "--appendonly", "--hz", "5"], {}),
        (["--save", "60 1", "--save", "--appendonly", "yes"], {"save": "", "appendonly": "yes"}),
    ],
)
def test_a_value_that_reads_like_an_option_is_none(words: list[str], persisted: dict[str, str]) -> None:
    state = _look({"Path": "redis-server", "Args": words, "Config": {}, "State": {"Running": False}}, {})
    assert (state["persisted"], state["persisted_from"]) == (persisted, "command line")


@pytest.mark.parametrize("words", [["-"], ["--appendonly", "yes", "-"], ["--appendonly", "yes", "--requirepass 'open"]])
def test_what_a_command_tells_is_unknown_where_it_can_t_be_told_surely(words: list[str]) -> None:
    state = _look({"Path": "redis-server", "Args": words, "Config": {}, "State": {"Running": False}}, {})
    assert (state["persisted"], state["persisted_from"]) == ({}, None)
