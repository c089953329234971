"""Docker's own units: which run, how they are stopped so that nothing is left, how they come back."""

from __future__ import annotations

import os
import re
import shlex
import time
from pathlib import Path

from .daemon_json import expand
from .faults import FailedFault
from .systemd import active, loaded, systemctl

# In this order they are stopped: the socket would start the daemon again (truenas/middleware#19697).
STOP_ORDER = ("docker.socket", "docker.service", "containerd.service")
START_ORDER = ("containerd.service", "docker.socket", "docker.service")
_LEFT_BEHIND = re.compile(r"containerd-shim.*|dockerd|docker-proxy|containerd|docker-containerd.*")


def running_units() -> list[str]:
    """Return those of Docker's units that are up now."""
    return [unit for unit in STOP_ORDER if active(unit)]


def stop_units(units: list[str]) -> None:
    """Stop those units in their order, each fully before the next."""
    for unit in STOP_ORDER:
        if unit in units or active(unit):
            systemctl("stop", unit, timeout=600)


def start_units(units: list[str]) -> None:
    """Start those units; an earlier burst of starts does not count against them."""
    for unit in START_ORDER:
        if unit in units and loaded(unit):
            systemctl("reset-failed", unit, check=False)
            systemctl("start", unit, timeout=300)


def processes_left() -> list[str]:
    """Return `name (pid)` of Docker's and containerd's processes that this host still runs."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            name = os.path.basename(os.readlink(entry / "exe"))
        except OSError:
            continue
        if _LEFT_BEHIND.fullmatch(name.replace(" (deleted)", "")):
            found.append(f"{name} ({entry.name})")
    return found


def assert_stopped(limit_s: float = 20) -> None:
    """Wait until none of Docker's processes is left; one that stays is a fault."""
    end = time.monotonic() + limit_s
    while True:
        left = processes_left()
        if not left:
            return
        if time.monotonic() > end:
            raise FailedFault(f"after the stop of {', '.join(STOP_ORDER)} there still run {', '.join(left)}")
        time.sleep(0.1)


def shims_of_others() -> list[str]:
    """Return the containerd namespaces other than Docker's that have a container running: stopping containerd would concern them."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"containerd-shim" in words[0] and b"-namespace" in words:
            namespace = words[words.index(b"-namespace") + 1].decode(errors="replace")
            if namespace != "moby":
                found.add(namespace)
    return sorted(found)


def _command_of(unit: str) -> list[str]:
    raw = systemctl("show", "--property=ExecStart", "--value", unit, check=False)
    found = re.search(r"argv\[\]=(.*?) ; ignore_errors=", raw)
    return shlex.split(found[1]) if found else []


def program_of(unit: str) -> str:
    """Return the path of the program that the unit starts, empty where it names none."""
    return next(iter(_command_of(unit)), "")


def is_stale(unit: str) -> bool:
    """Return whether the unit's files changed since systemd read them: the next reload starts something else."""
    return systemctl("show", "--property=NeedDaemonReload", "--value", unit, check=False).strip() == "yes"


def started_at(unit: str) -> float:
    """Return the epoch at which the unit's main process last started, 0 where it never did."""
    since_boot = systemctl("show", "--property=ExecMainStartTimestampMonotonic", "--value", unit, check=False).strip()
    if not since_boot.isdigit() or since_boot == "0":
        return 0.0
    return time.time() - time.clock_gettime(time.CLOCK_MONOTONIC) + int(since_boot) / 1e6


def arguments_of(unit: str) -> list[str]:
    """Return the words of the unit's ExecStart without its program, `$NAME` expanded from its Environment and EnvironmentFiles."""
    environment: dict[str, str] = {}
    for word in shlex.split(systemctl("show", "--property=Environment", "--value", unit, check=False)):
        name, _, value = word.partition("=")
        environment[name] = value
    for file in re.findall(r"(/\S+) \(ignore_errors=", systemctl("show", "--property=EnvironmentFiles", unit, check=False)):
        environment.update(_environment_file(Path(file)))
    return expand(_command_of(unit)[1:], environment)


def _environment_file(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith("#"):
            found[name] = value.strip().strip("'\"")
    return found
