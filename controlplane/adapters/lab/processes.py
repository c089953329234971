"""Name processes so that a reused number is never taken for the process that had it before."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from controlplane.domain.errors import RunFailedError
from controlplane.domain.values import Value


class Process(Value):
    """A process by number and start time (clock ticks since boot, field 22 of /proc/PID/stat)."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """Return the live process `pid`, or None when there is none or it is only a zombie.

        A zombie whose other threads still end is alive: they hold its files.
        """
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
            threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
        except (OSError, ValueError):
            return None
        fields = text.rpartition(")")[2].split()
        return None if fields[0] in "ZX" and threads <= 1 else cls(pid=pid, started=int(fields[19]))

    def alive(self) -> bool:
        """Say whether this very process still runs."""
        return Process.of(self.pid) == self

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to this very process; one that is gone is left alone."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # Checked after the handle was opened: from here on the number can't come to mean another process.
            if self.alive():
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)


def in_namespace(path: Path) -> list[Process]:
    """Return the processes whose network namespace is the one at `path`."""
    try:
        wanted = path.stat()
    except OSError:
        return []
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            seen = (entry / "ns/net").stat()
        except OSError:
            continue
        # Both numbers: a name whose namespace is gone is a plain file, whose inode number may be anything.
        ours = (seen.st_dev, seen.st_ino) == (wanted.st_dev, wanted.st_ino)
        if ours and (process := Process.of(int(entry.name))):
            found.append(process)
    return found


def end(processes: Iterable[Process], *, limit_s: float = 10.0) -> None:
    """Kill processes and wait until they are gone; one that stays is an error."""
    todo = list(processes)
    for process in todo:
        process.kill()
    deadline = time.monotonic() + limit_s
    while left := [process.pid for process in todo if process.alive()]:
        if time.monotonic() > deadline:
            raise RunFailedError(f"lab: processes {left} did not end within {limit_s:.0f} s of SIGKILL; look at them with ps")
        time.sleep(0.02)
