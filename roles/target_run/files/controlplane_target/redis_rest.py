"""What a Redis would lose if its container were stopped now, and whether it can end at all; seen on this host, without its password.

Rules:
- An append-only file that works is one that the server has open. What it only left behind, when it was killed, nobody has open.
- Off while it runs and on at its next start, it would load nothing, or what is stale; the other way round, its last dump. Both are refused.
- While it writes its first append-only file it does not end when it is told to, and is killed then: whoever stops it waits for that first.
- What its container starts with is told by its words and by the file among them. What can't be told from these (an image's own script) is no reason.

Source: Redis 7.0 and 8.0, server.c (prepareForShutdown) and aof.c (the names of its temporary files, and who has them open).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from . import inside
from .faults import FailedFault

PROC = "/proc"
_SERVERS = ("redis-server", "valkey-server")
_OPEN = re.compile(r"\.aof$")
_UNFINISHED = re.compile(r"temp-rewriteaof-.*\.aof$|temp-.+\.incr$")
_OPTION = re.compile(r"--appendonly[\s=\"']+(yes|no)", re.IGNORECASE)
_MOST_INCLUDES = 32
_MEND = "turn it on while it serves, and persist it (controlplane plan --capability redis.durability), or set both alike by hand"
Inspection = Mapping[str, Any]
Reads = Callable[[int, str], bytes]


class Server(NamedTuple):
    """A Redis that runs: its container's inspection, its process on this host, and those that it forked to write a file."""

    inspection: Inspection
    pid: int
    children: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Return its container's name."""
        return str(self.inspection["Name"]).lstrip("/")


def servers(containers: Iterable[Inspection]) -> list[Server]:
    """Return the servers of those containers."""
    running = {_cgroup(int(held["State"]["Pid"])): held for held in containers if held["State"].get("Running") and held["State"].get("Pid")}
    running.pop("", None)
    found: dict[int, Inspection] = {}
    parents: dict[int, int] = {}
    for pid in _pids():
        try:
            with open(f"{PROC}/{pid}/comm", encoding="utf-8", errors="replace") as stream:
                if stream.read().strip() not in _SERVERS:
                    continue
            place = _cgroup(pid)
            held = next((one for cgroup, one in running.items() if place == cgroup or place.startswith(cgroup + "/")), None)
            if held is not None:
                found[pid], parents[pid] = held, _parent(pid)
        except OSError:
            continue  # it ended meanwhile
    return [
        Server(held, pid, tuple(sorted(child for child in found if parents[child] == pid)))
        for pid, held in sorted(found.items())
        if parents[pid] not in found
    ]


def at_risk(containers: Iterable[Inspection]) -> list[str]:
    """Return one sentence for each Redis that would lose keys if it were stopped and started as it is."""
    return [told for server in servers(containers) if (told := lost_by_start(server, words_of(server.inspection))) is not None]


def lost_by_start(server: Server, words: list[str], *, read: Reads = inside.read) -> str | None:
    """Return what a start with these words would lose of what the server holds now, None where nothing is known to be lost."""
    folder = str(server.inspection["Config"].get("WorkingDir") or "/")
    starts = _starts_with_file(words, folder, lambda path: read(server.pid, path))
    keeps = _keeps_file(server.pid)
    if starts is None or keeps is None or starts == keeps:
        return None
    if starts:
        return f"{server.name}: AOF is off while it runs and on at its next start, which would load nothing, or what is stale: {_MEND}"
    return f"{server.name}: AOF is on while it runs and off at its next start, which would load its last dump: {_MEND}"


def words_of(inspection: Inspection) -> list[str]:
    """Return the words that a container starts with."""
    return [str(word) for word in [inspection["Path"], *(inspection.get("Args") or [])]]


def writing(containers: Iterable[Inspection]) -> list[str]:
    """Return the names of those whose append-only file is being written as a whole right now."""
    return sorted({server.name for server in servers(containers) if any(_is_writing(pid) for pid in (server.pid, *server.children))})


