"""Tell what speaks against putting a filesystem on a disk that a policy names, and what of it is lacking. Reads only."""

from __future__ import annotations

from ansible.module_utils import data_disk_judge as judge
from ansible.module_utils import data_disk_mountpoint_view as view
from ansible.module_utils import data_disk_probe as probe
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: data_disk_look
short_description: Tell what speaks against putting a filesystem on a disk, and what of it is lacking
description:
  - Finds every block device that the identity fits, and says of each its size, signatures, partitions, holders, mounts and swap,
    whether it carries C(/), whether it is read-only and whether it can be opened alone.
  - Says of the mountpoint what is mounted there and what lies in the bare folder beneath.
  - All that speaks against the change is told at once. Changes nothing, in check mode and out of it.
options:
  identity: {description: kind and value, type: dict, required: true}
  min_size: {description: least size in bytes, type: int, required: true}
  max_size: {description: largest size in bytes, type: int, required: true}
  uuid: {description: UUID that the filesystem has or gets, type: str, required: true}
  filesystem: {description: type that the filesystem has or gets, type: str, required: true}
  mount: {description: where it is mounted, type: str, required: true}
  options: {description: mount options that must be in effect, type: list, elements: str, default: []}
  format: {description: whether the plan names the disk for mkfs, type: bool, required: true}
  field: {description: where the policy names the disk, type: str, required: true}
author: controlplane
"""

RETURN = r"""
objections:
  description: What speaks against the change, as sentences.
  type: list
  returned: always
lacking:
  description: What is not as it is to be, as sentences; nothing is to be done where it is empty.
  type: list
  returned: where nothing speaks against the change
disk:
  description: The one device that the identity fits.
  type: dict
  returned: where nothing speaks against the change
mounted:
  description: Whether the root of that device is mounted at the mountpoint.
  type: bool
  returned: where nothing speaks against the change
mountpoint:
  description: What is mounted there, and what the bare folder beneath is like.
  type: dict
  returned: always
"""


def describe(module, one, known):
    """Return all that the role decides on about one candidate."""
    answer = {
        "node": one["node"],
        "node_ok": one["node_ok"],
        "number": one["number"],
        "size": one["size"],
        "read_only": one["read_only"],
        "carries_root": probe.carries_root(one["number"], known),
        "signatures": [],
        "ours": False,
        "unfinished": False,
        "held": "",
        **probe.users(one, known),
    }
    if one["node_ok"] and one["size"]:
        seen, answer["signatures"] = probe.signatures(module, one["node"])
        planned = f"{module.params['filesystem']} {module.params['uuid']}"
        if answer["signatures"] == [planned]:
            answer["unfinished"] = seen.get("LABEL") == probe.UNFINISHED
            answer["ours"] = not answer["unfinished"]
        if not answer["mounts"]:
            answer["held"] = probe.held(one["node"], one["number"])
    return answer


def look(module):
    """Return what the judgement needs: candidates, twins and mountpoint. Raises ProbeError."""
    want, known = module.params, probe.devices()
    found = [describe(module, one, known) for one in probe.candidates(module, want["identity"], known)]
    numbers = {one["number"] for one in found}
    twins = [
        one["node"]
        for one in known.values()
        if one["number"] not in numbers and one["node_ok"] and one["size"] and probe.signature(module, one["node"]).get("UUID") == want["uuid"]
    ]
    mountpoint = view.look(module, want["mount"])
    if mountpoint["mounted"]:
        mountpoint["missing_options"] = view.missing_options(want["options"], mountpoint["mounted"]["options"])
    return {"candidates": found, "twins": twins, "mountpoint": mountpoint}


def main():
    """Answer the task."""
    module = AnsibleModule(
        argument_spec={
            "identity": {
                "type": "dict",
                "required": True,
                "options": {
                    "kind": {"type": "str", "required": True, "choices": ["serial", "wwn", "by_id", "by_path", "loop_file", "uuid"]},
                    "value": {"type": "str", "required": True},
                },
            },
            **{name: {"type": "str", "required": True} for name in ("uuid", "filesystem", "mount", "field")},
            **{name: {"type": "int", "required": True} for name in ("min_size", "max_size")},
            "options": {"type": "list", "elements": "str", "default": []},
            "format": {"type": "bool", "required": True},
        },
        supports_check_mode=True,
    )
    want = module.params
    try:
        seen = look(module)
    except (probe.ProbeError, OSError, ValueError) as error:
        module.fail_json(msg=f"{want['identity']['kind']} {want['identity']['value']}: {error}. This task only looks; nothing was changed by it.")
    against = judge.objections(want, seen)
    answer = {"objections": against, "mountpoint": seen["mountpoint"]}
    if not against:
        answer |= {"lacking": judge.lacking(want, seen), "disk": seen["candidates"][0], "mounted": judge.is_mounted(seen)}
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
