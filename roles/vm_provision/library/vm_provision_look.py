"""Tell what libvirt shows of a machine and of what it would be made from. Reads only."""

from __future__ import annotations

from ansible.module_utils import vm_provision_judge as judge
from ansible.module_utils import vm_provision_want as asked
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.vm_provision_kvm import accelerator_fault

DOCUMENTATION = r"""
module: vm_provision_look
short_description: Tell what libvirt shows of a machine and of what it would be made from
description:
  - Says whether the machine is there and whose it is, what speaks against making it or giving it a disk, and whether there is anything to do.
  - Where there is something to make, an empty machine is started for a moment to see that the accelerator works. Nothing is kept.
options:
  name: {description: name of the machine, type: str, required: true}
  hypervisor: {description: "kind, uri and accelerator", type: dict, required: true}
  cores: {description: virtual cores, type: int, required: true}
  memory: {description: memory in bytes, type: int, required: true}
  boot: {description: "boot disk: image or template, size, storage, volume", type: dict, required: true}
  disks: {description: "data disks: serial, size, storage, volume", type: list, elements: dict, required: true}
  network: {description: "network or bridge, vlan", type: dict, required: true}
  address: {description: "address, gateway, nameservers", type: dict, required: true}
  user: {description: login that cloud-init makes, type: str, required: true}
  ssh_keys: {description: public keys that may log in, type: list, elements: str, required: true}
  agent: {description: whether there is a channel to a guest agent, type: bool, required: true}
  prefetch: {description: packages that it fetches at its first boot, type: list, elements: str, default: []}
  existing: {description: whether the plan was made for a machine that is there, type: bool, required: true}
  run: {description: key of the run, type: str, required: true}
author: controlplane
"""


def main():
    """Answer the task."""
    module = AnsibleModule(argument_spec=asked.SPEC, supports_check_mode=True)
    want = module.params
    if want["hypervisor"]["kind"] != "libvirt":
        nothing = {"exists": False, "pending": True, "run": None, "made": None, "host_key": "", "state": None, "autostart": None, "disks": []}
        module.exit_json(changed=False, objections=[f"machines on {want['hypervisor']['kind']} are not made by this role"], **nothing)
    try:
        missing = asked.missing_tools()
        if "virsh" in missing:
            module.fail_json(msg="the program virsh is missing here: install it. Nothing was changed.")
        libvirt = asked.libvirt_of(want)
        domain, pools = libvirt.domain(want["name"]), libvirt.pools()
        source = asked.source_of(libvirt, want, pools) if domain is None else {"size": None, "why": ""}
        told = judge.objections(want, domain, pools, networks=[*libvirt.networks(), *asked.bridges()], source=source, tools=missing)
        if not judge.is_there(domain):
            fault = accelerator_fault(libvirt, want["hypervisor"]["accelerator"])
            told += [fault] if fault else []
    except (asked.LibvirtError, OSError, ValueError) as error:
        module.fail_json(msg=f"{error}. Nothing was changed.")
    seen = domain or {}
    module.exit_json(
        changed=False,
        objections=told,
        pending=judge.is_pending(want, domain),
        exists=domain is not None,
        run=seen.get("run"),
        made=seen.get("made"),
        host_key=seen.get("host_key", ""),
        state=seen.get("state"),
        autostart=seen.get("autostart"),
        disks=[{"serial": disk["serial"], "pool": disk["pool"], "volume": disk["volume"]} for disk in seen.get("disks", [])],
    )


if __name__ == "__main__":
    main()
