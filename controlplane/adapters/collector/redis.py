"""Redis as it runs and as it will start again, seen from inside its container's network; passwords stay on the host.

The password is the one that the controller told, and then no other is tried. Else it comes from where the container itself has it: the variable
that the policy names, its command line, its configuration file. It goes into the socket and nowhere else.
"""

from __future__ import annotations

import os
import re
import socket
from typing import Any

from .inside import chosen, enter, look_into
from .redact import scrub
from .redis_config import KEPT, Directive, effective, parse_file, parse_words, secrets_of, server_words
from .supervise import ProbeError
from .tools import PATH, slurp

_INFO = frozenset(
    "redis_version redis_mode config_file role loading aof_enabled aof_rewrite_in_progress aof_rewrite_scheduled aof_last_bgrewrite_status "
    "aof_last_write_status "
    "rdb_last_bgsave_status rdb_last_save_time rdb_bgsave_in_progress rdb_changes_since_last_save used_memory aof_current_size aof_base_size".split()
)
_PROGRAM = re.compile(r"(?:^|[-/])(?:redis|valkey)(?:-server)?$")
_LEAST_HIDDEN = 6
_VARIABLES = ("REDIS_PASSWORD", "REDISCLI_AUTH", "VALKEY_PASSWORD")


class _Connection:
    """The few commands of RESP that this needs. Raises ProbeError for what is no RESP, OSError for the network."""

    def __init__(self, port: int, path: str | None) -> None:
        if path:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(2)
            self._socket.connect(path)
        else:
            self._socket = socket.create_connection(("127.0.0.1", port), timeout=2)
        self._stream = self._socket.makefile("rb")

    def ask(self, *words: str) -> Any:
        """Return a reply: text, number, list, None; an error reply is a ProbeError that begins with Redis' own word."""
        parts = [word.encode("utf-8", "surrogateescape") for word in words]
        self._socket.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        return self._reply()

    def _reply(self) -> Any:
        line = self._stream.readline(1 << 16)
        kind, text = line[:1], line[1:].decode("utf-8", "replace").strip()
        if not line.endswith(b"\r\n") or kind not in b"+-:$*":
            raise ProbeError("what answers does not speak Redis' protocol")
        if kind == b"-":
            raise ProbeError(text)
        if kind == b"+":
            return text
        number = int(text)
        if kind == b":":
            return number
        if number < 0:
            return None
        if kind == b"$":
            if number > 1 << 20:
                raise ProbeError("Redis' answer is too large")
            return self._stream.read(number + 2)[:-2].decode("utf-8", "replace")
        return [self._reply() for _ in range(min(number, 10000))]


def _unreachable(why: str) -> dict[str, Any]:
    nothing: dict[str, Any] = {
        "version": None,
        "dir": None,
        "running": {},
        "persisted": {},
        "persisted_from": None,
        "info": {},
        "aof_files": [],
        "keys": None,
    }
    return {"reachable": False, "error": why, **nothing}


def _open(directives: list[Directive], service: dict[str, Any], passwords: list[str]) -> _Connection:
    settings = effective(directives)
    port = int(settings.get("port") or 6379)
    connection = _Connection(port, settings.get("unixsocket") if port == 0 else None)
    auth = service.get("auth") or {}
    user = [auth["user"]] if "user" in auth else []
    if not user:
        try:
            connection.ask("PING")
        except ProbeError as error:
            if not str(error).startswith("NOAUTH"):
                raise
        else:
            return connection
    for password in passwords:
        try:
            connection.ask("AUTH", *user, password)
        except ProbeError as error:
            if "secret" not in service:
                continue
            if str(error).startswith(("WRONGPASS", "ERR invalid password")):
                raise ProbeError("the password was refused") from None
            # Only its first word: a server that does not know the command repeats what it was given.
            raise ProbeError(f"Redis took no login ({str(error).partition(' ')[0]})") from None
        return connection
    name = auth.get("password_env")
    given = f"{name} is not set on the controller" if name else "the policy names no password"
    raise ProbeError(f"NOAUTH: Redis demands a login, {given}, and the container's own settings gave none that it takes")


