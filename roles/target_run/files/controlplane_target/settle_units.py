"""Small units that bring the host to one side after a power cut, without a controller; they exist only while a run is open.

Rules:
- A move of Docker's root has two, any other run one, which is as the second of them.
- The first runs before docker, its socket and containerd, and sets both configurations to one side. Docker requires it: if it can't decide, Docker stays down.
- The second runs after Docker, starts what ran before, and finishes the journal.
- That other one tries again for minutes: what it needs of Docker may not be there for a while, such as within a restart of the daemon. One without which a
  service stays down tries for ever, and lets Docker be while somebody has stopped it. It is tried too, in the same boot, where the unit of a leg ended without its leg and could not settle it either.
- They wait for the destination's mount if it is on its way, and start without it: a missing disk is a case to decide, not to hang on.
"""

from __future__ import annotations

import hashlib
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .files import remove, sync_directory, write_atomic
from .systemd import systemctl

FOLDER = Path("/etc/systemd/system")
BEFORE = "controlplane-settle.service"
AFTER = "controlplane-settle-services.service"
DOCKER_UNITS = ("containerd.service", "docker.socket", "docker.service")


def _mount_unit(mount: str) -> str:
    done = subprocess.run(["systemd-escape", "--path", "--suffix=mount", mount], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def texts(command: Sequence[str], mounts: Sequence[str]) -> dict[str, str]:
    """Return {unit: its text}; `command` is the tool's argv up to the stage's name."""
    units = " ".join(sorted({"local-fs.target", *(_mount_unit(mount) for mount in mounts)}))
    docker = " ".join(DOCKER_UNITS)
    before = (
        "[Unit]\nDescription=Bring Docker's configuration to one side of an interrupted move\n"
        f"DefaultDependencies=no\nAfter={units}\nBefore={docker} shutdown.target\nConflicts=shutdown.target\n"
        f"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart={shlex.join([*command, '--stage=configuration'])}\n"
        f"[Install]\nRequiredBy={docker}\nWantedBy=multi-user.target\n"
    )
    after = (
        "[Unit]\nDescription=Start again what ran before an interrupted move of Docker's root\n"
        f"Wants={BEFORE} docker.service\nAfter={BEFORE} {docker}\n"
        f"[Service]\nType=exec\nTimeoutStopSec=1800\nExecStart={shlex.join([*command, '--stage=services'])}\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )
    return {BEFORE: before, AFTER: after}


def install(command: Sequence[str], mounts: Sequence[str]) -> None:
    """Write and enable both units; they do nothing in this boot."""
    for unit, text in texts(command, mounts).items():
        write_atomic(FOLDER / unit, text.encode(), mode=0o644)
    systemctl("daemon-reload")
    systemctl("--quiet", "enable", BEFORE, AFTER)
    _make_durable()


def install_after(run: str, command: Sequence[str], mounts: Sequence[str], *, waits: bool = False) -> None:
    """Write and enable the one unit of a run that moves no root of Docker: after Docker it brings what the run left open to one side.

    `waits`: it waits for Docker itself, which it does not start, and is tried for ever: without it a service stays down.
    """
    units = " ".join(sorted({"local-fs.target", *(_mount_unit(mount) for mount in mounts)}))
    text = (
        "[Unit]\nDescription=Bring what an interrupted run left open to one side\n"
        f"After={units} {' '.join(DOCKER_UNITS)}\n"
        # Not for ever: what fails so often needs somebody.
        + ("StartLimitIntervalSec=0\n" if waits else "Wants=docker.service\nStartLimitIntervalSec=1d\nStartLimitBurst=30\n")
        + f"[Service]\nType=exec\nTimeoutStopSec=1800\nExecStart={shlex.join([*command, '--stage=services'])}\nRestart=on-failure\nRestartSec=10\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )
    unit = _unit_of(run)
    write_atomic(FOLDER / unit, text.encode(), mode=0o644)
    systemctl("daemon-reload")
    systemctl("--quiet", "enable", unit)
    _make_durable()


def start_after(run: str) -> None:
    """Let that unit work in this boot too; where it does already, nothing happens."""
    systemctl("start", "--no-block", _unit_of(run))


def or_later(run: str, command: Sequence[str]) -> list[str]:
    """Return the argv that settles by `command`, and starts the run's one unit, where it is installed, if that fails."""
    # Without a semicolon: systemd 252 ends a command at one, quoted or not, once it has read a transient unit anew.
    return ["/bin/sh", "-c", f"{shlex.join(command)} || (systemctl start --no-block {_unit_of(run)} && false)"]


def uninstall_after(run: str) -> None:
    """Disable and remove that unit, where it is."""
    unit = _unit_of(run)
    if not (FOLDER / unit).exists():
        return
    # Between two attempts none of its processes runs, so it is never this one that is stopped.
    if systemctl("show", "--property=SubState", "--value", unit, check=False).strip() == "auto-restart":
        systemctl("stop", unit, check=False)
    systemctl("--quiet", "disable", unit, check=False)
    remove(FOLDER / unit)
    systemctl("daemon-reload", check=False)


def _make_durable() -> None:
    """Write the links that enable a unit to the disk: systemctl leaves that to the kernel, and a power cut within seconds would take them."""
    for folder in (*FOLDER.glob("*.wants"), *FOLDER.glob("*.requires"), FOLDER):
        sync_directory(folder)


def _unit_of(run: str) -> str:
    return f"controlplane-settle-{hashlib.sha256(run.encode()).hexdigest()[:8]}.service"


def uninstall() -> None:
    """Disable and remove both units, where they are."""
    if not any((FOLDER / unit).exists() for unit in (BEFORE, AFTER)):
        return
    systemctl("--quiet", "disable", BEFORE, AFTER, check=False)
    for unit in (BEFORE, AFTER):
        remove(FOLDER / unit)
    systemctl("daemon-reload", check=False)
