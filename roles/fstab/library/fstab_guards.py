"""Judge, record and write the drop-ins that keep units from starting without their mounts."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

from ansible.module_utils import fstab_texts as texts
from ansible.module_utils import target_run_fence as fence
from ansible.module_utils import target_run_files as files
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: fstab_guards
short_description: Judge, record and write the guards of units
description:
  - A guard is the drop-in C(50-controlplane-mounts.conf) of a unit. It is replaced with one rename; systemd is asked, but not told to reload.
options:
  guards:
    description: The guards, all of them judged before one is written.
    type: list
    elements: dict
    required: true
    suboptions:
      unit: {description: a service or socket, type: str, required: true}
      text: {description: the drop-in's whole text, type: str, required: true}
      ahead: {description: the unit comes later, type: bool, default: false}
  folder: {description: where the former texts are recorded, type: str, required: true}
  state:
    description: C(judged) reads only, C(recorded) puts the former texts into the folder, C(written) changes the drop-ins.
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

RETURN = r"""
guards:
  description: >-
    For each guard C(unit), C(path), C(pending) (its text differs), C(missing) (its mounts that are not there), C(known) (systemd knows the unit
    or it comes later) and C(in_force).
  type: list
  returned: when judged
"""

GUARD = {
    "unit": {"type": "str", "required": True},
    "text": {"type": "str", "required": True},
    "ahead": {"type": "bool", "default": False},
}
SHAPE = re.compile(r"\[Unit\]\n(?:[^\x00-\x1f\x7f]+\n)+")
UNIT = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9@._-]*\.(?:service|socket)")


def show(module, unit):
    """Return what systemd has loaded of the unit: paths that it requires, those that it asserts, its drop-ins, whether it needs a reload."""
    properties = ["RequiresMountsFor", "DropInPaths", "NeedDaemonReload", "LoadState"]
    code, out, err = module.run_command(["systemctl", "show", "--property", ",".join(properties), unit], environ_update={"LC_ALL": "C"})
    if code != 0:
        module.fail_json(
            msg=f"systemctl show {unit} ended with {code}: {err.strip()}. Only looked at the guards; run this again once systemd answers."
        )
    seen = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    # systemctl can't print assertions; the bus can.
    path = "/org/freedesktop/systemd1/unit/" + re.sub(r"[^A-Za-z0-9]", lambda match: f"_{ord(match[0]):02x}", unit)
    command = ["busctl", "get-property", "org.freedesktop.systemd1", path, "org.freedesktop.systemd1.Unit", "Asserts"]
    _, out, _ = module.run_command(command, environ_update={"LC_ALL": "C"})
    return {**seen, "asserted": re.findall(r'"AssertPathIsMountPoint" \w+ \w+ "([^"]*)"', out)}


class Guard:
    """One guard: what it is to be, and what it was when this task began."""

    def __init__(self, module, want):
        self.module = module
        self.unit, self.ahead, self.after = want["unit"], want["ahead"], want["text"].encode()
        if not UNIT.fullmatch(self.unit) or not SHAPE.fullmatch(want["text"]):
            module.fail_json(
                msg=f"the guard of {self.unit!r} is no drop-in of a unit: it starts with [Unit] and holds no control characters. Nothing was changed."
            )
        self.mounts = re.findall(r"^AssertPathIsMountPoint=(.*)$", want["text"], re.MULTILINE)
        self.path = Path(f"/etc/systemd/system/{self.unit}.d/50-controlplane-mounts.conf")
        self.before = files.held(self.path)

    @property
    def pending(self):
        """Whether its text differs."""
        return self.before != self.after

    def record(self):
        """Put the former text into the run's folder, once; say whether it was put there."""
        place = Path(self.module.params["folder"]) / f"guard-{self.unit}.json"
        if place.exists():
            return False
        if not self.module.check_mode:
            former = None if self.before is None else base64.b64encode(self.before).decode()
            text = {
                "version": 1,
                "path": str(self.path),
                "before": former,
                "after": texts.digest(self.after),
                "had_folder": self.path.parent.exists(),
            }
            files.write(place, json.dumps(text, indent=2).encode() + b"\n", mode=0o600)
        return True

    def write(self):
        """Replace the drop-in."""
        self.path.parent.mkdir(mode=0o755, exist_ok=True)
        files.sync(self.path.parent.parent)
        files.write(self.path, self.after, mode=0o644)

    def answer(self):
        """Return what the task says of it; `pending` is how it was found."""
        loaded = show(self.module, self.unit)
        # systemd reads the drop-in of a unit that it does not know as soon as that unit comes.
        waits = self.ahead and loaded.get("LoadState") == "not-found"
        return {
            "unit": self.unit,
            "path": str(self.path),
            "pending": self.pending,
            "missing": [one for one in self.mounts if not Path(one).is_mount()],
            "known": loaded.get("LoadState") == "loaded" or self.ahead,
            "in_force": (waits and not self.pending)
            or (
                str(self.path) in loaded.get("DropInPaths", "").split()
                and loaded.get("NeedDaemonReload") == "no"
                and set(self.mounts) <= set(loaded["asserted"])
                and set(self.mounts) <= set(loaded.get("RequiresMountsFor", "").split())
            ),
        }


def main():
    """Answer the task."""
    module = AnsibleModule(
        argument_spec={
            "guards": {"type": "list", "elements": "dict", "required": True, "options": GUARD},
            "folder": {"type": "str", "required": True},
            "state": {"type": "str", "default": "judged", "choices": ["judged", "recorded", "written"]},
            "fence": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    state = module.params["state"]
    try:
        guards = [Guard(module, want) for want in module.params["guards"]]
        changed = [guard for guard in guards if guard.pending] if state == "written" else []
        if state == "recorded":
            changed = [guard for guard in guards if guard.pending and guard.record()]
        elif changed and not module.check_mode:
            with fence.held(module):
                for guard in changed:
                    guard.write()
    except OSError as error:
        done = {"judged": "Only looked at the guards; run this again.", "recorded": "No guard was changed."}
        whole = f"Each guard is as it was or written whole; what was before stands in {module.params['folder']}. Run this again."
        module.fail_json(msg=f"{error}. {done.get(state, whole)}")
    module.exit_json(
        changed=bool(changed),
        # After writing nothing is asked: systemd has still to read it.
        guards=[guard.answer() for guard in guards] if state == "judged" else [],
        diff=[texts.diff(guard.path, guard.before or b"", guard.after) for guard in changed] if state == "written" else [],
    )


if __name__ == "__main__":
    main()
