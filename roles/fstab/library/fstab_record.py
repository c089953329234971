"""Record fstab, guards and directories as they are, and put the way back in place; durable before the task is over."""

from __future__ import annotations

import json
from pathlib import Path

from ansible.module_utils import fstab_guard as guard
from ansible.module_utils import fstab_lines as lines
from ansible.module_utils import fstab_table as table
from ansible.module_utils import target_run_fence as fence
from ansible.module_utils import target_run_files as files
from ansible.module_utils import target_run_folder as run_folder
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: fstab_record
short_description: Record how fstab and guards are, once, and put the way back in place
description:
  - Writes both texts of fstab, the former text of each guard that differs, and the directories that are to be made or made immutable.
  - Then the undo and its README, and that the host's storage changes from now on. Only the run's own folder is written.
options:
  folder: {description: the run's own folder, type: path, required: true}
  entries: {description: "spec, file, vfstype, options, freq and passno of each", type: list, elements: dict, required: true}
  path: {description: the file, type: str, default: /etc/fstab}
  guards: {description: "unit and text (the whole drop-in) of each", type: list, elements: dict, required: true}
  make: {description: mountpoints that are to be made, type: list, elements: str, required: true}
  writable: {description: mounts beneath which the bare directory is to be made immutable, type: list, elements: str, required: true}
  undo: {description: the text of a program that takes the run's changes back by itself, type: str, required: true}
  readme: {description: what the folder holds and how the undo is used, type: str, required: true}
  fence:
    description: Runs a command under the play's lease, as the role target_run gives it; empty in a dry run.
    type: list
    elements: str
    required: true
author: controlplane
"""


def record(module):
    """Do it; return the names of what was written. Raises FstabError, GuardError, OSError, ImportError."""
    want = module.params
    folder = Path(want["folder"])
    records = {name: json.dumps(want[key], indent=4) + "\n" for name, key in (("folders.json", "make"), ("bare.json", "writable"))}
    files.make(folder)
    found = table.Table(module, want["path"], want["entries"])
    if found.pending:
        found.record(folder)
    for one in map(guard.Guard, want["guards"]):
        if one.pending:
            one.record(folder)
    written = run_folder.leave(folder, records, undo=want["undo"], readme=want["readme"])
    run_folder.say_that_storage_changes(folder)
    return written


def main():
    """Answer the task."""
    module = AnsibleModule(
        argument_spec={
            "entries": table.OPTION,
            "path": {"type": "str", "default": "/etc/fstab"},
            "guards": guard.OPTION,
            "make": {"type": "list", "elements": "str", "required": True},
            "writable": {"type": "list", "elements": "str", "required": True},
            **run_folder.OPTIONS,
            **fence.OPTION,
        }
    )
    try:
        with fence.held(module):
            written = record(module)
    except (guard.GuardError, lines.FstabError, ImportError, OSError) as error:
        module.fail_json(msg=f"{module.params['path']}: {error}. Nothing was changed.")
    module.exit_json(changed=bool(written), written=written)


if __name__ == "__main__":
    main()
