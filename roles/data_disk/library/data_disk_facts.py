"""Tell what a disk that a policy names holds and who uses it. Reads only."""

from __future__ import annotations

from ansible.module_utils import data_disk_mountpoint_view as view
from ansible.module_utils import data_disk_probe as probe
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: data_disk_facts
short_description: Tell what a disk that a policy names holds and who uses it
description:
  - Finds every block device that the identity fits, and says of each its size, signatures, partitions, holders, mounts and swap,
    whether it carries C(/), whether it is read-only and whether it can be opened alone.
  - Says of the mountpoint what is mounted there and what lies in the bare folder beneath.
  - Changes nothing, in check mode and out of it.
options:
  identity: {description: kind and value, type: dict, required: true}
  uuid: {description: UUID that the filesystem has or gets, type: str, required: true}
  filesystem: {description: type that the filesystem has or gets, type: str, required: true}
  mount: {description: where it is mounted, type: str, required: true}
  options: {description: mount options that must be in effect, type: list, elements: str, default: []}
author: controlplane
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
            "uuid": {"type": "str", "required": True},
            "filesystem": {"type": "str", "required": True},
            "mount": {"type": "str", "required": True},
            "options": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    want = module.params
    try:
        known = probe.devices()
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
    except (probe.ProbeError, OSError, ValueError) as error:
        module.fail_json(msg=f"{want['identity']['kind']} {want['identity']['value']}: {error}. Nothing was changed.")
    module.exit_json(changed=False, candidates=found, twins=twins, mountpoint=mountpoint)


if __name__ == "__main__":
    main()
