"""Speak to a Redis that runs in a container, over its own network, as its own client would.

Rules:
- The connection is made in the container's network by a thread that enters it alone and ends: this process stays where it is.
- A password goes into the socket and nowhere else; no fault repeats one, nor a command.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Sequence
from typing import Any

from .faults import FailedFault

_CLONE_NEWNET = 0x40000000
_MOST_TEXT = 512 << 20


class RedisError(FailedFault):
    """An error reply; its message begins with Redis' own word, such as NOAUTH."""


class LoadingError(RedisError):
    """It still loads its data; `loaded` is (bytes, keys) so far, zero of what it does not tell."""

    def __init__(self, message: str, loaded: tuple[int, int]) -> None:
        super().__init__(message)
        self.loaded = loaded


class LoginError(FailedFault):
    """It lets nobody in with what is known here: to ask again changes nothing."""


def _connected_in(pid: int, port: int, timeout_s: float) -> socket.socket:
    """Return a connection to 127.0.0.1 as the process `pid` sees it. Raises `OSError`."""
    made: list[socket.socket | OSError] = []

    def connect() -> None:
        try:
            net = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                if ctypes.CDLL(None, use_errno=True).setns(net, _CLONE_NEWNET) != 0:
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number))
            finally:
                os.close(net)
            made.append(socket.create_connection(("127.0.0.1", port), timeout=timeout_s))
        except OSError as fault:
            made.append(fault)

    thread = threading.Thread(target=connect)
    thread.start()
    thread.join()
    [found] = made
    if isinstance(found, OSError):
        raise found
    return found


class Redis:
    """One connection; replies are bytes, whole numbers, lists or None. Raises `RedisError` for an error reply, `OSError` for the network."""

    def __init__(self, stream: socket.socket) -> None:
        self._socket = stream
        self._file = stream.makefile("rb")

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def ask(self, *words: str | bytes) -> Any:
        """Return the reply to one command."""
        return self.ask_all([words])[0]

    def ask_all(self, commands: Sequence[Sequence[str | bytes]]) -> list[Any]:
        """Return the replies to many commands, sent at once. The first error reply is raised once all were read."""
        replies = self.tried(commands)
        for reply in replies:
            if isinstance(reply, RedisError):
                raise reply
        return replies

    def tried(self, commands: Sequence[Sequence[str | bytes]]) -> list[Any]:
        """Return the replies to many commands, sent at once; an error reply is a `RedisError` in its place, and is not raised."""
        self._socket.sendall(b"".join(_encoded(words) for words in commands))
        return [self._reply() for _ in commands]

    def text(self, *words: str) -> str:
        """Return a reply as text."""
        reply = self.ask(*words)
        return reply.decode("utf-8", "surrogateescape") if isinstance(reply, bytes) else str(reply)

    def info(self, section: str) -> dict[str, str]:
        """Return one section of INFO."""
        pairs = [line.partition(":") for line in self.text("INFO", section).splitlines()]
        return {name: value for name, found, value in pairs if found}

    def settings(self, names: Sequence[str]) -> dict[str, str]:
        """Return the running settings of these names."""
        found: dict[str, str] = {}
        for name in names:
            told = self.ask("CONFIG", "GET", name)
            found.update({key.decode(): " ".join(value.decode("utf-8", "surrogateescape").split()) for key, value in zip(told[::2], told[1::2])})
        return found

    def set(self, name: str, value: str) -> None:
        self.ask("CONFIG", "SET", name, value)

    def _reply(self) -> Any:
        line = self._file.readline(1 << 16)
        kind, rest = line[:1], line[1:].rstrip(b"\r\n")
        if not line.endswith(b"\r\n") or kind not in b"+-:$*":
            raise OSError("what answers does not speak Redis' protocol, or the connection was lost")
        if kind == b"-":
            return RedisError(rest.decode("utf-8", "replace"))
        if kind == b"+":
            return rest
        number = int(rest)
        if kind == b":":
            return number
        if number < 0:
            return None
        if kind == b"*":
            return [self._reply() for _ in range(number)]
        if number > _MOST_TEXT:
            raise OSError("Redis' answer is too large")
        data = self._file.read(number + 2)
        if len(data) != number + 2:
            raise OSError("the connection was lost")
        return data[:-2]


def _encoded(words: Sequence[str | bytes]) -> bytes:
    parts = [word.encode("utf-8", "surrogateescape") if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def loaded(redis: Redis) -> tuple[int, int]:
    """Return (bytes, keys) that a server which loads its data has by now, zero of what it does not tell. Raises `OSError`."""
    try:
        read = redis.info("persistence").get("loading_loaded_bytes", "")
        counted = [value.partition("keys=")[2].partition(",")[0] for value in redis.info("keyspace").values()]
    except RedisError:
        return 0, 0
    return int(read) if read.isdigit() else 0, sum(int(count) for count in counted if count.isdigit())


def log_in(redis: Redis, *, user: str | None, passwords: Sequence[str]) -> None:
    """Log in with the first password that it takes; where it asks for none, none is given. Raises `LoadingError`, `LoginError`, `RedisError`."""
    if user is None:
        try:
            redis.ask("PING")
        except RedisError as fault:
            if str(fault).startswith("LOADING"):
                raise LoadingError(str(fault), loaded(redis)) from fault
            if not str(fault).startswith("NOAUTH"):
                raise
        else:
            return
    for password in passwords:
        try:
            redis.ask("AUTH", *([user] if user else []), password)
        except RedisError:
            continue
        return
    told = "none of the passwords that are known is taken" if passwords else "and no password is known: name one (policy.yml, auth)"
    raise LoginError(f"Redis demands a login, {told}")


def connect(pid: int, port: int, *, user: str | None = None, passwords: Sequence[str] = (), timeout_s: float = 30) -> Redis:
    """Return a connection that is logged in, to the Redis of the container whose first process is `pid`. Raises `OSError`, `FailedFault`."""
    redis = Redis(_connected_in(pid, port, timeout_s))
    try:
        log_in(redis, user=user, passwords=passwords)
    except BaseException:
        redis.close()
        raise
    return redis
