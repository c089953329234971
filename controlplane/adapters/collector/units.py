"""systemd units: Docker's and containerd's, the mount units of declared mountpoints and those that were asked for, with their drop-ins."""

from __future__ import annotations

import os
import string
from typing import Any

from .redact import without_secrets
from .supervise import ProbeError
from .tools import slurp, tool

ALWAYS = ("docker.service", "docker.socket", "containerd.service")
SHOWN = (
    "Id LoadState ActiveState SubState UnitFileState FragmentPath ExecStart DropInPaths NeedDaemonReload RequiresMountsFor Requires BindsTo After "
    "Before What Where Type Options Result ActiveEnterTimestamp InactiveEnterTimestamp ExecMainStartTimestamp ConditionResult AssertResult MainPID"
).split()
_PLAIN = frozenset(string.ascii_letters + string.digits + ":_.")


def mount_unit(path: str) -> str:
    """Return the name of a mountpoint's unit, as systemd-escape --path writes it."""
    trimmed = "/".join(part for part in path.split("/") if part)
    if not trimmed:
        return "-.mount"
    escaped = []
    for index, byte in enumerate(trimmed.encode("utf-8", "surrogateescape")):
        letter = chr(byte)
        if letter == "/":
            escaped.append("-")
        elif letter in _PLAIN and not (index == 0 and letter == "."):
            escaped.append(letter)
        else:
            escaped.append(f"\\x{byte:02x}")
    return "".join(escaped) + ".mount"


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
    names = list(dict.fromkeys([*ALWAYS, *(mount_unit(path) for path in asked.get("mounts", [])), *asked.get("units", [])]))
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
