"""Which machine this is, in which boot."""

from __future__ import annotations

import os
import time
from typing import Any

from .tools import slurp, slurp_or_none, word


def _os_release() -> dict[str, str]:
    text = slurp_or_none("/etc/os-release") or slurp_or_none("/usr/lib/os-release") or ""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip().strip("\"'") for key, value in pairs}


def _boot_epoch() -> float:
    # In a container the kernel's boot time is the host's: what counts is when PID 1 began.
    began = next(int(line.split()[1]) for line in slurp("/proc/stat").splitlines() if line.startswith("btime "))
    try:
        ticks = int(slurp("/proc/1/stat").rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        ticks = 0
    return round(began + ticks / os.sysconf("SC_CLK_TCK"), 2)


def identity(_asked: dict[str, Any], _seen: dict[str, Any]) -> dict[str, Any]:
    """Return the machine's identity, its boot and its clock."""
    release = _os_release()
    name = os.uname()
    return {
        "machine_id": word("/etc/machine-id") or "",
        "boot_id": slurp("/proc/sys/kernel/random/boot_id").strip(),
        "hostname": name.nodename,
        "kernel": name.release,
        "os_id": release.get("ID", ""),
        "os_version": release.get("VERSION_ID", ""),
        "boot_epoch": _boot_epoch(),
        "clock_epoch": time.time(),
        "euid": os.geteuid(),
    }
