"""The parameters that every module of this role takes, and the way from them to libvirt."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from pathlib import Path

from ansible.module_utils.vm_provision_libvirt import Libvirt, LibvirtError

SPEC = {
    "name": {"type": "str", "required": True},
    "hypervisor": {"type": "dict", "required": True},
    "cores": {"type": "int", "required": True},
    "memory": {"type": "int", "required": True},
    "boot": {"type": "dict", "required": True},
    "disks": {"type": "list", "elements": "dict", "required": True},
    "network": {"type": "dict", "required": True},
    "address": {"type": "dict", "required": True},
    "user": {"type": "str", "required": True},
    # Public ones.
    "ssh_keys": {"type": "list", "elements": "str", "required": True, "no_log": False},
    "agent": {"type": "bool", "required": True},
    "prefetch": {"type": "list", "elements": "str", "default": []},
    "existing": {"type": "bool", "required": True},
    "run": {"type": "str", "required": True},
}
HOME = "/var/lib/controlplane"
ISO_TOOLS = ("genisoimage", "xorriso", "mkisofs")


@contextlib.contextmanager
def alone(name):
    """Wait until no other program of ours works on this machine: one whose controller was killed goes on to its end."""
    with Path("/run/lock", f"controlplane-vm-{name}").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def libvirt_of(want):
    """Return the libvirt that the machine is on."""
    return Libvirt(want["hypervisor"].get("uri", "qemu:///system"))


def iso_tool():
    """Return the program that writes the seed, None where there is none."""
    return next((tool for tool in ISO_TOOLS if shutil.which(tool)), None)


def missing_tools():
    """Return what has to be installed."""
    missing = [tool for tool in ("virsh", "ssh-keygen", "ssh-keyscan") if shutil.which(tool) is None]
    return [*missing, *([] if iso_tool() else [" or ".join(ISO_TOOLS)])]


def bridges():
    """Return the bridges of this host."""
    return [each.name for each in Path("/sys/class/net").iterdir() if (each / "bridge").is_dir()]


def source_of(libvirt, want, pools):
    """Return where the boot disk's content comes from: `name`, `pool`, `volume`, `size` (None: not there, and `why`)."""
    boot = want["boot"]
    if boot.get("image"):
        pool, name = boot["storage"], boot["image"]
        if name not in pools.get(pool, {}).get("volumes", {}):
            return {"size": None, "why": f"there is no image {name} in storage {pool}: put it there, or name another in machines.yml"}
        return {"name": f"image {name}", "pool": pool, "volume": name, "size": libvirt.capacity(pool, name)}
    name = boot["template"]
    domain = libvirt.domain(name)
    if why := _against_the_template(name, domain):
        return {"size": None, "why": why}
    for disk in domain["kept"]:
        for pool, seen in pools.items():
            for volume, path in seen["volumes"].items():
                if (disk["pool"], disk["volume"]) == (pool, volume) or (disk["file"] and disk["file"] == path):
                    return {"name": f"template {name}", "pool": pool, "volume": volume, "size": libvirt.capacity(pool, volume)}
    return {"size": None, "why": f"the disk of template {name} lies in no active storage: put it there, or name another in machines.yml"}


def _against_the_template(name, domain):
    if domain is None:
        return f"there is no template {name}: make it, or name another in machines.yml"
    if domain["run"] is not None:
        made = f"template {name} was made by run {domain['run']}, and its cloud-init is switched off: a copy would have its host key and its address"
        return f"{made}. Name an image, or a machine that no run made, in machines.yml"
    if domain["state"] != "shut off":
        return f"template {name} is {domain['state']}: shut it down first"
    return ""


__all__ = ["HOME", "ISO_TOOLS", "SPEC", "Libvirt", "LibvirtError", "alone", "bridges", "iso_tool", "libvirt_of", "missing_tools", "source_of"]
