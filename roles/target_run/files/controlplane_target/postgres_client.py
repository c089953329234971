"""Ask a PostgreSQL over its local socket, as the server's own user: the simple query protocol, without passwords.

Rules:
- The socket is looked up within the container; no link of its leads anywhere else.
- `trust` and `peer` are what a server grants its own user there; one that demands a password is refused, by name.

Source: PostgreSQL's frontend/backend protocol, version 3.0.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from . import inside
from .faults import FailedFault

_FOLDERS = ("/var/run/postgresql", "/run/postgresql", "/tmp")  # noqa: S108 - where servers put it
_MOST_BYTES = 1 << 26
_PR_SET_DUMPABLE = 4
# How late a server may be with saying that a statement's time is over.
_LATE_S = 30.0
Row = list["str | None"]


class PostgresError(FailedFault):
    """What the server said no to; `sqlstate` is its code, empty where it named none."""

    def __init__(self, message: str, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class Postgres:
    """One session in one database."""

    def __init__(self, pid: int, user: str, database: str, *, limit_s: float = 60) -> None:
        """Connect. Raises `OSError` where nothing answers, `PostgresError` where the server says no."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(limit_s)
        try:
            _connect(self._socket, pid)
            self._stream = self._socket.makefile("rb")
            words = b"".join(
                word.encode() + b"\0" for word in ("user", user, "database", database, "application_name", "controlplane", "client_encoding", "UTF8")
            )
            start = struct.pack(">I", 196608) + words + b"\0"
            self._socket.sendall(struct.pack(">I", len(start) + 4) + start)
            self._until_ready()
        except BaseException:
            self._socket.close()
            raise

    def rows(self, query: str) -> list[Row]:
        """Return the rows of one query. Raises `PostgresError`, `OSError`."""
        body = query.encode() + b"\0"
        self._socket.sendall(b"Q" + struct.pack(">I", len(body) + 4) + body)
        return self._until_ready()

    def allow(self, limit_s: float) -> None:
        """Let each answer take that long from here on, whatever the server's limit was; then it is a `PostgresError` of sqlstate 57014."""
        # The server ends it first: who only went away would leave it at work.
        self._socket.settimeout(limit_s + _LATE_S)
        self.rows(f"SET statement_timeout = {max(1, int(limit_s * 1000))}")

    def close(self) -> None:
        """End the session."""
        with suppress(OSError):
            self._socket.sendall(b"X\0\0\0\x04")
        self._socket.close()

    def _until_ready(self) -> list[Row]:
        rows: list[Row] = []
        failure = sqlstate = ""
        while True:
            head = self._stream.read(5)
            if len(head) < 5:
                raise OSError(failure or "PostgreSQL closed the connection")
            kind, length = struct.unpack(">cI", head)
            if not 4 <= length <= _MOST_BYTES:
                raise OSError("what answers does not speak PostgreSQL's protocol")
            body = self._stream.read(length - 4)
            if kind == b"E":
                fields = {part[:1]: part[1:].decode("utf-8", "replace") for part in body.split(b"\0") if part}
                failure, sqlstate = fields.get(b"M", "an error without a message"), fields.get(b"C", "")
                if fields.get(b"V", fields.get(b"S")) == "FATAL":
                    raise PostgresError(f"PostgreSQL: {failure}", sqlstate)
            if kind == b"R" and struct.unpack(">I", body[:4])[0] != 0:
                raise PostgresError(
                    "PostgreSQL demands a password of its own user on its local socket: grant that user 'peer' or 'trust' there (pg_hba.conf)"
                )
            if kind == b"D":
                rows.append(_row(body))
            if kind == b"Z":
                if failure:
                    raise PostgresError(f"PostgreSQL: {failure}", sqlstate)
                return rows


def _row(body: bytes) -> Row:
    values: Row = []
    (count,) = struct.unpack_from(">H", body)
    at = 2
    for _ in range(count):
        (length,) = struct.unpack_from(">i", body, at)
        at += 4
        values.append(None if length < 0 else body[at : at + length].decode("utf-8", "replace"))
        at += max(length, 0)
    return values


def _connect(client: socket.socket, pid: int) -> None:
    for folder in _FOLDERS:
        with suppress(OSError), inside.opened(pid, folder, os.O_RDONLY | os.O_DIRECTORY) as held:
            names = sorted(name for name in os.listdir(held) if name.startswith(".s.PGSQL.") and not name.endswith(".lock"))
            for name in names:
                with inside.opened(pid, f"{folder}/{name}", os.O_PATH) as found, _as_owner(found):
                    client.connect(f"/proc/self/fd/{found}")
                    return
    raise OSError("no socket of a PostgreSQL answers in the container")


@contextmanager
def _as_owner(descriptor: int) -> Iterator[None]:
    """Let the server see its own user, whom `peer` lets in."""
    owner = os.fstat(descriptor)
    os.setegid(owner.st_gid)
    try:
        os.seteuid(owner.st_uid)
        # Whoever takes another user on is shut out of his own descriptors' names in /proc until he says that he may be looked at.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
