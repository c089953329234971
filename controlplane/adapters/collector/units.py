"""systemd units: Docker's and containerd's, those that mount and check what is declared and those that were asked for, with their drop-ins."""

from __future__ import annotations

import os
import re
import string
from typing import Any

from .fstab import FSTAB, parse_fstab
from .redact import without_secrets
from .supervise import ProbeError
from .tools import slurp, slurp_or_none, tool

ALWAYS = ("docker.service", "docker.socket", "containerd.service")
SHOWN = (
    "Id LoadState ActiveState SubState UnitFileState FragmentPath ExecStart DropInPaths NeedDaemonReload RequiresMountsFor Requires BindsTo After "
    "Before What Where Type Options Result ActiveEnterTimestamp InactiveEnterTimestamp ExecMainStartTimestamp ConditionResult AssertResult MainPID"
).split()
_PLAIN = frozenset(string.ascii_letters + string.digits + ":_.")
# Whatever else an entry names there is no filesystem's UUID, and a name that systemd refuses would cost all units.
_BY_UUID = re.compile(r"""UUID=(["']?)([0-9A-Fa-f-]{4,36})\1""")


def mount_unit(path: str) -> str:
    """Return the name of a mountpoint's unit."""
    return f"{_escaped(path)}.mount"


def check_units(mounts: list[str], table: str) -> list[str]:
    """Return the units by which systemd checks, before it mounts them, the filesystems that an fstab names by UUID for these mountpoints."""
    paths = {path.rstrip("/") for path in mounts}
    named = [_BY_UUID.fullmatch(entry["spec"]) for entry in parse_fstab(table)[0] if entry["file"].rstrip("/") in paths]
    return [f"systemd-fsck@{_escaped('/dev/disk/by-uuid/' + found[2])}.service" for found in named if found]


def _escaped(path: str) -> str:
    """Return a path as systemd-escape --path writes it."""
    trimmed = "/".join(part for part in path.split("/") if part)
    if not trimmed:
        return "-"
    escaped = []
    for index, byte in enumerate(trimmed.encode("utf-8", "surrogateescape")):
        letter = chr(byte)
        if letter == "/":
            escaped.append("-")
        elif letter in _PLAIN and not (index == 0 and letter == "."):
            escaped.append(letter)
        else:
            escaped.append(f"\\x{byte:02x}")
    return "".join(escaped)


def _exec_start(raw: str) -> str:
    """Return the command line of systemctl's `{ path=… ; argv[]=… ; … }`."""
    _, found, rest = raw.partition("argv[]=")
    return rest.partition(" ; ignore_errors=")[0] if found else ""


def parse_show(text: str) -> list[dict[str, str]]:
    """Return one dictionary a unit of `systemctl show`'s output."""
    return [dict(line.split("=", 1) for line in part.splitlines() if "=" in line) for part in text.split("\n\n") if part.strip()]


def _drop_in(path: str) -> dict[str, Any]:
    return {"path": path, "text": without_secrets(slurp(path)), "mtime": os.stat(path).st_mtime}


def _waiting(name: str, properties: dict[str, str]) -> list[str]:
    """Return the drop-ins that wait for a unit which is not there yet: systemd itself does not tell them."""
    folder = f"/etc/systemd/system/{name}.d"
    if properties.get("LoadState") != "not-found" or not os.path.isdir(folder):
        return []
    return [os.path.join(folder, file) for file in sorted(os.listdir(folder)) if file.endswith(".conf")]


def units(asked: dict[str, Any], _seen: dict[str, Any]) -> dict[str, Any]:
    """Return the units by name; one that isn't there has the load state not-found."""
    mounts = asked.get("mounts", [])
    checks = check_units(mounts, slurp_or_none(FSTAB) or "")
    names = list(dict.fromkeys([*ALWAYS, *(mount_unit(path) for path in mounts), *checks, *asked.get("units", [])]))
    code, out, err = tool("systemctl", "show", "--no-pager", f"--property={','.join(SHOWN)}", "--", *names)
    if code != 0:
        raise ProbeError(f"systemctl show ended with {code}: {err.strip()[:200]}")
    shown = parse_show(out)
    if len(shown) != len(names):
        raise ProbeError(f"systemctl showed {len(shown)} units of {len(names)}")
    found = {}
    for name, properties in zip(names, shown):
        command = without_secrets(_exec_start(properties.pop("ExecStart", "")))
        found[name] = {
            "load_state": properties.get("LoadState", ""),
            "active_state": properties.get("ActiveState", ""),
            "sub_state": properties.get("SubState", ""),
            "enabled": properties.get("UnitFileState", ""),
            "fragment": properties.get("FragmentPath", ""),
            "exec_start": command,
            "drop_ins": [_drop_in(path) for path in properties.get("DropInPaths", "").split() or _waiting(name, properties)],
            "properties": properties,
            "needs_reload": properties.get("NeedDaemonReload") == "yes",
        }
    return found
