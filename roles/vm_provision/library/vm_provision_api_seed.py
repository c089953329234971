"""Make the CD that a machine's cloud-init reads at its first boot, with the machine's own host key, or one like it without."""

from __future__ import annotations

import os
from pathlib import Path

from ansible.module_utils import vm_provision_birth as birth
from ansible.module_utils import vm_provision_proxmox_shape as shape
from ansible.module_utils import vm_provision_seed as seed
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.vm_provision_libvirt import LibvirtError
from ansible.module_utils.vm_provision_want import ISO_TOOLS, iso_tool

DOCUMENTATION = r"""
module: vm_provision_api_seed
short_description: Make the CD that a machine's cloud-init reads at its first boot
description:
  - Makes a new host key and writes user-data, meta-data and network-config with it on a CD image in a private folder.
options:
  folder: {description: private folder on this machine that is removed afterwards, type: path, required: true}
  seed: {description: volume that the CD will be, type: str, required: true}
  keyless: {description: whether to write one that says nothing, type: bool, default: false}
  name: {description: name of the machine, type: str, required: true}
  boot: {description: "boot disk: image, size, storage", type: dict, required: true}
  address: {description: "address, gateway, nameservers", type: dict, required: true}
  user: {description: login that cloud-init makes, type: str, required: true}
  ssh_keys: {description: public keys that may log in, type: list, elements: str, required: true}
  prefetch: {description: packages that it fetches at its first boot, type: list, elements: str, default: []}
  run: {description: key of the run, type: str, required: true}
author: controlplane
"""


def write(want, tool):
    """Write the CD and return it with the public key on it."""
    folder, path = Path(want["folder"]) / "seed", Path(want["folder"]) / want["seed"].rpartition("/")[2]
    if want["keyless"]:
        folder.mkdir(mode=0o700)
        (folder / "meta-data").write_text("{}\n")
        (folder / "user-data").write_text("#cloud-config\n{}\n")
        command = [tool, "-as", "mkisofs"] if tool == "xorriso" else [tool]
        seed.run(*command, "-quiet", "-V", "cidata", "-r", "-J", "-o", str(path), str(folder / "meta-data"), str(folder / "user-data"))
        return path, ""
    public = seed.make_host_key(folder, want["name"])
    seed.make_seed(folder, want, uuid=shape.identity(want["run"]), mac=shape.mac(want["run"]).lower(), tool=tool).rename(path)
    return path, public


def main():
    """Answer the task."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "seed": {"type": "str", "required": True},
            # Neither is a secret: whether there is a key on it, and public ones.
            "keyless": {"type": "bool", "default": False, "no_log": False},
            "ssh_keys": {"type": "list", "elements": "str", "required": True, "no_log": False},
            "name": {"type": "str", "required": True},
            "boot": {"type": "dict", "required": True},
            "address": {"type": "dict", "required": True},
            "user": {"type": "str", "required": True},
            "prefetch": {"type": "list", "elements": "str", "default": []},
            "run": {"type": "str", "required": True},
        }
    )
    tool = iso_tool()
    if tool is None:
        module.fail_json(msg=f"a program that writes CD images is missing here: install one of {', '.join(ISO_TOOLS)}. Nothing was changed.")
    os.umask(0o077)
    try:
        path, public = write(module.params, tool)
    except (LibvirtError, OSError) as error:
        module.fail_json(msg=f"{error}. Nothing was changed.")
    born_with = birth.birth(module.params)
    description = shape.mark(module.params["run"], host_key=public, seed=module.params["seed"], birth=born_with)
    module.exit_json(changed=True, path=str(path), description=description)


if __name__ == "__main__":
    main()
