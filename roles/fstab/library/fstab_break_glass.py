"""Take the boot guards away in an emergency, after a receipt of who, why and when is safe on the disk."""

from __future__ import annotations

import json
import time
from pathlib import Path

from ansible.module_utils import fstab_texts as texts
from ansible.module_utils import target_run_fence as fence
from ansible.module_utils import target_run_files as files
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: fstab_break_glass
short_description: Take the boot guards away, with a receipt
description:
  - Writes C(break-glass.json) into the run's folder, with the text of each guard, and removes the guards after that.
options:
  who: {description: the person, type: str, required: true}
  why: {description: the reason, type: str, required: true}
  run: {description: key of the run, type: str, required: true}
  fence:
    description: Runs a command under the play's lease, as the role target_run gives it; empty in a dry run.
    type: list
    elements: str
    required: true
author: controlplane
"""

UNITS = Path("/etc/systemd/system")


def remove(guards, place, receipt):
    """Write the receipt, and then remove the guards."""
    files.make(place.parent)
    # A run that was killed halfway has removed some of them: its first receipt names them all.
    former = json.loads(place.read_text(encoding="utf-8"))["removed"] if place.exists() else []
    receipt["removed"] = former + [one for one in receipt["removed"] if one not in former]
    files.write(place, json.dumps(receipt, indent=2).encode() + b"\n", mode=0o600)
    for guard in guards:
        guard.unlink()
        files.sync(guard.parent)


def reload(module):
    """Let systemd read it: at once, since nobody breaks the glass to wait, and always, since a run may have been killed right before this."""
    code, _, err = module.run_command(["systemctl", "daemon-reload"])
    if code != 0:
        module.fail_json(msg=f"The guards are removed, but systemctl daemon-reload ended with {code}: {err.strip()}. Run it, or run this again.")


def main():
    """Answer the task."""
    module = AnsibleModule(
        argument_spec={**{name: {"type": "str", "required": True} for name in ("who", "why", "run")}, **fence.OPTION},
        supports_check_mode=True,
    )
    want = module.params
    folder = Path("/var/lib/controlplane") / want["run"]
    guards = sorted(UNITS.glob("*.d/50-controlplane-mounts.conf"))
    names = ", ".join(str(guard) for guard in guards) or "none; there were no guards"
    if module.check_mode:
        module.exit_json(changed=bool(guards), message=f"Guards to remove: {names}.")
    try:
        receipt = {
            "version": 1,
            "run": want["run"],
            "who": want["who"],
            "why": want["why"],
            "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip(),
            "removed": [{"path": str(guard), "text": texts.readable(guard.read_bytes())} for guard in guards],
        }
        place = folder / "break-glass.json"
        with fence.held(module):
            if guards:
                remove(guards, place, receipt)
            reload(module)
    except OSError as error:
        module.fail_json(msg=f"the glass could not be broken: {error}. Run this again.")
    module.exit_json(changed=bool(guards), message=f"Guards removed: {names}." + (f" The receipt is {place}." if place.exists() else ""))


if __name__ == "__main__":
    main()
