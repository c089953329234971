"""Tell what Proxmox VE shows of a machine, once nothing works on it any more. Reads only."""

from __future__ import annotations

from contextlib import suppress

from ansible.module_utils import vm_provision_birth as birth
from ansible.module_utils import vm_provision_proxmox_shape as shape
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.vm_provision_proxmox import Node, ProxmoxError

DOCUMENTATION = r"""
module: vm_provision_api_look
short_description: Tell what Proxmox VE shows of a machine
description:
  - Waits as long as a task works on the machine, then says whether it is there and whose it is, and what speaks against going on.
  - Before the first call it says in its C(answer), for the run's receipt, what of an earlier run's work is gone on with.
  - Gives the values that a call which makes it needs. The token's secret is read from the environment variable PROXMOX_TOKEN_SECRET.
options:
  id: {description: number of the machine, type: int, required: true}
  name: {description: name of the machine, type: str, required: true}
  hypervisor: {description: "api, node, token_id and seeds", type: dict, required: true}
  boot: {description: "boot disk: image, size, storage", type: dict, required: true}
  disks: {description: "data disks: serial, size, storage", type: list, elements: dict, required: true}
  network: {description: "bridge, vlan", type: dict, required: true}
  address: {description: "address, gateway, nameservers", type: dict, required: true}
  user: {description: login that cloud-init makes, type: str, required: true}
  ssh_keys: {description: public keys that may log in, type: list, elements: str, required: true}
  run: {description: key of the run, type: str, required: true}
  begun: {description: whether the call that makes it was made before, type: bool, default: false}
  wait_s: {description: how long to wait for a task that works on it, in seconds, type: int, required: true}
author: controlplane
"""


def objections(node, want, config):
    """Return what speaks against it, each with what to do."""
    number, name = want["id"], want["name"]
    if config is None:
        return _against_a_new_one(node, want)
    if "lock" in config:
        return [f"machine {number} has the lock {config['lock']} and no task that holds it: look at it there"]
    mark = shape.read_mark(config.get("description", ""))
    if "run" not in mark or "made" not in mark:
        return [f"machine {number} ({config.get('name', 'without a name')}) is there and no run here made it: give {name} another id"]
    if config.get("name") != name:
        return [f"machine {number} is {config.get('name', 'without a name')}, made by {mark['run']}: give {name} another id"]
    told = shape.differences(want, config)
    other = birth.objection(want, mark.get("birth", "")) if mark["made"] == "no" else ""
    told += [other] if other else []
    return [f"machine {number}, made by {mark['run']}, is not as it was asked for ({'; '.join(told)}): look at it there"] if told else []


def _against_a_new_one(node, want):
    number, name, seeds, image = want["id"], want["name"], want["hypervisor"]["seeds"], want["boot"].get("image")
    told = []
    for row in node.machines():
        if int(row["vmid"]) == number:
            told.append(f"machine {number} ({row.get('name', 'without a name')}) is on node {row.get('node')}: give {name} another id")
        elif row.get("name") == name:
            told.append(f"machine {row['vmid']} has the name {name} already: is it the one that is meant?")
    status = node.read("nodes", node.node, "storage", seeds, "status")
    if status is None or "iso" not in str(status.get("content", "")).split(","):
        told.append(f"storage {seeds} takes no ISO images: allow them there, or name another as seeds of the hypervisor in machines.yml")
    storage, _, _ = str(image).partition(":")
    found = node.read("nodes", node.node, "storage", storage, "content", image) if image else None
    if found is None:
        told.append(f"there is no image {image}: put it there, or name another in machines.yml")
    elif int(found["size"]) > want["boot"]["size"]:
        told.append(f"image {image} holds a disk of {found['size']} bytes, the boot disk would have {want['boot']['size']}: make it larger")
    return told


def told_of(node, want, config, seed):
    """Return what an earlier run left that is gone on with, empty where there is none. `seed` is the CD that this run would write."""
    mark = shape.read_mark((config or {}).get("description", ""))
    if mark.get("made") == "no":
        return {"went_on_with": mark["run"], "notes": [f"went on with machine {want['id']}, which run {mark['run']} left half made"]}
    if config is None:
        # It is only told: whoever may not list the storage goes without.
        with suppress(ProxmoxError):
            if any(row["volid"] == seed for row in node.read("nodes", node.node, "storage", seed.partition(":")[0], "content", content="iso") or []):
                return {"written_over": [seed], "notes": [f"found the CD {seed}, left by an earlier attempt without a machine, and wrote over it"]}
    return {}


def main():
    """Answer the task."""
    module = AnsibleModule(
        argument_spec={
            "id": {"type": "int", "required": True},
            "name": {"type": "str", "required": True},
            "hypervisor": {"type": "dict", "required": True},
            "boot": {"type": "dict", "required": True},
            "disks": {"type": "list", "elements": "dict", "required": True},
            "network": {"type": "dict", "required": True},
            "address": {"type": "dict", "required": True},
            "user": {"type": "str", "required": True},
            # Public ones.
            "ssh_keys": {"type": "list", "elements": "str", "required": True, "no_log": False},
            "run": {"type": "str", "required": True},
            "begun": {"type": "bool", "default": False},
            "wait_s": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    want = module.params
    try:
        node = Node(want["hypervisor"])
        config = node.settled(want["id"], wait_s=want["wait_s"])
        told = objections(node, want, config)
        why = node.last_end(want["id"], "qmcreate") if config is None and want["begun"] else ""
        running = config is not None and node.is_running(want["id"])
        seen = config or {}
        mark = shape.read_mark(seen.get("description", ""))
        seed = mark.get("seed", f"{want['hypervisor']['seeds']}:iso/{shape.seed_name(want['id'], want['run'])}")
        left = {} if want["begun"] or told else told_of(node, want, config, seed)
    except ProxmoxError as error:
        module.fail_json(msg=f"{want['name']}: {error}")
    module.exit_json(
        changed=False,
        objections=told,
        exists=config is not None,
        pending=mark.get("made") != "yes",
        why=why,
        running=running,
        run=mark.get("run", ""),
        host_key=mark.get("host-key", ""),
        seed=seed,
        seed_storage=seed.partition(":")[0],
        has_seed=shape.properties(seen.get(shape.CD, shape.EMPTY_CD)).get("") == seed,
        boot_size=shape.size_of(seen.get(shape.BOOT, "")) or 0,
        boot_kib=shape.whole_kib(want["boot"]["size"]),
        description_made=shape.as_made(seen.get("description", "")),
        scsi=shape.drives(want),
        card=shape.card(want),
        **({"answer": {"told": left}} if left else {}),
    )


if __name__ == "__main__":
    main()
