"""Make the bare mountpoint: a folder that nobody can write to while nothing is mounted on it."""

from __future__ import annotations

import os
from pathlib import Path

from ansible.module_utils import data_disk_mountpoint_view as view
from ansible.module_utils import data_disk_probe as probe
from ansible.module_utils import target_run_fence as fence
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: data_disk_mountpoint
short_description: Make the bare mountpoint and its immutable flag
description:
  - Makes the folder (0755, root) if it is absent, and sets the immutable flag on it, beneath the mount where one is there.
options:
  path: {description: the mountpoint, type: str, required: true}
  fence:
    description: Runs a command under the play's lease, as the role target_run gives it; empty in a dry run.
    type: list
    elements: str
    required: true
author: controlplane
"""


def protect(module, path, *, mounted):
    """Make the folder where there is none, and set its flag."""
    if mounted:
        view.beneath(module, path, "set")
        return
    # The process's umask must not decide who can reach the data.
    old = os.umask(0o022)
    Path(path).mkdir(0o755, parents=True, exist_ok=True)
    os.umask(old)
    view.set_immutable(path, True)


def main():
    """Answer the task."""
    module = AnsibleModule(argument_spec={"path": {"type": "str", "required": True}, **fence.OPTION}, supports_check_mode=True)
    path = module.params["path"]
    try:
        seen = view.look(module, path)
        before = "absent" if not seen["exists"] else "folder, immutable" if seen["immutable"] else "folder"
        if seen["entries"] or (seen["exists"] and not seen["folder"]):
            module.fail_json(msg=f"{path} is not an empty folder: {', '.join(seen['entries']) or 'no folder at all'}. Nothing was changed.")
        changed = not seen["immutable"]
        if changed and not module.check_mode:
            with fence.held(module):
                protect(module, path, mounted=seen["mounted"])
    except (probe.ProbeError, OSError) as error:
        module.fail_json(
            msg=f"{path} can't be made an immutable mountpoint: {error}. The filesystem that holds it must know the flag (ext4, xfs, btrfs)."
        )
    module.exit_json(changed=changed, diff={"before": f"{path}: {before}\n", "after": f"{path}: folder, immutable\n"})


if __name__ == "__main__":
    main()
