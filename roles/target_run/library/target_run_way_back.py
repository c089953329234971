#!/usr/bin/python
# Copyright: controlplane authors
# Apache License 2.0
"""Put a run's way back on the target: how things were, the undo, and its README; durable before the task is over."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils import target_run_fence as fence
from ansible.module_utils import target_run_folder as run_folder
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: target_run_way_back
short_description: Put a run's way back on the target
description:
  - Writes the records, C(undo) and C(README) into the run's folder, each with one rename, and durably.
  - A record that is there stays. A second attempt of the same run finds its own half-done work; how it was before stands in the first record.
options:
  folder:
    description: The run's own folder; made with mode 0700 where it is missing.
    type: path
    required: true
  records:
    description: File name to text, for root alone to read; written once.
    type: dict
    default: {}
  changes_storage:
    description: Whether the host is to say from now on that its storage changed, and no reboot has proven it yet.
    type: bool
    default: false
  undo:
    description: The text of a program that takes the run's changes back by itself.
    type: str
    required: true
  readme:
    description: What the folder holds and how the undo is used.
    type: str
    required: true
  fence:
    description: Runs a command under the play's lease, as the role target_run gives it; empty in a dry run.
    type: list
    elements: str
    required: true
author: controlplane
"""

EXAMPLES = r"""
- name: prepare | Put the way back in place
  target_run_way_back:
    folder: /var/lib/controlplane/CAP-20260101-000000__storage.fstab__R0001
    records: {folders.json: "[]\n"}
    undo: "{{ lookup('ansible.builtin.file', 'undo.py', rstrip=false) }}"
    readme: "{{ lookup('ansible.builtin.file', 'README.target', rstrip=false) }}"
    fence: "{{ __target_run_hold }}"
"""

RETURN = r"""
written:
  description: The names that were written.
  type: list
  returned: always
"""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **run_folder.OPTIONS,
            **fence.OPTION,
            "records": {"type": "dict", "default": {}},
            "changes_storage": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    folder, records = Path(module.params["folder"]), module.params["records"]
    if any(Path(name).name != name or name in ("", ".", "..", "undo", "README") for name in records):
        module.fail_json(msg=f"{', '.join(records)}: a record's name is the plain name of a file. Nothing was changed.")
    texts = {"undo": module.params["undo"], "readme": module.params["readme"]}
    try:
        if module.check_mode:
            written = [name for name, _, _ in run_folder.lacking(folder, records, **texts)]
        else:
            with fence.held(module):
                written = run_folder.leave(folder, records, **texts)
                if module.params["changes_storage"]:
                    run_folder.say_that_storage_changes(folder)
    except (ImportError, OSError) as error:
        module.fail_json(msg=f"the way back can't be put into {folder}: {error}. Nothing was changed.")
    module.exit_json(changed=bool(written), written=written)


if __name__ == "__main__":
    main()