def await_rest(look: Callable[[], Iterable[Inspection]], limit_s: float, check: Callable[[], None] = lambda: None) -> None:
    """Return once none of them writes its append-only file as a whole. `check` raises where nobody waits any more. Raises `FailedFault`."""
    end = time.monotonic() + limit_s
    while names := writing(look()):
        check()
        if time.monotonic() > end:
            raise FailedFault(
                f"{', '.join(names)} still writes its append-only file after {limit_s:.0f} s, and stopped now it would be killed within it. "
                "Nothing was stopped. It goes on by itself; run this again"
            )
        time.sleep(0.2)


def keeps_file(held: Inspection) -> bool | None:
    """Say whether the server of a container has an append-only file open, None where that can't be said: it ends, or there is none."""
    running = servers([held])
    found = [_keeps_file(server.pid) for server in running]
    # Who ends has nothing open from some moment on: what was seen holds of one that has something still.
    if not found or None in found or not all(_has_any_open(server.pid) for server in running):
        return None
    return True in found


def _has_any_open(pid: int) -> bool:
    try:
        return bool(os.listdir(f"{PROC}/{pid}/fd"))
    except OSError:
        return False


def _keeps_file(pid: int) -> bool | None:
    """Say whether the server has an append-only file open; None where it is gone."""
    try:
        return any(_OPEN.search(name) or _UNFINISHED.search(name) for name in _open_names(pid))
    except OSError:
        return None


def _is_writing(pid: int) -> bool:
    try:
        return any(_UNFINISHED.search(name) for name in _open_names(pid))
    except OSError:
        return False  # it ended meanwhile


def _open_names(pid: int) -> Iterator[str]:
    """Yield the names of the files that it has open, without their folders."""
    for descriptor in os.listdir(f"{PROC}/{pid}/fd"):
        try:
            path = os.readlink(f"{PROC}/{pid}/fd/{descriptor}")
        except FileNotFoundError:
            continue
        if path.startswith("/"):
            yield os.path.basename(path.removesuffix(" (deleted)"))


def _starts_with_file(words: list[str], folder: str, read: Callable[[str], bytes]) -> bool | None:
    """Say whether a start with these words keeps an append-only file; None where they don't tell."""
    if told := _OPTION.findall(" ".join(words)):
        return bool(told[-1].lower() == "yes")
    at = next((number for number, word in enumerate(words) if os.path.basename(word) in _SERVERS), None)
    rest = words if at is None else words[at + 1 :]
    file = next((word for word in rest if word.endswith(".conf") and not word.startswith("-") and " " not in word), None)
    if file is None and at is not None and rest and not rest[0].startswith("-"):
        file = rest[0]
    if file is None:
        # Of a server that is named without a file the defaults are known; what a script starts is not.
        return False if at is not None else None
    try:
        return _last_told(os.path.normpath(os.path.join(folder, file)), read, 0) or False
    except (OSError, FailedFault):
        # What can't be read may say anything.
        return True


def _last_told(path: str, read: Callable[[str], bytes], depth: int) -> bool | None:
    """Return what a configuration file says last of the append-only file, those that it includes in their place. Raises `OSError`."""
    if depth > _MOST_INCLUDES:
        raise OSError(f"{path} includes too deep")
    said = None
    for line in read(path).decode("utf-8", "surrogateescape").splitlines():
        name, *values = line.replace('"', " ").replace("'", " ").split() or [""]
        if name.lower() == "include" and values:
            told = _last_told(values[0], read, depth + 1)
            said = told if told is not None else said
        elif name.lower() == "appendonly" and values:
            said = values[0].lower() == "yes"
    return said


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(PROC) if name.isdigit()]


def _parent(pid: int) -> int:
    with open(f"{PROC}/{pid}/stat", encoding="utf-8", errors="replace") as stream:
        return int(stream.read().rpartition(")")[2].split()[1])


def _cgroup(pid: int) -> str:
    """Return the process' own group, by which a container's processes are known; empty where it is gone or has none of its own."""
    try:
        with open(f"{PROC}/{pid}/cgroup", encoding="utf-8", errors="replace") as stream:
            lines = [line.rstrip("\n").split(":", 2) for line in stream]
    except OSError:
        return ""
    paths = [path for _, kinds, path in lines if kinds in ("", "name=systemd", "memory")]
    return next((path for path in paths if path != "/"), "")
