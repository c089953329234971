"""Ask and tell systemd; start long work as a transient unit that outlives the connection and excludes a twin."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import time
from collections.abc import Sequence

from .faults import FailedFault

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


def systemctl(*arguments: str, check: bool = True, timeout: float = 180) -> str:
    """Return systemctl's output; with `check` a failure is a fault with its message."""
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False, timeout=timeout, env=_ENVIRONMENT)
    if check and done.returncode != 0:
        raise FailedFault(f"systemctl {shlex.join(arguments)} ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def active(unit: str) -> bool:
    """Return whether the unit is up, on its way up or on its way down: in each of them its processes may work."""
    return systemctl("is-active", unit, check=False).strip() in ("active", "activating", "deactivating", "reloading")


def stopped_within(unit: str, limit_s: float) -> bool:
    """Return whether the unit was on its way down and has come to its end within `limit_s` seconds."""
    end, was_stopping = time.monotonic() + limit_s, False
    while systemctl("is-active", unit, check=False).strip() == "deactivating":
        was_stopping = True
        if time.monotonic() > end:
            return False
        time.sleep(0.25)
    return was_stopping


def loaded(unit: str) -> bool:
    """Return whether systemd knows the unit."""
    return systemctl("show", "--property=LoadState", "--value", unit, check=False).strip() == "loaded"


def unit_name(role: str, destination: str) -> str:
    """Return the transient unit's name: the same work on the same destination has the same name, so that it runs once."""
    return f"controlplane-{role.replace('_', '-')}-{hashlib.sha256(destination.encode()).hexdigest()[:8]}.service"


def start_transient(unit: str, argv: Sequence[str], *, after: Sequence[str] = (), gentle: bool = False) -> bool:
    """Start `argv` as that unit; False where it runs already. `after` runs once the main process ended, however it ended."""
    if active(unit):
        return False
    properties = ["Type=exec", "KillMode=mixed", "TimeoutStopSec=1800", "OOMScoreAdjust=-900", "UMask=0077"]
    if gentle:
        properties += ["Nice=10", "IOSchedulingClass=best-effort", "IOSchedulingPriority=7"]
    if after:
        properties.append(f"ExecStopPost={shlex.join(after)}")
    systemctl("reset-failed", unit, check=False)
    command = ["systemd-run", f"--unit={unit}", "--collect", "--quiet", *(f"--property={held}" for held in properties), "--", *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**_ENVIRONMENT, **_bus()})
    if done.returncode != 0:
        if active(unit):
            return False
        raise FailedFault(f"the unit {unit} could not be started: {done.stderr.strip()}")
    return True


def _bus() -> dict[str, str]:
    return {name: os.environ[name] for name in ("DBUS_SYSTEM_BUS_ADDRESS",) if name in os.environ}
