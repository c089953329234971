"""Read a machine's configuration as Proxmox VE gives it back. Pure; sizes become bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from controlplane.domain.machine_shapes import MachineCard, MachineDiskSeen

_MIB = 1024**2
_DRIVE = re.compile(r"(scsi|virtio|sata|ide)\d+")
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_MAC = re.compile(r"(?:[0-9A-F]{2}:){5}[0-9A-F]{2}", re.IGNORECASE)
# The role writes this; see roles/vm_provision/module_utils/vm_provision_proxmox_shape.py.
_MARK = re.compile(r"^controlplane-(run|made|host-key|birth): (.+?)\s*$", re.MULTILINE)


def properties(text: str) -> dict[str, str]:
    """Return the parts of a property string; what stands without a key is under ''."""
    found = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        found[key if equals else ""] = value if equals else key
    return found


def size_bytes(text: str) -> int | None:
    """Return the bytes of 8G, 2252M or 1025; None where it is no size."""
    found = re.fullmatch(r"(\d+)([KMGT]?)", text)
    return int(found[1]) * _UNITS[found[2]] if found else None


def disks(config: Mapping[str, Any]) -> list[MachineDiskSeen]:
    """Return the disks, CDs left out. Raises ValueError for one whose size is not told."""
    first = next(iter(re.split("[;,]", str(config.get("boot", "")).removeprefix("order="))), "")
    found: list[MachineDiskSeen] = []
    for key in sorted(config):
        if not _DRIVE.fullmatch(key):
            continue
        told = properties(str(config[key]))
        if told.get("media") == "cdrom":
            continue
        source = told.get("", told.get("file", ""))
        size = size_bytes(told.get("size", ""))
        if size is None:
            raise ValueError(f"the size of {key} ({source}) is not told")
        storage = source.partition(":")[0] if ":" in source else None
        found.append({"serial": told.get("serial"), "size": size, "storage": storage, "source": source, "boot": key == first})
    return found


def cards(config: Mapping[str, Any]) -> list[MachineCard]:
    """Return the network cards."""
    found: list[MachineCard] = []
    for key in sorted(config):
        if re.fullmatch(r"net\d+", key):
            told = properties(str(config[key]))
            mac = next((value for value in told.values() if _MAC.fullmatch(value)), "")
            tag = told.get("tag", "")
            found.append({"network": None, "bridge": told.get("bridge"), "vlan": int(tag) if tag.isdigit() else None, "mac": mac.lower()})
    return found


def cores(config: Mapping[str, Any]) -> int:
    """Return the number of virtual cores of all sockets."""
    return int(config.get("cores", 1)) * int(config.get("sockets", 1))


def memory(config: Mapping[str, Any]) -> int:
    """Return the bytes of memory."""
    told = properties(str(config.get("memory", "512")))
    return int(told.get("current", told.get("", "512"))) * _MIB


def has_agent(config: Mapping[str, Any]) -> bool:
    """Say whether there is a channel for the guest agent."""
    told = properties(str(config.get("agent", "0")))
    return told.get("enabled", told.get("", "0")) == "1"


def mark(config: Mapping[str, Any]) -> dict[str, str]:
    """Return what the run that made the machine wrote into its description: run, made, host-key and birth; empty without such a mark."""
    return dict(_MARK.findall(str(config.get("description", ""))))
