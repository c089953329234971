"""A declared disk that is there, that /etc/fstab names, and that systemd could not mount: what failed, and what brings it back.

Rules:
- What systemd said of its own check and of its own mount is the witness; nothing here guesses from a mount that is merely not there.
- A mount that failed speaks of the filesystem only where it was the one that the policy means, by the table as it is now.
- The way looks before it repairs, says that a copy comes first, and ends in the start that mounts.
"""

from __future__ import annotations

import shlex

from controlplane.domain.checks.missing_disk import way_to_mount
from controlplane.domain.desired import DesiredHost
from controlplane.domain.disks import Disk
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.evidence_shapes.disks import FstabEntry

# What the mount program was told no by, once or until systemd gave up; a mount that hung or was killed says nothing of the filesystem.
_REFUSED = ("exit-code", "start-limit-hit")


def check_unit(uuid: str) -> str:
    """Return the name of the unit by which systemd checks the filesystem of that UUID (hex digits and hyphens) before it mounts it."""
    escaped = uuid.replace("-", "\\x2d")
    return f"systemd-fsck@dev-disk-by\\x2duuid-{escaped}.service"


def damage(desired: DesiredHost, disk: Disk, uuid: str, node: str | None, reader: Reader) -> str | None:
    """Return what is wrong with an unmounted disk of that UUID and what to do, None where systemd failed at nothing. Raises `Unobserved`."""
    way = way_to_mount(desired, disk.mount, reader, uuid=uuid)
    if way is None:
        return None
    [entry] = [one for one in reader.fstab["entries"] if one["file"].rstrip("/") == disk.mount]
    cause = _failed_check(disk, entry, uuid, reader) or _failed_mount(disk, entry, reader)
    if cause is None:
        return None
    look = _look(disk, node or f"/dev/disk/by-uuid/{uuid}")
    return f"the filesystem of the disk with {disk.label} {cause}. {look}. Then, on the machine: {way}"


def _failed_check(disk: Disk, entry: FstabEntry, uuid: str, reader: Reader) -> str | None:
    # Without a pass number, and for xfs, systemd checks nothing.
    if not entry["passno"] or disk.filesystem == "xfs":
        return None
    name = check_unit(uuid)
    unit = reader.units.get(name)
    if unit is None:
        raise Unobserved(f"{name} was not looked at")
    return "is damaged: systemd's check of it failed" if unit["active_state"] == "failed" else None


def _failed_mount(disk: Disk, entry: FstabEntry, reader: Reader) -> str | None:
    if entry["vfstype"] not in (disk.filesystem, "auto"):
        return None
    for name, unit in reader.units.items():
        properties = unit["properties"]
        if properties.get("Where") != disk.mount or unit["needs_reload"]:
            continue
        if unit["active_state"] == "failed" and properties.get("Result") in _REFUSED:
            return f"is damaged, or its options are none that the kernel takes: mounting it failed (journalctl -b -u {shlex.quote(name)} tells why)"
    return None


def _look(disk: Disk, node: str) -> str:
    look = "xfs_repair -n" if disk.filesystem == "xfs" else "e2fsck -fn"
    return (
        f"See what is left of it: {look} {node}    (changes nothing; the same without n repairs). "
        "Copy the whole disk before you repair it: a repair can lose what a look still finds"
    )
