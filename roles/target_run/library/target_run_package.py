#!/usr/bin/python
# Copyright: controlplane authors
# Apache License 2.0
"""Lay down the run's package in one transfer, each file atomically, and run it once."""

from __future__ import annotations

import sys
from pathlib import Path

from ansible.module_utils import target_run_files as files
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: target_run_package
short_description: Lay down the tools of a run, and run them once
description:
  - Writes the given files into C(<folder>/controlplane_target), removes others there, and keeps what is equal. One transfer for all of them.
  - Then runs the package with C(words). Each task costs a round trip, and every play needs both.
options:
  folder:
    description: The run's own folder; made with mode 0700 where it is missing.
    type: path
    required: true
  files:
    description: File name to text.
    type: dict
    required: true
  words:
    description: What the package is run with.
    type: list
    elements: str
    required: true
author: controlplane
"""

EXAMPLES = r"""
- name: Lay down the tools, and ask whose lease it is
  target_run_package:
    folder: /var/lib/controlplane/CAP-20260101-000000__docker.data_root__R0001
    files: {__main__.py: "print('hello')\n"}
    words: [lease, show]
"""

RETURN = r"""
written:
  description: The names that were written or removed.
  type: list
  returned: always
said:
  description: What the package answered, C(rc), C(stdout) and C(stderr); that it said no is no failure of this task.
  type: dict
  returned: always
"""


def lay_down(package: Path, wanted: dict[str, bytes]) -> list[str]:
    """Make the package hold what is wanted and nothing else; return the names that differed."""
    present = [path.name for path in package.iterdir()] if package.is_dir() else []
    stale = sorted(name for name in present if name not in wanted and name != "__pycache__")
    changed = sorted(name for name, text in wanted.items() if files.held(package / name) != text)
    if stale or changed:
        files.make(package)
        for name in changed:
            files.write(package / name, wanted[name], mode=0o600)
        for name in stale:
            (package / name).unlink()
        files.sync_folder(package)
    return changed + stale


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "files": {"type": "dict", "required": True},
            "words": {"type": "list", "elements": "str", "required": True},
        }
    )
    package = Path(module.params["folder"], "controlplane_target")
    wanted = {name: text.encode() for name, text in module.params["files"].items()}
    if any(Path(name).name != name or not name.endswith(".py") for name in wanted):
        module.fail_json(msg="a file name is no plain name of a Python module")
    try:
        written = lay_down(package, wanted)
    except OSError as error:
        module.fail_json(msg=f"the tools of this run can't be put into {package}: {error}. Nothing was changed.")
    code, out, error = module.run_command([sys.executable, "-B", str(package), *module.params["words"]])
    module.exit_json(changed=bool(written), written=written, said={"rc": code, "stdout": out, "stderr": error})


if __name__ == "__main__":
    main()
