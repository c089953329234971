"""Which disks a path really lies on: mount → device number → slaves, partitions and loop files → leaf disks.

Rules:
- What can't be followed to its leaves raises `Unobserved`; there is no default disk.
- A leaf is a disk by its driver's name. Of ZFS volumes, DRBD, bcache and ublk this host's own disks may lie beneath, and zram is memory: without
  slaves they can't be followed. The same goes for network block devices (what serves nbd may be a file of this host) and for drivers that aren't
  known here, except where the policy names that very device by serial, wwn, by_id or by_path: then a person vouches for it as a disk of its own.
  A filesystem's UUID vouches for nothing, since it is the same wherever the filesystem lies.
- The mount decides, never its source string; the source is used only for btrfs, whose device number is anonymous, and then the
  filesystem's signature names every member.
- Memory (tmpfs) and remote filesystems (NFS) lie on no disk of this host: a state of their own, neither boot disk nor durable local disk.
- A loop device is followed into its backing file, or the device behind it, where the host showed that. Where the file is out of the host's sight
  (a lab machine's disk), the loop device is the leaf. A backing file that is deleted, or lies in memory or on another machine, can't be followed.

Leaves are device numbers ("major:minor") of entries of `BlockDevices`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from controlplane.domain.disks import Disk, carries
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.evidence_shapes.disks import BlockDevice, Mount, PathPlace

MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs"})
REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "virtiofs", "afs", "glusterfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph"})
# SCSI and SATA, IDE, virtio, Xen, DASD; NVMe; SD cards and eMMC; older RAID controllers; optical drives.
_DISK = re.compile(r"(sd|hd|vd|xvd|dasd)[a-z]+|nvme\d+n\d+|mmcblk\d+((boot|gp)\d+)?|(cciss|ida)!c\d+d\d+|sr\d+")
_STEM = re.compile(r"[a-z]*")
_STACKED = "is a stacked device and the host showed nothing under it"
_MEMORY_DISK = "keeps its content in memory"
# Never a leaf, whoever vouches for it: what lies beneath is this host's own.
_NO_LEAF = {
    "dm": _STACKED,
    "md": _STACKED,
    "drbd": _STACKED,
    "bcache": _STACKED,
    "loop": "is a loop device that showed no backing file",
    "zd": "is a ZFS volume, whose disks can't be told",
    "ublkb": "is served by a program of this host, whose disks can't be told",
    "zram": _MEMORY_DISK,
    "ram": _MEMORY_DISK,
}
_OVER_NETWORK = frozenset({"nbd", "rbd", "etherd"})
_DELETED = " (deleted)"
_LAYERS = ("upperdir", "lowerdir", "lowerdir+", "datadir+")


class Place(NamedTuple):
    """Where something lies: on `disks` (leaves, never empty for kind disk), in memory, or on another machine."""

    kind: Literal["disk", "memory", "remote"]
    disks: frozenset[str]
    mount: str
    fstype: str
    source: str


class Lineage:
    """One host's answers, each worked out once. Raises `Unobserved` for what can't be resolved."""

    def __init__(self, reader: Reader, declared: Sequence[Disk] = ()) -> None:
        self._reader = reader
        self._declared = declared
        self._tops: dict[str, Mount] | None = None
        self._leaves: dict[str, frozenset[str]] = {}
        self._places: dict[str, Place] = {}
        self._at: dict[str, Place] = {}
        self._boot: frozenset[str] | None = None

    def top_mount(self, mountpoint: str) -> Mount | None:
        """Return what is mounted on top at exactly this mountpoint, or None."""
        if self._tops is None:
            self._tops = _tops(self._reader.mounts)
        return self._tops.get(mountpoint)

    def boot_disks(self) -> frozenset[str]:
        """Return the leaf disks of `/`."""
        if self._boot is None:
            place = self.of_mount("/")
            if place.kind != "disk":
                raise Unobserved(f"/ is {place.fstype}, which lies on no disk of this host")
            self._boot = place.disks
        return self._boot

    def of_mount(self, mountpoint: str) -> Place:
        """Return where the filesystem mounted at exactly this mountpoint lies."""
        mount = self.top_mount(mountpoint)
        if mount is None:
            raise Unobserved(f"nothing is mounted at {mountpoint}")
        return self._of(mount, frozenset())

    def of_path(self, path: str) -> Place:
        """Return where a host path lies; of a path that doesn't exist yet, its nearest existing ancestor."""
        return self._of_path(path, frozenset())

    def lies_on_boot(self, path: str) -> bool:
        """Say whether any leaf disk of the path is one of the boot disks."""
        return bool(self.of_path(path).disks & self.boot_disks())

    def names(self, disks: frozenset[str]) -> list[str]:
        """Return kernel names of leaves, for messages."""
        return sorted(self._reader.block[disk]["name"] for disk in disks)

    def leaves(self, device: str) -> frozenset[str]:
        """Return the leaf disks under one device number."""
        return self._leaves_of(device, frozenset())

    def stack(self, device: str) -> frozenset[str]:
        """Return a device and every device that it stands on, partitions' disks included, not through loop files."""
        found: set[str] = set()
        ahead = [device]
        while ahead:
            number = ahead.pop()
            if number in found:
                continue
            found.add(number)
            entry = self._reader.block.get(number)
            if entry is None:
                raise Unobserved(f"device {number} is not among the host's block devices")
            ahead += [*entry["slaves"], *([entry["partition_of"]] if entry["partition_of"] else [])]
        return frozenset(found)

    def _of_path(self, path: str, trail: frozenset[str]) -> Place:
        known = self._places.get(path)
        if known is None:
            place = self._reader.paths.get(path)
            if place is None:
                raise Unobserved(f"{path} was not looked at")
            mount = self._mount_of(path, place)
            known = self._at.get(mount["mount"])
            if known is None:
                known = self._at[mount["mount"]] = self._of(mount, trail)
            self._places[path] = known
        return known

    def _mount_of(self, path: str, place: PathPlace) -> Mount:
        if not place["dev"]:
            raise Unobserved(f"{path}: the host named no device for it")
        mount = self.top_mount(place["mount"])
        if mount is None:
            raise Unobserved(f"{path}: its mountpoint {place['mount'] or '(empty)'} is not in the mount table")
        if not _anonymous(mount["dev"]) and mount["dev"] != place["dev"]:
            raise Unobserved(f"{path} is on device {place['dev']}, but {mount['mount']} is device {mount['dev']}")
        return mount

    def _of(self, mount: Mount, trail: frozenset[str]) -> Place:
        kind, source, at = mount["fstype"], mount["source"], mount["mount"]
        if not mount["dev"]:
            raise Unobserved(f"{at}: the host named no device for it")
        if kind in MEMORY:
            return Place("memory", frozenset(), at, kind, source)
        if kind in REMOTE:
            return Place("remote", frozenset(), at, kind, source)
        if not _anonymous(mount["dev"]):
            return Place("disk", self._leaves_of(mount["dev"], trail), at, kind, source)
        if kind == "btrfs":
            return Place("disk", self._btrfs(mount, trail), at, kind, source)
        if kind == "overlay":
            return Place("disk", self._overlay(mount, trail), at, kind, source)
        raise Unobserved(f"{at} is {kind}, whose disks can't be told")

    def _leaves_of(self, device: str, trail: frozenset[str]) -> frozenset[str]:
        known = self._leaves.get(device)
        if known is not None:
            return known
        if device in trail:
            raise Unobserved(f"device {device} stands on itself")
        entry = self._reader.block.get(device)
        if entry is None:
            raise Unobserved(f"device {device} is not among the host's block devices")
        below = tuple(self._below(device, entry, trail | {device}))
        leaves = frozenset().union(*below) if below else frozenset({device})
        self._leaves[device] = leaves
        return leaves

    def _below(self, device: str, entry: BlockDevice, trail: frozenset[str]) -> Iterator[frozenset[str]]:
        if entry["partition_of"] is not None:
            yield self._leaves_of(entry["partition_of"], trail)
            return
        for slave in entry["slaves"]:
            yield self._leaves_of(slave, trail)
        if entry["loop_file"] is not None:
            yield self._loop(device, entry["loop_file"], trail)
        elif not entry["slaves"]:
            self._demand_disk(device, entry)

    def _demand_disk(self, device: str, entry: BlockDevice) -> None:
        name = entry["name"]
        stem = _STEM.match(name)
        kind = "dm" if entry["dm_name"] is not None else stem[0] if stem else ""
        why = _NO_LEAF.get(kind)
        if why is None:
            if _DISK.fullmatch(name) or any(carries(disk, entry) for disk in self._declared):
                return
            why = (
                "is a network block device, and nothing shows what serves it" if kind in _OVER_NETWORK else "is of no kind that is known to be a disk"
            )
            why += ": if it is a disk of its own, name it in the policy by serial, wwn, by_id or by_path"
        raise Unobserved(f"{name} ({device}) {why}")

    def _loop(self, device: str, file: str, trail: frozenset[str]) -> frozenset[str]:
        if not file or file.endswith(_DELETED):
            raise Unobserved(f"loop device {device} has a backing file that can't be followed ({file or 'empty name'})")
        below = self._device_at(file)
        if below is not None:
            return self._leaves_of(below, trail)
        place = self._reader.paths.get(file)
        if place is None:
            raise Unobserved(f"{file}, the backing file of loop device {device}, was not looked at")
        if not place["exists"]:
            return frozenset({device})
        behind = self._of_path(file, trail)
        if behind.kind != "disk":
            raise Unobserved(f"{file}, the backing file of loop device {device}, lies on {behind.fstype}, which is on no disk of this host")
        return behind.disks

    def _device_at(self, file: str) -> str | None:
        """Return the number of the block device of this node or link."""
        return next((number for number, entry in self._reader.block.items() if file and file in {entry["node"], *entry["links"]}), None)

    def _btrfs(self, mount: Mount, trail: frozenset[str]) -> frozenset[str]:
        signatures = self._reader.signatures
        device = self._device_at(mount["source"])
        if device is None:
            raise Unobserved(f"{mount['mount']}: btrfs source {mount['source'] or '(empty)'} is no known block device")
        mine = signatures.get(device)
        if mine is None or not mine["uuid"]:
            raise Unobserved(f"{mount['mount']}: the signature of {mount['source']} is not known, so neither are the filesystem's other devices")
        members = {number for number, seen in signatures.items() if seen["uuid"] == mine["uuid"] and seen["type"] == "btrfs"} | {device}
        return frozenset().union(*(self._leaves_of(member, trail) for member in members))

    def _overlay(self, mount: Mount, trail: frozenset[str]) -> frozenset[str]:
        marker = f"overlay at {mount['mount']}"
        if marker in trail:
            raise Unobserved(f"{marker} stands on itself")
        # Since Linux 6.7 each lower directory may be an option of its own.
        named = [option.partition("=")[::2] for option in mount["super_options"]]
        layers = [layer for key, value in named if key in _LAYERS for layer in value.split(":") if layer]
        if not layers or any(not layer.startswith("/") or "\\" in layer for layer in layers):
            raise Unobserved(f"{mount['mount']} is an overlay that doesn't name its directories")
        gone = [layer for layer in layers if layer in self._reader.paths and not self._reader.paths[layer]["exists"]]
        if gone:
            raise Unobserved(f"{mount['mount']} is an overlay over {gone[0]}, which is not there by that name")
        places = [self._of_path(layer, trail | {marker}) for layer in layers]
        if any(place.kind != "disk" for place in places):
            raise Unobserved(f"{mount['mount']} is an overlay with a layer that lies on no disk")
        return frozenset().union(*(place.disks for place in places))


def boot_disks(reader: Reader) -> frozenset[str]:
    """Return the leaf disks of `/`. Raises `Unobserved`."""
    return Lineage(reader).boot_disks()


def lies_on_boot(reader: Reader, path: str) -> bool:
    """Say whether a host path shares a leaf disk with `/`. Raises `Unobserved` when that can't be told."""
    return Lineage(reader).lies_on_boot(path)


def _anonymous(device: str) -> bool:
    return device.startswith("0:")


def _tops(mounts: list[Mount]) -> dict[str, Mount]:
    """Return the uppermost mount of each mountpoint: a stacked mount's parent is the one that it covers."""
    tops = {mount["mount"]: mount for mount in mounts}
    if len(tops) == len(mounts):
        return tops
    at: dict[str, list[Mount]] = {}
    for mount in mounts:
        at.setdefault(mount["mount"], []).append(mount)
    for mountpoint, stack in at.items():
        if len(stack) > 1:
            covered = {mount["parent"] for mount in stack if mount["parent"] != mount["id"]}
            tops[mountpoint] = next((mount for mount in reversed(stack) if mount["id"] not in covered), stack[-1])
    return tops
