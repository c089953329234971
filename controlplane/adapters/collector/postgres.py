"""PostgreSQL as it runs and as it will start again, asked over its local socket as the server's own user; nothing is started in the container.

What lasts is read from pg_file_settings (the last valid line wins), and above it the server's own command line, which a container keeps.
"""

from __future__ import annotations

import glob
import os
import re
import socket
import struct
from typing import Any

from .inside import chosen, enter, look_into
from .supervise import ProbeError

NAMES = "fsync full_page_writes synchronous_commit wal_level wal_sync_method data_directory archive_mode data_checksums wal_log_hints".split()
_SETTINGS = (
    "SELECT s.name, s.setting, s.source, s.boot_val, s.vartype, s.pending_restart::text, "
    "(SELECT f.setting FROM pg_file_settings f WHERE f.name = s.name AND f.error IS NULL ORDER BY f.seqno DESC LIMIT 1) "
    "FROM pg_settings s WHERE s.name = ANY (ARRAY[{}]) OR s.pending_restart"
)
# Where each tablespace lies by its link in pg_tblspc, as a path inside the container.
_SPACES = "SELECT spcname, pg_tablespace_location(oid) FROM pg_tablespace WHERE pg_tablespace_location(oid) <> '' ORDER BY 1"
_SOCKETS = ("/var/run/postgresql/.s.PGSQL.*", "/run/postgresql/.s.PGSQL.*", "/tmp/.s.PGSQL.*")  # noqa: S108 - where servers put it
_PROGRAM = re.compile(r"(?:^|[-/])(?:postgres(?:ql)?|postgis|timescaledb)$")
_TRUE, _FALSE = frozenset("on true yes 1 t y".split()), frozenset("off false no 0 f n".split())


class _Connection:
    """The simple query protocol without passwords: `trust` and `peer` are what a server grants its own user."""

    def __init__(self, path: str, user: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(2)
        self._socket.connect(path)
        self._stream = self._socket.makefile("rb")
        words = b"".join(word.encode() + b"\0" for word in ("user", user, "database", "postgres", "application_name", "controlplane evidence"))
        start = struct.pack(">I", 196608) + words + b"\0"
        self._socket.sendall(struct.pack(">I", len(start) + 4) + start)
        self._until_ready()

    def rows(self, query: str) -> list[list[str | None]]:
        """Return the rows of one query. Raises ProbeError with the server's words."""
        body = query.encode() + b"\0"
        self._socket.sendall(b"Q" + struct.pack(">I", len(body) + 4) + body)
        return self._until_ready()

    def _until_ready(self) -> list[list[str | None]]:
        rows: list[list[str | None]] = []
        while True:
            head = self._stream.read(5)
            if len(head) < 5:
                raise ProbeError("PostgreSQL closed the connection")
            kind, length = struct.unpack(">cI", head)
            if not 4 <= length <= 1 << 22:
                raise ProbeError("what answers does not speak PostgreSQL's protocol")
            body = self._stream.read(length - 4)
            if kind == b"E":
                fields = {part[:1]: part[1:].decode("utf-8", "replace") for part in body.split(b"\0") if part}
                raise ProbeError(f"PostgreSQL: {fields.get(b'M', 'an error without a message')}")
            if kind == b"R" and struct.unpack(">I", body[:4])[0] != 0:
                raise ProbeError("PostgreSQL demands a password of its own user on its local socket")
            if kind == b"D":
                rows.append(_row(body))
            if kind == b"Z":
                return rows


def _row(body: bytes) -> list[str | None]:
    values: list[str | None] = []
    (count,) = struct.unpack_from(">H", body)
    at = 2
    for _ in range(count):
        (length,) = struct.unpack_from(">i", body, at)
        at += 4
        values.append(None if length < 0 else body[at : at + length].decode("utf-8", "replace"))
        at += max(length, 0)
    return values


def _unreachable(why: str) -> dict[str, Any]:
    return {"reachable": False, "error": why, "version": None, "data_directory": None, "running": {}, "persisted": {}, "pending_restart": []}


def same_spelling(value: str, vartype: str) -> str:
    """Return a boolean as on or off, however the file spells it; any other value as it is."""
    word = value.lower()
    if vartype == "bool" and word in _TRUE | _FALSE:
        return "on" if word in _TRUE else "off"
    return value


def state_of(version: str, rows: list[list[str | None]]) -> dict[str, Any]:
    """Return the state from the server's version and the rows of the one query."""
    running: dict[str, str] = {}
    persisted: dict[str, str] = {}
    pending = []
    for row in rows:
        name, setting, source, boot, vartype, waits, in_file = (value or "" for value in row)
        if waits == "true":
            pending.append(name)
        if name not in NAMES:
            continue
        running[name] = setting
        if source == "command line":
            persisted[name] = setting
        else:
            persisted[name] = same_spelling(in_file if row[6] is not None else boot, vartype)
    return {
        "reachable": True,
        "error": None,
        "version": version,
        "data_directory": running.get("data_directory"),
        "running": running,
        "persisted": {name: value for name, value in persisted.items() if name != "data_directory"},
        "pending_restart": sorted(pending),
    }


def spaces_of(connection: _Connection) -> dict[str, Any]:
    """Return {tablespaces: {name: path inside the container}}; empty where the server does not say, which is unknown, not none."""
    try:
        return {"tablespaces": {str(name): str(place) for name, place in connection.rows(_SPACES)}}
    except (OSError, ProbeError):
        return {}


def _look(inspection: dict[str, Any], _service: dict[str, Any]) -> dict[str, Any]:
    if not inspection["State"]["Running"]:
        return _unreachable("the container does not run")
    environment = dict(pair.partition("=")[::2] for pair in inspection["Config"].get("Env") or [])
    enter(inspection["State"]["Pid"])
    places = sorted({path for pattern in _SOCKETS for path in glob.glob(pattern) if not path.endswith(".lock")})
    if not places:
        return _unreachable("no PostgreSQL socket in the container")
    owner = os.stat(places[0])
    os.setgroups([])
    os.setgid(owner.st_gid)
    os.setuid(owner.st_uid)
    failure = ""
    for user in dict.fromkeys((environment.get("POSTGRES_USER") or "postgres", "postgres")):
        try:
            connection = _Connection(places[0], user)
            version = connection.rows("SHOW server_version")[0][0] or ""
            names = ",".join(f"'{name}'" for name in NAMES)
            state = state_of(version, connection.rows(_SETTINGS.format(names)))
            return {**state, **spaces_of(connection)}
        except (OSError, ProbeError) as error:
            failure = str(error)
    return _unreachable(failure)


def postgres(asked: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    """Return the state of every PostgreSQL container, asked for or found, by container name."""
    containers = seen.get("docker_containers")
    wanted = chosen(asked, containers or [], "postgres", _PROGRAM)
    return look_into(wanted, containers, _look, _unreachable)
