"""Make the planned filesystem on one disk that was found blank, and on no other."""

from __future__ import annotations

from ansible.module_utils import data_disk_probe as probe
from ansible.module_utils import target_run_fence as fence
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: data_disk_filesystem
short_description: Make the planned filesystem on one disk that was found blank
description:
  - Looks again, right before mkfs, that the node is the device that was judged, that it is blank (or holds what an earlier, killed mkfs of the same
    UUID left), that nobody uses it and that it doesn't carry C(/).
  - The filesystem bears the label C(cp-making) until it is whole; a second run of a killed one knows it by that and makes it again.
options:
  node: {description: device node that was judged, type: str, required: true}
  number: {description: its major:minor when it was judged, type: str, required: true}
  size: {description: its size in bytes when it was judged, type: int, required: true}
  uuid: {description: UUID that it gets, type: str, required: true}
  filesystem: {description: ext4 or xfs, type: str, required: true}
  fence:
    description: Runs a command under the play's lease, as the role target_run gives it; empty in a dry run.
    type: list
    elements: str
    required: true
author: controlplane
"""

MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-U", "{uuid}", "-L", probe.UNFINISHED],
    "xfs": ["mkfs.xfs", "-q", "-m", "uuid={uuid}", "-L", probe.UNFINISHED],
}
FINISH = {"ext4": ["tune2fs", "-L", ""], "xfs": ["xfs_admin", "-L", "--"]}


def objection(module):
    """Return why the device is not the blank disk that was judged, empty if it is, and whether a killed mkfs left its mark there."""
    want, known = module.params, probe.devices()
    one = known.get(want["number"])
    if one is None or not one["node_ok"] or one["node"] != want["node"]:
        return f"{want['node']} is not device {want['number']} any more", False
    seen, words = probe.signatures(module, want["node"])
    again = words == [f"{want['filesystem']} {want['uuid']}"] and seen.get("LABEL") == probe.UNFINISHED
    used = [f"{what} {', '.join(str(each) for each in who)}" for what, who in probe.users(one, known).items() if who]
    held = probe.held(want["node"], want["number"])
    reasons = [
        f"has {one['size']} bytes now, {want['size']} when it was judged" if one["size"] != want["size"] else "",
        "is read-only" if one["read_only"] else "",
        "shares a disk with /" if probe.carries_root(one["number"], known) else "",
        f"has {'; '.join(used)}" if used else "",
        f"holds {', '.join(words)}" if words and not again else "",
        f"is in use: {held}" if held else "",
    ]
    found = [reason for reason in reasons if reason]
    return (f"{want['node']} {found[0]}" if found else ""), again


def make(module, *, again):
    """Make the filesystem, and read it back."""
    want = module.params
    words = [word.format(uuid=want["uuid"]) for word in MAKE[want["filesystem"]]]
    if again and want["filesystem"] == "xfs":
        words.append("-f")
    for command in ([*words, want["node"]], [*FINISH[want["filesystem"]], want["node"]]):
        code, out, err = module.run_command(command, environ_update={"LC_ALL": "C"})
        if code != 0:
            module.fail_json(
                msg=f"{' '.join(command)} ended with {code}: {(err or out).strip()}. The disk bears an unfinished filesystem; run this again."
            )
    planned = f"{want['filesystem']} {want['uuid']}"
    seen, words = probe.signatures(module, want["node"])
    if words != [planned] or seen.get("LABEL"):
        module.fail_json(msg=f"{want['node']} should hold {planned}, but blkid and wipefs read {', '.join(words) or 'nothing'}.")


def refuse_unless_blank(module):
    """End the module where anything speaks against the device; return whether a killed mkfs left its mark there."""
    try:
        reason, again = objection(module)
    except (probe.ProbeError, OSError, ValueError) as error:
        reason, again = str(error), False
    if reason:
        module.fail_json(msg=f"{reason}. Nothing was changed on the disk.")
    return again


def main():
    """Answer the task."""
    module = AnsibleModule(
        argument_spec={
            "node": {"type": "str", "required": True},
            "number": {"type": "str", "required": True},
            "size": {"type": "int", "required": True},
            "uuid": {"type": "str", "required": True},
            "filesystem": {"type": "str", "required": True, "choices": sorted(MAKE)},
            **fence.OPTION,
        },
        supports_check_mode=True,
    )
    want = module.params
    diff = {"before": f"{want['node']}: blank\n", "after": f"{want['node']}: {want['filesystem']} {want['uuid']}\n"}
    if module.check_mode:
        refuse_unless_blank(module)
        module.exit_json(changed=True, diff=diff)
    with fence.held(module):
        make(module, again=refuse_unless_blank(module))
    settle = module.get_bin_path("udevadm")
    if settle:
        module.run_command([settle, "settle", "--timeout=10"])
    module.exit_json(changed=True, diff=diff)


if __name__ == "__main__":
    main()
