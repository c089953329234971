"""What keeps a disk from being formatted or used: each guard says what it found and what to do; doubt is a refusal."""

from __future__ import annotations

from contextlib import suppress

from controlplane.domain.capabilities.proposal import ComingMount
from controlplane.domain.checks.damaged_disk import damage
from controlplane.domain.desired import DesiredHost
from controlplane.domain.disks import Disk
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.evidence_shapes.disks import Beneath, BlockDevice, Mount, PathPlace
from controlplane.domain.lineage import Lineage


class DiskRefused(Exception):  # noqa: N818 - an answer of the planner, not a fault of the program
    """The disk is not used as it is; the message says why and what to do."""


def mounted_disk(disk: Disk, number: str, live: Mount, reader: Reader) -> ComingMount:
    """Return the mount as it is. Raises for one that is not the whole of this disk, writable, and off the boot disk."""
    lineage = Lineage(reader, (disk,))
    if live["dev"] != number and number not in lineage.leaves(live["dev"]):
        raise DiskRefused(f"{live['source']} is mounted on {disk.mount} instead of {disk.label}: unmount it yourself once you know what it holds")
    if lineage.boot_disks() & lineage.leaves(live["dev"]):
        raise DiskRefused(f"{disk.mount} is mounted from {live['source']}, which is the boot disk, or a part of it: name a disk of its own")
    if live["root"] != "/":
        raise DiskRefused(f"{disk.mount} shows only the directory {live['root']} of {disk.label}: unmount it, then plan again")
    if "ro" in {*live["options"], *live["super_options"]}:
        raise DiskRefused(f"{disk.mount} is mounted read-only: look into the kernel's log for why, repair it, and mount it writable")
    seen = reader.signatures.get(live["dev"])
    if seen is None or seen["uuid"] is None:
        raise Unobserved(f"{disk.mount} is mounted from {live['source']}, whose UUID was not read")
    usage = reader.usage.get(disk.mount)
    free = usage["available"] if usage else 0
    return ComingMount(uuid=seen["uuid"], device=disk.label, bytes_free=free, made_new=False, live=True)


def bare_mountpoint(path: str, reader: Reader) -> tuple[PathPlace, Beneath | None]:
    """Return the bare mountpoint, absent or an empty directory. Raises for anything else, also where nobody looked into it."""
    place, bare = reader.paths.get(path), reader.beneath.get(path)
    if place is None:
        raise Unobserved(f"{path} was not looked at")
    if place["exists"] and place["real"] != path:
        raise DiskRefused(f"{path} leads to {place['real']} by a symbolic link: name that path, or remove the link")
    if place["exists"] and place["kind"] != "dir":
        raise DiskRefused(f"{path} is no directory: move it away first")
    if place["exists"] and bare is None:
        raise Unobserved(f"what {path} holds was not looked at")
    if bare is not None and bare["entries"]:
        raise DiskRefused(f"{path} is not mounted and holds {bare['entries']} entries ({', '.join(bare['sample'][:3])}): move them away first")
    return place, bare


def is_blank(disk: Disk, number: str, device: BlockDevice, reader: Reader, wanted: str) -> bool:
    """Return whether the device is blank; False means that it carries our filesystem already. Raises for anything else."""
    place = f"{disk.label} ({device['name']})"
    seen = reader.signatures.get(number)
    if seen is None:
        raise Unobserved(f"{place} was not probed for signatures")
    if device["node"] is None:
        raise Unobserved(f"{place} has no device node")
    _refuse_unless_free(disk, number, device, reader, place)
    twins = [other for other, mark in reader.signatures.items() if other != number and mark["uuid"] == wanted]
    if twins:
        names = ", ".join(sorted(reader.block[twin]["name"] if twin in reader.block else twin for twin in twins))
        raise DiskRefused(f"{place} is to have UUID {wanted}, which {names} carries already: a mount by UUID could take either")
    if seen["uuid"] == wanted and seen["type"] == disk.filesystem:
        return False
    blkid = seen["blkid"]
    # Blank means that both witnesses found nothing at all; PART_ENTRY_* speaks of the table that a partition stands in.
    others = [f"{key}={blkid[key]}" for key in blkid if key not in ("TYPE", "PTTYPE") and not key.startswith("PART_ENTRY_")]
    claims = (seen["type"], blkid.get("TYPE"), blkid.get("PTTYPE"), seen["label"], seen["uuid"])
    marks = sorted({*seen["wipefs"], *(claim for claim in claims if claim)}) or sorted(others)
    if marks:
        raise DiskRefused(
            f"{place} holds {', '.join(marks)}: it is never formatted over. Clear it yourself, or name it by uuid if that data is meant"
        )
    if disk.min_size is None or disk.max_size is None:
        raise DiskRefused(f"{place} is blank, and without min_size and max_size nothing says that it is the disk that is meant")
    return True


