"""Carry out what was looked at: mountpoints, bare directories, entries of fstab, guards of units, mounts."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils import fstab_guard as guard
from ansible.module_utils import fstab_lines as lines
from ansible.module_utils import fstab_table as table
from ansible.module_utils import target_run_fence as fence
from ansible.module_utils import target_run_mountpoint as mountpoint
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: fstab_write
short_description: Make mountpoints, write entries of fstab and guards of units, and mount
description:
  - Makes the mountpoints, and the bare directories beneath mounts, immutable; then verifies each file and replaces it with one rename.
  - Then lets systemd read them, and starts the mounts. C(--diff) shows all of it, without secrets that fstab holds.
options:
  entries: {description: "spec, file, vfstype, options, freq and passno of each", type: list, elements: dict, required: true}
  path: {description: the file, type: str, default: /etc/fstab}
  guards: {description: "unit and text (the whole drop-in) of each", type: list, elements: dict, required: true}
  make: {description: mountpoints that are not there, type: list, elements: str, required: true}
  writable: {description: mounts beneath which the bare directory is to be made immutable, type: list, elements: str, required: true}
  beneath: {description: the command that works beneath a mount; an action and a path are added to it, type: list, elements: str, required: true}
  start: {description: "file and unit of each mount that is to be started", type: list, elements: dict, required: true}
  reload: {description: whether systemd has to read again what an earlier attempt wrote, type: bool, required: true}
  folder: {description: where the former texts are recorded; what is not recorded there is not written, type: str, required: true}
  fence:
    description: Runs a command under the play's lease, as the role target_run gives it; empty in a dry run.
    type: list
    elements: str
    required: true
author: controlplane
"""


def judged(module):
    """Return fstab and each guard that differ from what they are to be; end the module where they can't be had."""
    want = module.params
    try:
        found = table.Table(module, want["path"], want["entries"])
        return [one for one in (found, *map(guard.Guard, want["guards"])) if one.pending]
    except (guard.GuardError, lines.FstabError, OSError) as error:
        module.fail_json(msg=f"{want['path']}: {error}. Neither the file nor a guard was changed.")


def protect(module):
    """Make the mountpoints that are not there, and what lies beneath mounts, immutable."""
    for path in module.params["make"]:
        try:
            mountpoint.make(path)
        except OSError as error:
            module.fail_json(
                msg=f"{path} can't be made an immutable mountpoint: {error}. The filesystem that holds it must know the flag (ext4, xfs, btrfs)."
                " fstab and the guards are as they were."
            )
    for path in module.params["writable"]:
        # A process each: a mount namespace cannot be left.
        command = [*module.params["beneath"], "set", path]
        code, _, err = module.run_command(command)
        if code != 0:
            module.fail_json(msg=f"{err.strip() or f'{command} ended with {code}.'} fstab and the guards are as they were.")


def write(module, pending):
    """Put each file in place, and have systemd read them all."""
    try:
        for one in pending:
            one.write()
    except (lines.FstabError, OSError) as error:
        folder = module.params["folder"]
        module.fail_json(msg=f"{one.path}: {error}. Each file is as it was or written whole; what was before stands in {folder}. Run this again.")
    code, _, err = module.run_command(["systemctl", "daemon-reload"])
    if code != 0:
        module.fail_json(
            msg=f"systemctl daemon-reload ended with {code}: {err.strip()}. The files are written, systemd has not read them. Run this again."
        )


def mount(module):
    """Start the mounts that are not there, all of them before any failure is told."""
    failed = []
    for unit in (one["unit"] for one in module.params["start"]):
        code, _, err = module.run_command(["systemctl", "start", unit])
        if code != 0:
            failed.append(f"systemctl start {unit} ended with {code}: {err.strip()} ('journalctl -u {unit}' tells why)")
    if failed:
        module.fail_json(msg=f"{'; '.join(failed)}. fstab and the guards are as they are to be. Mend it, and run this again.")


def change(module):
    """Do it all, as long as what stood in each file is on record; return the files that were written."""
    pending, want = judged(module), module.params
    for one in pending:
        if not one.is_recorded(Path(want["folder"])):
            module.fail_json(
                msg=f"{one.path} was changed by somebody since this run recorded it in {want['folder']}. It was left alone. Run this again."
            )
    protect(module)
    if pending or want["reload"]:
        write(module, pending)
    mount(module)
    return pending


def shown(module, pending):
    """Return what `--diff` shows."""
    turns = [(path, "no immutable folder", "an immutable folder") for path in module.params["make"]]
    turns += [(f"the directory under the mount {path}", "writable", "immutable, with the mount left as it is") for path in module.params["writable"]]
    turns += [(one["file"], "not mounted", f"mounted by {one['unit']}") for one in module.params["start"]]
    return [one.diff() for one in pending] + [
        {"before_header": name, "after_header": name, "before": f"{before}\n", "after": f"{after}\n"} for name, before, after in turns
    ]


def main():
    """Answer the task."""
    texts = {"type": "list", "elements": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            "entries": table.OPTION,
            "path": {"type": "str", "default": "/etc/fstab"},
            "guards": guard.OPTION,
            "make": texts,
            "writable": texts,
            "beneath": texts,
            "start": {"type": "list", "elements": "dict", "required": True},
            "reload": {"type": "bool", "required": True},
            "folder": {"type": "str", "required": True},
            **fence.OPTION,
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        pending = judged(module)
    else:
        with fence.held(module):
            pending = change(module)
    diff = shown(module, pending)
    # Unasked it would lie in every log and artifact of the run for nothing.
    asked = {"diff": diff} if module._diff else {}  # noqa: SLF001 - Ansible has no other name for it
    module.exit_json(changed=bool(diff) or module.params["reload"], **asked)


if __name__ == "__main__":
    main()
