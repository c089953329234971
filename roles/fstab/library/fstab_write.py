"""Write entries of fstab and guards of units, and let systemd read them."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils import fstab_guard as guard
from ansible.module_utils import fstab_lines as lines
from ansible.module_utils import fstab_table as table
from ansible.module_utils import target_run_fence as fence
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: fstab_write
short_description: Write entries of fstab and guards of units, and let systemd read them
description:
  - Each file is verified and replaced with one rename; C(--diff) shows them. Nothing is mounted, and no unit is started or stopped.
options:
  entries: {description: "spec, file, vfstype, options, freq and passno of each", type: list, elements: dict, required: true}
  path: {description: the file, type: str, default: /etc/fstab}
  guards: {description: "unit and text (the whole drop-in) of each", type: list, elements: dict, required: true}
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
        # A dry run has made no mountpoint.
        found = table.Table(module, want["path"], want["entries"], folders_made=not module.check_mode)
        return [one for one in (found, *map(guard.Guard, want["guards"])) if one.pending]
    except (guard.GuardError, lines.FstabError, OSError) as error:
        module.fail_json(msg=f"{want['path']}: {error}. Neither the file nor a guard was changed.")


def write(module, pending):
    """Put each file in place, as long as its former text is on record, and have systemd read them all."""
    folder = Path(module.params["folder"])
    for one in pending:
        if not one.is_recorded(folder):
            module.fail_json(msg=f"{one.path} was changed by somebody since this run recorded it in {folder}. It was left alone. Run this again.")
    try:
        for one in pending:
            one.write()
    except (lines.FstabError, OSError) as error:
        module.fail_json(msg=f"{one.path}: {error}. Each file is as it was or written whole; what was before stands in {folder}. Run this again.")
    code, _, err = module.run_command(["systemctl", "daemon-reload"])
    if code != 0:
        module.fail_json(
            msg=f"systemctl daemon-reload ended with {code}: {err.strip()}. The files are written, systemd has not read them. Run this again."
        )


def main():
    """Answer the task."""
    module = AnsibleModule(
        argument_spec={
            "entries": table.OPTION,
            "path": {"type": "str", "default": "/etc/fstab"},
            "guards": guard.OPTION,
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
            pending = judged(module)
            if pending or module.params["reload"]:
                write(module, pending)
    module.exit_json(changed=bool(pending) or module.params["reload"], diff=[one.diff() for one in pending])


if __name__ == "__main__":
    main()
