"""Take away what a machine needed only for its birth, and mark it as made."""

from __future__ import annotations

import time

from ansible.module_utils import vm_provision_fence as fence
from ansible.module_utils import vm_provision_seed as seed
from ansible.module_utils import vm_provision_shape as shape
from ansible.module_utils import vm_provision_want as asked
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: vm_provision_finish
short_description: Take away what a machine needed only for its birth, and mark it as made
description:
  - Detaches the disk that cloud-init has read and removes its volume, removes the private host key from the hypervisor, marks it as made.
  - Changes nothing about a machine that is marked so already.
options:
  name: {description: name of the machine, type: str, required: true}
  uri: {description: libvirt's URI, type: str, required: true}
  storage: {description: storage that the seed lies in, type: str, required: true}
  fence:
    description: Runs a command under the play's lease, as the role target_run gives it; empty in a dry run.
    type: list
    elements: str
    required: true
author: controlplane
"""
# The guest has to let go of the disk; early in its life it may not hear the first time.
_LIMIT_S = 240
_AGAIN_S = 10


def detach(libvirt, name):
    """Detach the seed where the machine runs, then where it is kept."""
    limit, asked_at = time.monotonic() + _LIMIT_S, 0.0
    while _has_seed(libvirt.domain(name)["disks"]):
        if time.monotonic() > limit:
            raise asked.LibvirtError(f"{name} does not let go of the disk {shape.seed_volume(name)} within {_LIMIT_S} s")
        if time.monotonic() - asked_at > _AGAIN_S:
            asked_at = time.monotonic()
            try:
                libvirt.virsh("detach-disk", name, shape.SEED_DEVICE, "--live")
            except asked.LibvirtError as error:
                if "in the process of unplug" not in str(error) and _has_seed(libvirt.domain(name)["disks"]):
                    raise
        time.sleep(1)
    if _has_seed(libvirt.domain(name)["kept"]):
        libvirt.virsh("detach-disk", name, shape.SEED_DEVICE, "--config")


def _has_seed(disks):
    return any(disk["serial"] == shape.SEED_SERIAL for disk in disks)


def finish(libvirt, name, storage, folder):
    """Do it; each step can be done again. The mark comes last: until then a second run comes here again."""
    domain = libvirt.domain(name)
    detach(libvirt, name)
    volume = shape.seed_volume(name)
    if volume in libvirt.pools()[storage]["volumes"] and (storage, volume) in domain["volumes"]:
        libvirt.remove_volume(storage, volume)
    seed.forget(folder)
    mark = shape.machine_mark(domain["run"], made=True, started=True, host_key=domain["host_key"], birth=domain["birth"])
    libvirt.set_mark(name, shape.MACHINE, mark, running=True)


def main():
    """Answer the task."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "uri": {"type": "str", "required": True},
            "storage": {"type": "str", "required": True},
            **fence.OPTION,
        },
        supports_check_mode=True,
    )
    want = module.params
    libvirt = asked.Libvirt(want["uri"])
    try:
        with fence.unless_dry(module), asked.alone(want["name"]):
            domain = libvirt.domain(want["name"])
            if domain is None or domain["made"] is not False:
                module.exit_json(changed=False)
            if not module.check_mode:
                finish(libvirt, want["name"], want["storage"], seed.key_folder(asked.HOME, domain["run"]))
    except (asked.LibvirtError, OSError) as error:
        module.fail_json(msg=f"{want['name']} runs and answers, but what its birth needed is still there: {error}. A second run goes on from here.")
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
