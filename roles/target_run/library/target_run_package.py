#!/usr/bin/python
# Copyright: controlplane authors
# Apache License 2.0
"""Lay down the run's package in one transfer, each file atomically."""

from __future__ import annotations

import os

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


def _make(folder: str) -> None:
    if not os.path.isdir(folder):
        _make(os.path.dirname(folder))
        os.mkdir(folder, 0o700)


def _write(path: str, text: bytes) -> None:
    temporary = f"{path}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)


def _held(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"folder": {"type": "path", "required": True}, "files": {"type": "dict", "required": True}}, supports_check_mode=True
    )
    package = os.path.join(module.params["folder"], "controlplane_target")
    wanted = {name: text.encode() for name, text in module.params["files"].items()}
    if any(os.path.basename(name) != name or not name.endswith(".py") for name in wanted):
        module.fail_json(msg="a file name is no plain name of a Python module")
    present = os.listdir(package) if os.path.isdir(package) else []
    stale = sorted(name for name in present if name not in wanted and name != "__pycache__")
    changed = sorted(name for name, text in wanted.items() if _held(os.path.join(package, name)) != text)
    if (stale or changed) and not module.check_mode:
        _make(package)
        for name in changed:
            _write(os.path.join(package, name), wanted[name])
        for name in stale:
            os.unlink(os.path.join(package, name))
        for folder in (package, module.params["folder"], os.path.dirname(module.params["folder"])):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(descriptor)
            os.close(descriptor)
    module.exit_json(changed=bool(stale or changed), written=changed + stale)


if __name__ == "__main__":
    main()
