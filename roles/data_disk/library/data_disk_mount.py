"""Mount a filesystem by its UUID over a folder that nobody can write to while nothing is mounted on it."""

from __future__ import annotations

from ansible.module_utils import data_disk_mountpoint_view as view
from ansible.module_utils import data_disk_probe as probe
from ansible.module_utils import target_run_fence as fence
from ansible.module_utils import target_run_mountpoint as mountpoint
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: data_disk_mount
short_description: Mount a filesystem by its UUID over an immutable folder
description:
  - Makes the folder (0755, root) if it is absent, and sets the immutable flag on it, beneath the mount where one is there.
  - Then mounts the filesystem, or puts options into effect that are not.
options:
  path: {description: the mountpoint, type: str, required: true}
  uuid: {description: UUID of the filesystem, type: str, required: true}
  filesystem: {description: its type, type: str, required: true}
  options: {description: mount options, type: list, elements: str, required: true}
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
    else:
        mountpoint.make(path)


def mounting(want, seen):
    """Return the command that is still needed, None if the right options are in effect."""
    options = want["options"] or ["defaults"]
    if not seen["mounted"]:
        return ["mount", "-t", want["filesystem"], "-o", ",".join(options), f"UUID={want['uuid']}", want["path"]]
    if view.missing_options(want["options"], seen["mounted"]["options"]):
        return ["mount", "-o", f"remount,{','.join(options)}", want["path"]]
    return None


def change(module, seen, command):
    """Do what is lacking."""
    path = module.params["path"]
    try:
        if not seen["immutable"]:
            protect(module, path, mounted=seen["mounted"])
    except (probe.ProbeError, OSError) as error:
        module.fail_json(
            msg=f"{path} can't be made an immutable mountpoint: {error}. The filesystem that holds it must know the flag (ext4, xfs, btrfs)."
        )
    if command:
        code, out, err = module.run_command(command, environ_update={"LC_ALL": "C"})
        if code != 0:
            module.fail_json(
                msg=f"{' '.join(command)} ended with {code}: {(err or out).strip()}. The disk and its filesystem are whole; run this again."
            )


def main():
    """Answer the task."""
    module = AnsibleModule(
        argument_spec={
            **{name: {"type": "str", "required": True} for name in ("path", "uuid", "filesystem")},
            "options": {"type": "list", "elements": "str", "required": True},
            **fence.OPTION,
        },
        supports_check_mode=True,
    )
    path = module.params["path"]
    try:
        seen = view.look(module, path)
    except (probe.ProbeError, OSError) as error:
        module.fail_json(msg=f"{path} can't be seen: {error}. Nothing was changed there.")
    if seen["entries"] or (seen["exists"] and not seen["folder"]):
        module.fail_json(msg=f"{path} is not an empty folder: {', '.join(seen['entries']) or 'no folder at all'}. Nothing was changed there.")
    top = seen["mounted"]
    if top and (top["uuid"], top["root"]) != (module.params["uuid"], "/"):
        module.fail_json(msg=f"{path} is taken by {top['source']} ({top['fstype']}, UUID {top['uuid'] or 'none'}). Nothing was changed there.")
    command = mounting(module.params, seen)
    changed = not seen["immutable"] or command is not None
    if changed and not module.check_mode:
        with fence.held(module):
            change(module, seen, command)
    before = "absent" if not seen["exists"] else "folder, immutable" if seen["immutable"] else "folder"
    lines = [f"{path}: {before}\n", f"{path}: folder, immutable\n"]
    module.exit_json(changed=changed, diff={"before": lines[0], "after": lines[1] + (f"{' '.join(command)}\n" if command else "")})


if __name__ == "__main__":
    main()