def refuse_lost_filesystem(disk: Disk, device: BlockDevice, reader: Reader) -> None:
    """Raise where fstab says that the mountpoint has a filesystem, and none here is known to be that: a blank look is then no blank disk."""
    here = {f"{name.upper()}={mark[name]}" for mark in reader.signatures.values() for name in ("uuid", "label") if mark[name]}
    specs = [entry["spec"].replace('"', "") for entry in reader.fstab["entries"] if entry["file"].rstrip("/") == disk.mount]
    lost = [spec for spec in specs if spec not in here]
    if not lost:
        return
    node = device["node"]
    look = f"xfs_repair -n {node}" if disk.filesystem == "xfs" else f"e2fsck -fn -b 32768 -B 4096 {node}"
    raise DiskRefused(
        f"{disk.label} ({device['name']}) looks blank, but /etc/fstab names {', '.join(lost)} for {disk.mount}, and no disk here is known to carry "
        f"that: its filesystem is damaged, or this is another disk. It is not formatted. See what is left of it: {look}    (changes nothing; the "
        "same without -n repairs). Where nothing of it is wanted, remove the line from /etc/fstab, then plan again"
    )


def refuse_damaged(desired: DesiredHost, disk: Disk, device: BlockDevice, reader: Reader, uuid: str) -> None:
    """Raise where systemd could not check or mount the filesystem of that UUID: a mount by hand would go past what refused it."""
    damaged = damage(desired, disk, uuid, device["node"], reader)
    if damaged:
        raise DiskRefused(f"nothing is mounted at {disk.mount}: {damaged}")


def _refuse_boot(disk: Disk, number: str, reader: Reader, place: str) -> None:
    lineage = Lineage(reader, (disk,))
    if lineage.boot_disks() & lineage.leaves(number):
        raise DiskRefused(f"{place} is the boot disk, or a part of it")


def _refuse_unless_free(disk: Disk, number: str, device: BlockDevice, reader: Reader, place: str) -> None:
    # It says more than that the disk is mounted or has partitions; in doubt what is known comes first.
    with suppress(Unobserved):
        _refuse_boot(disk, number, reader, place)
    if reader.mounts and any(mount["dev"] == number for mount in reader.mounts):
        raise DiskRefused(f"{place} is mounted elsewhere: unmount it yourself once you know what it holds")
    if device["holders"] or device["partitions"]:
        users = [reader.block[one]["name"] if one in reader.block else one for one in device["holders"] + device["partitions"]]
        raise DiskRefused(f"{place} is in use by {', '.join(users)}: it is no blank disk")
    _refuse_boot(disk, number, reader, place)
    if device["read_only"]:
        raise DiskRefused(f"{place} is read-only")
    if disk.min_size is not None and device["size"] < disk.min_size:
        raise DiskRefused(f"{place} has {device['size']} bytes, min_size is {disk.min_size}")
    if disk.max_size is not None and device["size"] > disk.max_size:
        raise DiskRefused(f"{place} has {device['size']} bytes, max_size is {disk.max_size}")
