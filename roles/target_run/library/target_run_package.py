#!/usr/bin/python
# Copyright: controlplane authors
# Apache License 2.0
"""Lay down the run's package in one transfer, each file atomically, and run it once."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ansible.module_utils import target_run_files as files
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: target_run_package
short_description: Lay down the tools of a run, and run them once
description:
  - Writes the given files into C(<folder>/controlplane_target), removes others there, and keeps what is equal. One transfer for all of them.
  - Then runs C(argv), the package that was laid down. Each task costs a round trip, and every play needs both.
options:
  folder:
    description: The run's own folder; made with mode 0700 where it is missing.
    type: path
    required: true
  files:
    description: File name to text.
    type: dict
    required: true
  argv:
    description: The command with which the package is run once.
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
    argv: [python3, -B, /var/lib/controlplane/CAP-20260101-000000__docker.data_root__R0001/controlplane_target, lease, show]
"""

RETURN = r"""
written:
  description: The names that were written or removed.
  type: list
  returned: always
rc:
  description: How the package ended; that it said no is no failure of this task. Beside it C(stdout) and C(stderr).
  type: int
  returned: always
"""


def lay_down(package: Path, wanted: dict[str, bytes]) -> list[str]:
    """Make the package hold what is wanted and nothing else; return the names that differed."""
    files.make(package)
    folder = os.open(package, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # No lease keeps a second attempt of the same run away yet.
        fcntl.flock(folder, fcntl.LOCK_EX)
        changed = sorted(name for name, text in wanted.items() if files.held(package / name) != text)
        for name in changed:
            files.put(package / name, wanted[name], mode=0o600, own=True)
        stale = sorted(path.name for path in package.iterdir() if path.name not in wanted and path.name != "__pycache__")
        for name in stale:
            (package / name).unlink()
        os.fsync(folder)
    finally:
        os.close(folder)
    return changed + stale


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "files": {"type": "dict", "required": True},
            "argv": {"type": "list", "elements": "str", "required": True},
        }
    )
    package = Path(module.params["folder"], "controlplane_target")
    wanted = {name: text.encode() for name, text in module.params["files"].items()}
    if any(Path(name).name != name or not name.endswith(".py") for name in wanted):
        module.fail_json(msg="a file name is no plain name of a Python module")
    try:
        written = lay_down(package, wanted)
    except OSError as error:
        module.fail_json(
            msg=f"the tools in {package} may be incomplete: {error}. No lease was taken. Make room or mend the disk, and run this again."
        )
    code, out, error = module.run_command(module.params["argv"])
    module.exit_json(failed=False, changed=bool(written), written=written, rc=code, stdout=out, stderr=error)


if __name__ == "__main__":
    main()
