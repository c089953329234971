"""Judge entries of fstab, their mounts, guards of units and the bare directories beneath, all in one look. Reads only."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ansible.module_utils import fstab_guard as guard
from ansible.module_utils import fstab_lines as lines
from ansible.module_utils import fstab_mountpoint as mountpoint
from ansible.module_utils import fstab_table as table
from ansible.module_utils import target_run_files as files
from ansible.module_utils import target_run_mountpoint as flags
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: fstab_look
short_description: Tell what speaks against the entries and guards, and what of them is lacking
description:
  - Works out fstab's new text and verifies it, looks at each mountpoint, each guard and each bare directory. Changes nothing.
  - All that speaks against the change is told at once.
options:
  entries: {description: "spec, file, vfstype, options, freq and passno of each", type: list, elements: dict, required: true}
  path: {description: the file, type: str, default: /etc/fstab}
  guards: {description: "unit and text (the whole drop-in) of each; C(ahead): the unit comes later", type: list, elements: dict, required: true}
  bare: {description: mounts beneath which the bare directory must be immutable, type: list, elements: str, required: true}
  beneath: {description: the command that looks beneath a mount; an action and a path are added to it, type: list, elements: str, required: true}
  folder: {description: the run's own folder; what an earlier attempt of it made is finished, type: path, required: true}
  field: {description: where the policy says it, type: str, required: true}
author: controlplane
"""

RETURN = r"""
objections:
  description: What speaks against the change, as sentences.
  type: list
  returned: always
lacking:
  description: What is not as it is to be, as sentences; nothing is to be done where it is empty.
  type: list
  returned: always
faults:
  description: Faults of other entries that the file has already.
  type: list
  returned: always
make:
  description: Mountpoints that are not there.
  type: list
  returned: always
start:
  description: C(file) and C(unit) of each entry that is to be mounted.
  type: list
  returned: always
writable:
  description: Mounts beneath which the bare directory is not immutable.
  type: list
  returned: always
reload:
  description: Whether systemd has not read the entries or guards that are there.
  type: bool
  returned: always
"""


class Look:
    """What was found so far."""

    def __init__(self, module):
        self.module = module
        self.answer = {"objections": [], "lacking": [], "faults": [], "make": [], "start": [], "writable": [], "reload": False}
        self.made_before = json.loads(files.held(Path(module.params["folder"], "folders.json")) or b"[]")

    def object(self, text):
        """Say what speaks against the change."""
        self.answer["objections"].append(text)

    def lack(self, text):
        """Say what is not as it is to be."""
        self.answer["lacking"].append(text)

    def at_the_table(self):
        """Judge the file's new text."""
        want = self.module.params
        try:
            found = table.Table(self.module, want["path"], want["entries"])
        except (lines.FstabError, OSError) as error:
            self.object(f"{want['path']}: {error}.")
            return
        self.answer["faults"] = found.faults
        if found.pending:
            self.lack(f"{want['path']} does not hold the entries, or somebody changes it at the same time")

    def at_the_mountpoint(self, entry):
        """Judge where one entry mounts."""
        file, options = entry["file"], entry["options"]
        field = self.module.params["field"]
        try:
            lines.checked(entry)
        except lines.FstabError:
            return  # the table has said so
        if not {"nofail", "noauto"} & set(options) or (
            entry["spec"].startswith("UUID=") and sum(one.startswith("x-systemd.device-timeout=") for one in options) != 1
        ):
            self.object(
                f"The entry of {file} has the options {','.join(options)}: without nofail and x-systemd.device-timeout a missing disk keeps"
                f" the machine from booting to ssh. Add them in {field}."
            )
        seen = mountpoint.look(self.module, entry)
        if seen["mounted"] and not seen["right"]:
            self.object(f"{file} is taken by {seen['what']}, not by {seen['spec']}. Unmount it yourself, or name another mount in {field}.")
        if not seen["folder"]:
            self.answer["make"].append(file)
            self.lack(f"there is no folder {file}")
        elif not seen["mounted"] and file in self.made_before and not flags.is_immutable(file):
            self.half_made(file)
        if not seen["loaded"]:
            self.answer["reload"] = True
            self.lack(f"systemd has not read the entry of {file}")
        if seen["start"] and not seen["right"]:
            more = f"'systemctl status {seen['unit']}' tells more"
            self.lack(f"{file} should be {seen['spec']} by {seen['unit']}; mounted is {seen['what'] or 'nothing'} ({more})")
        if seen["start"] and not seen["mounted"]:
            self.answer["start"].append({"file": file, "unit": seen["unit"]})

    def half_made(self, file):
        """Judge a mountpoint that an earlier attempt made, and did not come to protect."""
        names = sorted(one.name for one in Path(file).iterdir())
        if names:
            self.object(f"Somebody wrote {', '.join(names[:5])} into {file} before anything was mounted there. Move it away.")
        else:
            self.answer["make"].append(file)
            self.lack(f"this run made {file} and was interrupted before that was immutable")

    def at_the_guard(self, want):
        """Judge one guard; its mounts have to be there or to come with the entries."""
        one = guard.Guard(want)
        known, in_force = one.judge(self.module)
        if not known:
            self.object(f"systemd knows no unit {one.unit}, so there is nothing to guard. Install it, or make the plan again.")
        never = [path for path in one.missing if path not in {entry["file"] for entry in self.module.params["entries"]}]
        if never:
            why = f"{', '.join(never)} is neither mounted nor among the entries"
            self.object(f"The guard of {one.unit} would keep it down for good: {why}. Make the plan again.")
        if not in_force:
            self.answer["reload"] = True
        if one.pending or not in_force:
            self.lack(f"the guard {one.path} is not what it should be, or systemd has not loaded it")
        if one.missing:
            self.lack(f"the guard {one.path} waits for {', '.join(one.missing)}")

    def beneath(self, path):
        """Judge the bare directory beneath a mount. A process each: a mount namespace cannot be left."""
        code, out, err = self.module.run_command([*self.module.params["beneath"], "look", path])
        if code != 0:
            text = re.sub(r"\s*Nothing was changed\.\s*$", "", err.strip())
            self.object(text or f"the directory under the mount {path} can't be seen ({code}).")
            return
        seen = json.loads(out)
        if seen["objection"]:
            self.object(f"{seen['objection']}.")
        if not seen["immutable"]:
            self.answer["writable"].append(seen["path"])
            self.lack(f"the directory under the mount {path} is not immutable")


def main():
    """Answer the task."""
    module = AnsibleModule(
        argument_spec={
            "entries": table.OPTION,
            "path": {"type": "str", "default": "/etc/fstab"},
            "guards": guard.OPTION,
            "bare": {"type": "list", "elements": "str", "required": True},
            "beneath": {"type": "list", "elements": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "field": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    look = Look(module)
    look.at_the_table()
    for judge, things in ((look.at_the_mountpoint, "entries"), (look.at_the_guard, "guards"), (look.beneath, "bare")):
        for one in module.params[things]:
            try:
                judge(one)
            except (guard.GuardError, mountpoint.MountpointError, OSError, ValueError) as error:
                look.object(f"{error}.")
    module.exit_json(changed=False, **look.answer)


if __name__ == "__main__":
    main()
