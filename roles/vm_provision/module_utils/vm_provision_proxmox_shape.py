"""What a machine on Proxmox VE is made of, as values of its API. Pure: the same request gives the same values.

Rules:
- The description carries the mark of the run that made the machine; it comes with the one call that makes it, so no machine is ever without.
- Everything that is not secret and has to be the same in a second attempt follows from the run's key.
"""

from __future__ import annotations

import hashlib
import re
import uuid

_MARK = re.compile(r"^controlplane-(run|made|host-key|seed|birth): (.+?)\s*$", re.MULTILINE)
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_KIB = 1024
BOOT = "scsi0"
CD = "ide2"
EMPTY_CD = "none,media=cdrom"
TAG = "controlplane"


def seed_name(number, run):
    """Return the file name of the CD that cloud-init reads once."""
    return f"controlplane-{number}-{hashlib.sha256(run.encode()).hexdigest()[:12]}.iso"


def mac(run):
    """Return the address of the card, in the range that Proxmox VE itself gives out."""
    digest = hashlib.sha256(f"mac of {run}".encode()).digest()
    return "BC:24:11:" + ":".join(f"{byte:02X}" for byte in digest[:3])


def identity(run):
    """Return the machine's UUID, which cloud-init takes for its instance."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://controlplane.invalid/machine/{run}"))


def mark(run, *, host_key, seed, birth):
    """Return the description of a machine that is being made; `birth` says by digests what it is born with."""
    lines = {"run": run, "made": "no", "host-key": host_key, "seed": seed, "birth": birth}
    return "\n".join(f"controlplane-{name}: {value}" for name, value in lines.items())


def as_made(description):
    """Return the description of the same machine once it is made; what a person wrote there stays."""
    return re.sub(r"^controlplane-made: no\s*$", "controlplane-made: yes", str(description), flags=re.MULTILINE)


def read_mark(description):
    """Return what the mark says, empty without one."""
    return dict(_MARK.findall(str(description)))


def whole_kib(size):
    """Return a size in bytes as KiB, the unit in which volumes are made, rounded up."""
    return -(-size // _KIB)


def gib(size):
    """Return a size in bytes as the number of GiB that a new drive is asked for with, exact to the KiB."""
    whole, rest = divmod(whole_kib(size), _KIB**2)
    digits = f"{rest * 10**20 // _KIB**2:020d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def drives(want):
    """Return the drives of a new machine."""
    boot = want["boot"]
    made = {BOOT: f"{boot['storage']}:0,import-from={boot.get('image')},discard=on"}
    for count, disk in enumerate(want["disks"], 1):
        made[f"scsi{count}"] = f"{disk['storage']}:{gib(disk['size'])},serial={disk['serial']},discard=on"
    return made


def card(want):
    """Return the network card of a new machine."""
    vlan = want["network"].get("vlan")
    return f"virtio={mac(want['run'])},bridge={want['network'].get('bridge')}" + (f",tag={vlan}" if vlan else "")


def properties(text):
    """Return the parts of a property string; what stands without a key is under ''."""
    found = {}
    for part in str(text).split(","):
        key, equals, value = part.partition("=")
        found[key if equals else ""] = value if equals else key
    return found


def size_of(drive):
    """Return the bytes of a drive of a machine, None where they are not told."""
    found = re.fullmatch(r"(\d+)([KMGT]?)", properties(drive).get("size", ""))
    return int(found[1]) * _UNITS[found[2]] if found else None


def differences(want, config):
    """Return in what a machine's drives are not those that were asked for; the boot disk may still be as small as its image."""
    told = []
    if size_of(config.get(BOOT, "")) is None:
        told.append(f"{BOOT} is missing or its size is not told")
    serials = {}
    for key, drive in config.items():
        if re.fullmatch(r"(scsi|virtio|sata|ide)\d+", key):
            serials.setdefault(properties(drive).get("serial"), drive)
    for disk in want["disks"]:
        size = size_of(serials.get(disk["serial"], ""))
        if size is None:
            told.append(f"disk {disk['serial']} is missing")
        elif size < disk["size"]:
            told.append(f"disk {disk['serial']} has {size} bytes, {disk['size']} were asked for")
    return told