def _aof_files(settings: dict[str, str]) -> list[str]:
    base = settings.get("dir") or "/data"
    single, folder = settings.get("appendfilename") or "appendonly.aof", settings.get("appenddirname") or "appendonlydir"
    found = [single] if os.path.lexists(os.path.join(base, single)) else []
    try:
        found += [f"{folder}/{name}" for name in os.listdir(os.path.join(base, folder))]
    except (FileNotFoundError, NotADirectoryError):
        pass
    return sorted(found)


def _script(program: str, environment: dict[str, str]) -> str | None:
    """Return a script's text, as the container's own PATH finds it."""
    folders = [""] if "/" in program else environment.get("PATH", PATH).split(":")
    for folder in folders:
        path = os.path.join(folder, program)
        if os.path.isfile(path):
            with open(path, "rb") as stream:
                start = stream.read(2)
            return slurp(path, 1 << 16) if start == b"#!" else None
    return None


def _look(inspection: dict[str, Any], service: dict[str, Any]) -> dict[str, Any]:
    environment = dict(pair.partition("=")[::2] for pair in inspection["Config"].get("Env") or [])
    command = [inspection["Path"], *(inspection.get("Args") or [])]
    variable = (service.get("auth") or {}).get("password_env")
    passwords = [environment[name] for name in (variable, *_VARIABLES) if name and environment.get(name)]
    told = service.get("secret") or {}
    state = _unreachable("the container does not run")
    directives: list[Directive] = []
    failure = None
    is_running = inspection["State"]["Running"]
    if is_running:
        enter(inspection["State"]["Pid"])
    words = server_words(command, environment, lambda program: _script(program, environment) if is_running else None)
    parsed = None if words is None else parse_words(words)
    file, options = parsed or (None, [])
    if is_running:
        try:
            if file:
                where = os.path.normpath(os.path.join(inspection["Config"].get("WorkingDir") or "/", file))
                directives = parse_file(where, slurp)
        except (OSError, ProbeError) as error:
            failure = f"{file}: {error}"
        passwords += secrets_of(directives + options)
        state = _unreachable(told["why"]) if "why" in told else _running(directives + options, service, [told["password"]] if told else passwords)
    if parsed is not None and failure is None and (is_running or not file):
        state["persisted"] = effective(directives + options)
        state["persisted_from"] = "command line" if not file else f"{file} and command line" if options else file
    elif failure is not None and state["error"] is None:
        state["error"] = failure
    # What the server tells of itself holds no password, but its command may have one where we read a setting. A short one is as likely a setting.
    state["persisted"] = scrub(state["persisted"], [secret for secret in (told.get("password", ""),) if len(secret) >= _LEAST_HIDDEN])
    return dict(scrub(state, passwords + secrets_of(options)))


def _running(directives: list[Directive], service: dict[str, Any], passwords: list[str]) -> dict[str, Any]:
    try:
        connection = _open(directives, service, passwords)
        told = connection.ask("CONFIG", "GET", "*")
        settings = {name: value for name, value in zip(told[::2], told[1::2]) if name in KEPT}
        lines = [line.partition(":")[::2] for line in connection.ask("INFO").splitlines() if ":" in line]
    except (OSError, ProbeError, ValueError) as error:
        return _unreachable(str(error))
    info = dict(lines)
    keys = sum(int(value.partition("keys=")[2].partition(",")[0]) for name, value in lines if name.startswith("db") and value.startswith("keys="))
    return {
        "reachable": True,
        "error": None,
        "version": info.get("redis_version"),
        "dir": settings.get("dir"),
        "running": settings,
        "persisted": {},
        "persisted_from": None,
        "info": {name: value for name, value in info.items() if name in _INFO},
        "aof_files": _aof_files(settings),
        "keys": keys,
    }


def redis(asked: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    """Return the state of every Redis container, asked for or found, by container name."""
    containers = seen.get("docker_containers")
    wanted = chosen(asked, containers or [], "redis", _PROGRAM)
    return look_into(wanted, containers, _look, _unreachable)
