"""End a program together with everything that it started, and know when that is gone.

Rules:
- Ansible's workers lead sessions of their own, so no process group holds them: descendants are followed by parent, before and while they are ended.
- First SIGTERM to the program alone, which then ends its workers in order; SIGKILL only to what is left after the grace.
- A process is known by pid and start time, so that a reused pid is never touched.
- What left its parent before anybody looked is found by what it can't easily shed: a mark in its environment, or its session.
- Multiplexing masters of ssh ("[mux]") carry nothing by themselves and end by their own time; they are left.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

_TICK = 0.05


class Process(NamedTuple):
    """One process: `started` is its start time in clock ticks since boot."""

    pid: int
    started: int


def _stat(pid: str | int) -> list[str]:
    """Return the fields of a process from its state on: state, parent, group, session, … (proc(5)); empty where it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    return []


def _table() -> dict[int, tuple[int, int]]:
    """Return {pid: (parent, start time)} of every process that is no zombie."""
    found = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - names only, and often
        if not entry.isdigit():
            continue
        with contextlib.suppress(ValueError, IndexError):
            fields = _stat(entry)
            if fields[0] not in "ZX":
                found[int(entry)] = (int(fields[1]), int(fields[19]))
    return found


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def children_with(mark: str) -> list[Process]:
    """Return this process' own children whose command line contains `mark`."""
    needle = mark.encode()
    return [Process(pid, started) for pid, (parent, started) in _table().items() if parent == os.getpid() and needle in _command(pid)]


def marked_with(mark: str) -> list[Process]:
    """Return the processes in whose environment the variable `mark` (NAME=value) stands, whoever their parent is by now."""
    needle = mark.encode()
    return [Process(pid, started) for pid, (_, started) in _table().items() if needle in _environment(pid).split(b"\0")]


def in_session(leader: int) -> list[Process]:
    """Return the processes of the session that `leader` began, whoever their parent is by now."""
    return [Process(pid, started) for pid, (_, started) in _table().items() if _stat(pid)[3:4] == [str(leader)]]


def _environment(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""


class ProcessTree:
    """What descends from some roots, remembered also after its parents have ended; `strays` finds more of it, and costs more."""

    def __init__(self, roots: list[Process], *, strays: Callable[[], list[Process]] = list) -> None:
        self._roots = roots
        self._known: set[Process] = set(roots)
        self._strays = strays

    def follow(self) -> set[Process]:
        """Return everything known that still runs, with the descendants that it has by now."""
        table = _table()
        alive = {process for process in self._known if table.get(process.pid, (0, -1))[1] == process.started}
        pids = {process.pid for process in alive}
        grew = True
        while grew:
            new = {Process(pid, started) for pid, (parent, started) in table.items() if parent in pids and pid not in pids}
            grew = bool(new)
            alive |= new
            pids |= {process.pid for process in new}
        alive = {process for process in alive if b"[mux]" not in _command(process.pid)}
        self._known |= alive
        return alive

    def end(self, *, grace: float, sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic) -> bool:
        """End everything; return whether nothing is left. `grace` seconds pass before SIGKILL."""
        self.search()
        for root in self._roots:
            _signal(root, signal.SIGTERM)
        deadline = clock() + grace
        while clock() < deadline:
            if not self.search():
                return True
            sleep(_TICK)
        deadline = clock() + 5
        while (left := self.search()) and clock() < deadline:
            for process in left:
                _signal(process, signal.SIGKILL)
            sleep(_TICK)
        return not left

    def search(self) -> set[Process]:
        """Return the same, with what `strays` finds."""
        self._known |= set(self._strays())
        return self.follow()


def _signal(process: Process, number: int) -> None:
    if _table().get(process.pid, (0, -1))[1] == process.started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
