"""Give each machine cgroups of its own: two systemds in one cgroup would end each other's services.

On a host that runs systemd the machine gets a delegated scope; elsewhere a group in each mounted hierarchy.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .processes import Process

SYSTEMD_RUNS = Path("/run/systemd/system")


def hierarchies(mountinfo: str) -> list[Path]:
    """Return where the cgroup hierarchies are mounted."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        if after.split(" ")[0] in {"cgroup", "cgroup2"}:
            found.append(Path(before.split(" ")[4]))
    return found


def groups(name: str) -> list[Path]:
    """Return the machine's groups, one for each hierarchy, whether or not they exist."""
    if SYSTEMD_RUNS.exists():
        return []
    return [mount / name for mount in hierarchies(Path("/proc/self/mountinfo").read_text())]


def prepare(name: str) -> list[Path]:
    """Make the machine's groups and return the files that a process writes 0 into to enter them."""
    entered = []
    for group in groups(name):
        group.mkdir(exist_ok=True)
        for wanted in ("cpuset.cpus", "cpuset.mems"):
            if (group / wanted).exists() and not (group / wanted).read_text().strip():
                (group / wanted).write_text((group.parent / wanted).read_text())
        if (group / "cgroup.clone_children").exists() and (group / "cpuset.cpus").exists():
            (group / "cgroup.clone_children").write_text("1")
        entered.append(group / "cgroup.procs")
    return entered


def wrap(name: str, argv: Sequence[str]) -> list[str]:
    """Return `argv` so that it starts in a scope of its own where systemd governs the cgroups."""
    if not SYSTEMD_RUNS.exists():
        return list(argv)
    return ["systemd-run", "--quiet", "--scope", "--collect", f"--unit={name}", "--property=Delegate=yes", "--", *argv]


def members(name: str) -> list[Process]:
    """Return every live process in the machine's groups and below."""
    pids: set[int] = set()
    for folder in _all(name):
        with suppress(OSError):
            pids |= {int(word) for word in (folder / "cgroup.procs").read_text().split()}
    return [process for pid in sorted(pids) if pid and (process := Process.of(pid))]


def thaw(name: str) -> None:
    """Let everything in the machine's groups run: what is frozen there, as a paused container is, can't be killed either."""
    for folder in _all(name):
        for file, word in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            with suppress(OSError):
                if (folder / file).exists():
                    (folder / file).write_text(word)


def _all(name: str) -> list[Path]:
    """Return the machine's groups and all below; those that vanish meanwhile are passed over, as `os.walk` does."""
    return [Path(folder) for group in groups(name) for folder, _, _ in os.walk(group)]


def remove(name: str, *, limit_s: float = 5.0) -> None:
    """Remove the machine's empty groups; the kernel needs a moment after the last process ended."""
    deadline = time.monotonic() + limit_s
    for group in groups(name):
        while group.exists():
            for folder in [*sorted((f for f in group.rglob("*") if f.is_dir()), reverse=True), group]:
                with suppress(OSError):
                    folder.rmdir()
            if time.monotonic() > deadline:
                return
            if group.exists():
                time.sleep(0.05)
