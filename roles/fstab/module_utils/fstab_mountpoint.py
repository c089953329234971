"""What is mounted where an entry of fstab wants something, and whether systemd has read the entry. Reads only."""

from __future__ import annotations

import re
from pathlib import Path

from ansible.module_utils import fstab_lines as lines
from ansible.module_utils import fstab_texts as texts


class MountpointError(Exception):
    """Say what systemd did not answer."""


def look(module, entry):
    """Return what is at one entry's mountpoint: {file, spec, unit, mounted, right, what, folder, loaded, start}. Raises MountpointError."""
    path, spec = entry["file"], entry["spec"]
    top, unit = _mounted(path), _unit_of(path)
    answer = {
        "file": path,
        "spec": spec,
        "unit": unit,
        "mounted": bool(top),
        "right": False,
        "what": "",
        "folder": Path(path).is_dir(),
        "loaded": _loaded(module, unit),
        "start": "noauto" not in entry["options"],
    }
    if top:
        uuid = _uuid_of(module, path)
        # Some programs name their mount user:password@host.
        answer["what"] = f"{texts.without_secrets(top['source'])} ({top['fstype']}{', UUID ' + uuid if uuid else ''})"
        answer["right"] = spec.lower() == f"uuid={uuid}".lower() if spec.startswith("UUID=") else top["source"].rstrip("/") == spec.rstrip("/")
    return answer


def _mounted(path):
    """Return the mount on top at exactly this mountpoint, None if there is none; an automount's own entry counts as none."""
    found = None
    for line in Path("/proc/self/mountinfo").read_bytes().decode("utf-8", "surrogateescape").splitlines():
        head, _, tail = line.partition(" - ")
        if lines.unescape(head.split(" ")[4]) == path:
            kind, source = tail.split(" ")[:2]
            found = {"dev": head.split(" ")[2], "fstype": kind, "source": lines.unescape(source)}
    return found if found and found["fstype"] != "autofs" else None


def _uuid_of(module, path):
    """Return the UUID of what is mounted at the path, as findmnt reads it."""
    code, out, _ = module.run_command(["findmnt", "--noheadings", "--raw", "--output", "UUID", "--mountpoint", path], environ_update={"LC_ALL": "C"})
    return out.split()[-1] if code == 0 and out.split() else ""


def _unit_of(path):
    """Return the name of the mount unit of a path, as systemd-escape --path does."""
    parts = [
        re.sub(rb"[^A-Za-z0-9:_.]", lambda match: b"\\x%02x" % match[0][0], part.encode("utf-8", "surrogateescape"))
        for part in path.strip("/").split("/")
    ]
    name = b"-".join(parts)
    if name.startswith(b"."):
        name = b"\\x2e" + name[1:]
    return name.decode() + ".mount"


def _loaded(module, unit):
    """Say whether systemd has read the unit from the fstab that is there now."""
    command = ["systemctl", "show", "--property", "SourcePath,NeedDaemonReload", unit]
    code, out, err = module.run_command(command, environ_update={"LC_ALL": "C"})
    if code != 0:
        raise MountpointError(f"systemctl show {unit} ended with {code}: {err.strip()}")
    return sorted(out.split()) == ["NeedDaemonReload=no", "SourcePath=/etc/fstab"]
