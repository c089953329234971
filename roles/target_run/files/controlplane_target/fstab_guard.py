"""The guard of a unit: the drop-in 50-controlplane-mounts.conf that keeps it from starting without its mounts."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import TypedDict

from . import command, files
from . import fstab_texts as texts

_SHAPE = re.compile(r"\[Unit\]\n(?:[^\x00-\x1f\x7f]+\n)+")
_UNIT = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9@._-]*\.(?:service|socket)")


class Drop(TypedDict):
    """A drop-in that is wanted: its unit, its whole text, and whether the unit comes later."""

    unit: str
    text: str
    ahead: bool


class GuardError(Exception):
    """Say why a guard can't be had or judged."""


class Guard:
    """One guard: what it is to be, and what it was when this task began. `ahead`: its unit comes later."""

    def __init__(self, want: Drop) -> None:
        self.unit, self.ahead, self.after = want["unit"], want["ahead"], want["text"].encode()
        if not _UNIT.fullmatch(self.unit) or not _SHAPE.fullmatch(want["text"]):
            raise GuardError(f"the guard of {self.unit!r} is no drop-in of a unit: it starts with [Unit] and holds no control characters")
        self.mounts = re.findall(r"^AssertPathIsMountPoint=(.*)$", want["text"], re.MULTILINE)
        self.path = Path(f"/etc/systemd/system/{self.unit}.d/50-controlplane-mounts.conf")
        self.before = files.read_bytes(self.path)

    @property
    def pending(self) -> bool:
        """Whether its text differs."""
        return self.before != self.after

    @property
    def missing(self) -> list[str]:
        """Its mounts that are not there."""
        return [one for one in self.mounts if not Path(one).is_mount()]

    def record(self, folder: Path) -> None:
        """Put the former text into the run's folder, once."""
        place = folder / f"guard-{self.unit}.json"
        if place.exists():
            return
        former = None if self.before is None else base64.b64encode(self.before).decode()
        text = {
            "version": 1,
            "path": str(self.path),
            "before": former,
            "after": texts.digest(self.after),
            "had_folder": self.path.parent.exists(),
        }
        files.write_atomic(place, json.dumps(text, indent=2).encode() + b"\n")

    def is_recorded(self, folder: Path) -> bool:
        """Say whether the run's undo knows the former text, or this one as its own."""
        place = folder / f"guard-{self.unit}.json"
        if not place.exists():
            return False
        held = json.loads(place.read_bytes())
        former = None if self.before is None else base64.b64encode(self.before).decode()
        return bool(former == held["before"] or (self.before is not None and texts.digest(self.before) == held["after"]))

    def write(self) -> None:
        """Replace the drop-in."""
        self.path.parent.mkdir(mode=0o755, exist_ok=True)
        files.sync_directory(self.path.parent.parent)
        files.write_like(self.path, self.after, mode=0o644)

    def diff(self) -> dict[str, str]:
        """Return what `--diff` shows."""
        return texts.diff(self.path, self.before or b"", self.after)

    def judge(self) -> tuple[bool, bool]:
        """Ask systemd; return whether it knows the unit (or it comes later), and whether the guard is in force. Raises GuardError."""
        loaded, asserted = _show(self.unit)
        # systemd reads the drop-in of a unit that it does not know as soon as that unit comes.
        waits = self.ahead and loaded.get("LoadState") == "not-found"
        in_force = (waits and not self.pending) or (
            str(self.path) in loaded.get("DropInPaths", "").split()
            and loaded.get("NeedDaemonReload") == "no"
            and set(self.mounts) <= set(asserted)
            and set(self.mounts) <= set(loaded.get("RequiresMountsFor", "").split())
        )
        return loaded.get("LoadState") == "loaded" or self.ahead, in_force


def _show(unit: str) -> tuple[dict[str, str], list[str]]:
    """Return what systemd has loaded of the unit (paths that it requires, its drop-ins, whether it needs a reload), and the paths that it asserts."""
    properties = ["RequiresMountsFor", "DropInPaths", "NeedDaemonReload", "LoadState"]
    code, out, err = command.run(["systemctl", "show", "--property", ",".join(properties), unit])
    if code != 0:
        raise GuardError(f"systemctl show {unit} ended with {code}: {err.strip()}")
    seen = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    # systemctl can't print assertions; the bus can.
    path = "/org/freedesktop/systemd1/unit/" + re.sub(r"[^A-Za-z0-9]", lambda match: f"_{ord(match[0]):02x}", unit)
    argv = ["busctl", "get-property", "org.freedesktop.systemd1", path, "org.freedesktop.systemd1.Unit", "Asserts"]
    _, out, _ = command.run(argv)
    return seen, re.findall(r'"AssertPathIsMountPoint" \w+ \w+ "([^"]*)"', out)
