#!/usr/bin/python
# Copyright: controlplane authors
# Apache License 2.0
"""Lay down the run's package in one transfer, each file atomically."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils import target_run_files as files
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: target_run_package
short_description: Lay down the tools of a run
description:
  - Writes the given files into C(<folder>/controlplane_target), removes others there, and keeps what is equal. One transfer for all of them.
options:
  folder:
    description: The run's own folder; made with mode 0700 where it is missing.
    type: path
    required: true
  files:
    description: File name to text.
    type: dict
    required: true
author: controlplane
"""

EXAMPLES = r"""
- name: Lay down the tools
  target_run_package:
    folder: /var/lib/controlplane/CAP-20260101-000000__docker.data_root__R0001
    files: {__main__.py: "print('hello')\n"}
"""

RETURN = r"""
written:
  description: The names that were written or removed.
  type: list
  returned: always
"""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"folder": {"type": "path", "required": True}, "files": {"type": "dict", "required": True}}, supports_check_mode=True
    )
    package = Path(module.params["folder"], "controlplane_target")
    wanted = {name: text.encode() for name, text in module.params["files"].items()}
    if any(Path(name).name != name or not name.endswith(".py") for name in wanted):
        module.fail_json(msg="a file name is no plain name of a Python module")
    present = [path.name for path in package.iterdir()] if package.is_dir() else []
    stale = sorted(name for name in present if name not in wanted and name != "__pycache__")
    changed = sorted(name for name, text in wanted.items() if files.held(package / name) != text)
    if (stale or changed) and not module.check_mode:
        files.make(package)
        for name in changed:
            files.write(package / name, wanted[name], mode=0o600)
        for name in stale:
            (package / name).unlink()
        files.sync_folder(package)
    module.exit_json(changed=bool(stale or changed), written=changed + stale)


if __name__ == "__main__":
    main()
