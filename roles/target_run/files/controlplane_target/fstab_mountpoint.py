"""What is mounted where an entry of fstab wants something, and whether systemd has read the entry. Reads only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypedDict

from . import command
from . import fstab_lines as lines
from . import fstab_texts as texts


class MountpointError(Exception):
    """Say what systemd did not answer."""


class Seen(TypedDict):
    """What is at one entry's mountpoint: whether anything is `mounted` and that is `right`, and whether the entry is `loaded` and to `start`."""

    file: str
    spec: str
    unit: str
    mounted: bool
    right: bool
    what: str
    folder: bool
    loaded: bool
    start: bool


def look(entry: lines.Entry) -> Seen:
    """Return what is at one entry's mountpoint. Raises MountpointError."""
    path, spec = entry["file"], entry["spec"]
    top, unit = _mounted(path), _unit_of(path)
    answer: Seen = {
        "file": path,
        "spec": spec,
        "unit": unit,
        "mounted": bool(top),
        "right": False,
        "what": "",
        "folder": Path(path).is_dir(),
        "loaded": _loaded(unit),
        "start": "noauto" not in entry["options"],
    }
    if top:
        uuid = _uuid_of(path)
        # Some programs name their mount user:password@host.
        answer["what"] = f"{texts.without_secrets(top['source'])} ({top['fstype']}{', UUID ' + uuid if uuid else ''})"
        answer["right"] = spec.lower() == f"uuid={uuid}".lower() if spec.startswith("UUID=") else top["source"].rstrip("/") == spec.rstrip("/")
    return answer


def _mounted(path: str) -> dict[str, str] | None:
    """Return the mount on top at exactly this mountpoint, None if there is none; an automount's own entry counts as none."""
    found = None
    for line in Path("/proc/self/mountinfo").read_bytes().decode("utf-8", "surrogateescape").splitlines():
        head, _, tail = line.partition(" - ")
        if lines.unescape(head.split(" ")[4]) == path:
            kind, source = tail.split(" ")[:2]
            found = {"dev": head.split(" ")[2], "fstype": kind, "source": lines.unescape(source)}
    return found if found and found["fstype"] != "autofs" else None


def _uuid_of(path: str) -> str:
    """Return the UUID of what is mounted at the path, as findmnt reads it."""
    code, out, _ = command.run(["findmnt", "--noheadings", "--raw", "--output", "UUID", "--mountpoint", path])
    return out.split()[-1] if code == 0 and out.split() else ""


def _unit_of(path: str) -> str:
    """Return the name of the mount unit of a path, as systemd-escape --path does."""
    parts = [
        re.sub(rb"[^A-Za-z0-9:_.]", lambda match: b"\\x%02x" % match[0][0], part.encode("utf-8", "surrogateescape"))
        for part in path.strip("/").split("/")
    ]
    name = b"-".join(parts)
    if name.startswith(b"."):
        name = b"\\x2e" + name[1:]
    return name.decode() + ".mount"


def _loaded(unit: str) -> bool:
    """Say whether systemd has read the unit from the fstab that is there now."""
    code, out, err = command.run(["systemctl", "show", "--property", "SourcePath,NeedDaemonReload", unit])
    if code != 0:
        raise MountpointError(f"systemctl show {unit} ended with {code}: {err.strip()}")
    return sorted(out.split()) == ["NeedDaemonReload=no", "SourcePath=/etc/fstab"]
