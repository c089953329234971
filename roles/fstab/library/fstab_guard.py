"""Judge, record and write the drop-in that keeps a unit from starting without its mounts."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

from ansible.module_utils import fstab_files as files
from ansible.module_utils import target_run_fence as fence
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: fstab_guard
short_description: Judge, record and write a unit's guard
description:
  - The drop-in is C(50-controlplane-mounts.conf) of the unit. It is replaced with one rename; systemd is asked, but not told to reload.
options:
  unit: {description: a service or socket, type: str, required: true}
  text: {description: the drop-in's whole text, type: str, required: true}
  ahead: {description: the unit comes later, type: bool, default: false}
  folder: {description: where the former text is recorded, type: str, required: true}
  state:
    description: C(judged) reads only, C(recorded) puts the former text into the folder, C(written) changes the drop-in.
    type: str
    default: judged
    choices: [judged, recorded, written]
  fence:
    description: Runs a command under the play's lease, as the role target_run gives it; empty in a dry run. C(written) needs it.
    type: list
    elements: str
    default: []
author: controlplane
"""

SHAPE = re.compile(r"\[Unit\]\n(?:[^\x00-\x1f\x7f]+\n)+")
UNIT = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9@._-]*\.(?:service|socket)")


def show(module, unit):
    """Return what systemd has loaded of the unit: paths that it requires, those that it asserts, its drop-ins, whether it needs a reload."""
    properties = ["RequiresMountsFor", "DropInPaths", "NeedDaemonReload", "LoadState"]
    code, out, err = module.run_command(["systemctl", "show", "--property", ",".join(properties), unit], environ_update={"LC_ALL": "C"})
    if code != 0:
        module.fail_json(msg=f"systemctl show {unit} ended with {code}: {err.strip()}. Nothing was changed.")
    seen = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    # systemctl can't print assertions; the bus can.
    path = "/org/freedesktop/systemd1/unit/" + re.sub(r"[^A-Za-z0-9]", lambda match: f"_{ord(match[0]):02x}", unit)
    command = ["busctl", "get-property", "org.freedesktop.systemd1", path, "org.freedesktop.systemd1.Unit", "Asserts"]
    _, out, _ = module.run_command(command, environ_update={"LC_ALL": "C"})
    return {**seen, "asserted": re.findall(r'"AssertPathIsMountPoint" \w+ \w+ "([^"]*)"', out)}


def record(module, path, before):
    """Put the former text into the run's folder, once."""
    place = Path(module.params["folder"]) / f"guard-{module.params['unit']}.json"
    if place.exists():
        return False
    if not module.check_mode:
        former = None if before is None else base64.b64encode(before).decode()
        text = {
            "version": 1,
            "path": str(path),
            "before": former,
            "after": files.digest(module.params["text"].encode()),
            "had_folder": path.parent.exists(),
        }
        files.write(place, json.dumps(text, indent=2).encode() + b"\n", mode=0o600)
    return True


def main():
    """Answer the task."""
    module = AnsibleModule(
        argument_spec={
            "unit": {"type": "str", "required": True},
            "text": {"type": "str", "required": True},
            "ahead": {"type": "bool", "default": False},
            "folder": {"type": "str", "required": True},
            "state": {"type": "str", "default": "judged", "choices": ["judged", "recorded", "written"]},
            "fence": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    unit, text, state = module.params["unit"], module.params["text"], module.params["state"]
    if not UNIT.fullmatch(unit) or not SHAPE.fullmatch(text):
        module.fail_json(
            msg=f"the guard of {unit!r} is no drop-in of a unit: it starts with [Unit] and holds no control characters. Nothing was changed."
        )
    path, after = Path(f"/etc/systemd/system/{unit}.d/50-controlplane-mounts.conf"), text.encode()
    paths = re.findall(r"^AssertPathIsMountPoint=(.*)$", text, re.MULTILINE)
    changed = False
    try:
        before = path.read_bytes() if path.exists() else None
        if before != after:
            changed = state == "written" or (state == "recorded" and record(module, path, before))
        if changed and state == "written" and not module.check_mode:
            with fence.held(module):
                path.parent.mkdir(mode=0o755, exist_ok=True)
                files.sync_folder(path.parent.parent)
                files.write(path, after, mode=0o644)
    except OSError as error:
        module.fail_json(msg=f"{path}: {error}. Nothing was changed.")
    loaded = show(module, unit)
    module.exit_json(
        changed=changed,
        unit=unit,
        path=str(path),
        pending=before != after,
        missing=[one for one in paths if not Path(one).is_mount()],
        known=loaded.get("LoadState") == "loaded" or module.params["ahead"],
        # systemd reads the drop-in of a unit that it does not know as soon as that unit comes.
        in_force=(before == after and module.params["ahead"] and loaded.get("LoadState") == "not-found")
        or (
            str(path) in loaded.get("DropInPaths", "").split()
            and loaded.get("NeedDaemonReload") == "no"
            and set(paths) <= set(loaded["asserted"])
            and set(paths) <= set(loaded.get("RequiresMountsFor", "").split())
        ),
        diff=files.diff(path, before or b"", after) if changed and state == "written" else {},
    )


if __name__ == "__main__":
    main()
