#!/usr/bin/python
# Copyright: controlplane authors
# Apache License 2.0
"""Put a run's way back on the target: how things were, the undo, and its README; durable before the task is over."""

from __future__ import annotations

import os
from pathlib import Path

from ansible.module_utils import target_run_files as files
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
  undo:
    description: The text of a program that takes the run's changes back by itself.
    type: str
    required: true
  readme:
    description: What the folder holds and how the undo is used.
    type: str
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
"""

RETURN = r"""
written:
  description: The names that were written.
  type: list
  returned: always
"""


def _is_in_place(path: Path, text: bytes, mode: int) -> bool:
    if files.held(path) != text:
        return False
    seen = path.stat()
    return (seen.st_mode & 0o7777, seen.st_uid, seen.st_gid) == (mode, os.geteuid(), os.getegid())


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "records": {"type": "dict", "default": {}},
            "undo": {"type": "str", "required": True},
            "readme": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    folder = Path(module.params["folder"])
    records = module.params["records"]
    if any(Path(name).name != name or name in ("", ".", "..", "undo", "README") for name in records):
        module.fail_json(msg=f"{', '.join(records)}: a record's name is the plain name of a file. Nothing was changed.")
    own = (("undo", module.params["undo"].encode(), 0o700), ("README", module.params["readme"].encode(), 0o600))
    wanted = [(name, text.encode(), 0o600) for name, text in records.items() if not (folder / name).exists()]
    wanted += [(name, text, mode) for name, text, mode in own if not _is_in_place(folder / name, text, mode)]
    if not module.check_mode:
        try:
            files.make(folder)
            for name, text, mode in wanted:
                files.write(folder / name, text, mode=mode, own=True)
            # Also what an attempt left that was killed before it could do so.
            for path in (*(folder / name for name in (*records, "undo", "README")), folder, folder.parent):
                files.sync(path)
        except OSError as error:
            module.fail_json(msg=f"the way back can't be put into {folder}: {error}. Nothing was changed.")
    module.exit_json(changed=bool(wanted), written=[name for name, _, _ in wanted])


if __name__ == "__main__":
    main()
