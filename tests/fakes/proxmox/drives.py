"""Drives: what a scsi, virtio, sata or ide value asks for, and the volumes that it makes.

From qemu-server: `STORAGE:GiB` allocates, `STORAGE:0,import-from=VOLUME` copies and takes the source's size, `STORAGE:cloudinit` makes a
small CD; names are vm-ID-disk-N (below ID/ with an extension on file storages) and vm-ID-cloudinit; when one drive of a call fails, the
volumes of the others are freed again. What a full storage says: LVM "not enough free space", ZFS "out of space"; thin storages say
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial

from tests.fakes.proxmox.property_strings import print_properties, size_bytes, size_text
from tests.fakes.proxmox.replies import RefusedCallError, TaskError, died, refused
from tests.fakes.proxmox.schema import Properties, load_schema, of_key
from tests.fakes.proxmox.validation import parse_properties
from tests.fakes.proxmox.world import GIB, Storage, Vm, Volume, World

_NEW = re.compile(r"([^/:\s]+):(\d+(?:\.\d+)?)")
_CLOUDINIT_SIZE = 4 * 1024**2


def is_drive(key: str) -> bool:
    """Say whether a key of the configuration names a drive."""
    return re.fullmatch(r"(ide|sata|scsi|virtio)\d+", key) is not None


def drive_properties(key: str) -> Properties:
    """Return the keys that a drive's value may have when it is asked for."""
    told = of_key(load_schema().method("POST", "/nodes/{node}/qemu").parameters, key)
    if told is None:
        raise KeyError(key)
    found: Properties = told["format"]
    return found


def check_drive(world: World, key: str, value: str) -> None:
    """Refuse a drive that could not be made, as the server does before it starts a task."""
    drive = parse_properties(drive_properties(key), value)
    source, new = drive.get("import-from"), _NEW.fullmatch(drive["file"])
    if source is not None and (new is None or Fraction(new[2]) != 0):
        raise refused({key: "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>"})
    if new is not None:
        if "images" not in world.storage(new[1]).content:
            raise refused({"storage": f"storage '{new[1]}' does not support vm images"})
    elif drive["file"].startswith("/"):
        raise died("Only root can pass arbitrary filesystem paths.")
    elif ":" in drive["file"] and not drive["file"].endswith(":cloudinit"):
        content = find_volume(world, drive["file"]).content
        if content not in ("images", "iso"):
            raise refused({key: "content type needs to be 'images' or 'iso'"})
        if content == "iso" and drive.get("media") != "cdrom":
            raise refused({key: "explicit 'media=cdrom' is required for iso images"})
    if source is not None:
        if source.startswith("/"):
            raise died("Only root can pass arbitrary filesystem paths.")
        volume = find_volume(world, source)
        if volume.content not in ("images", "import"):
            raise refused({key: f"{source} has wrong type '{volume.content}' - needs to be 'images' or 'import'"})


def find_volume(world: World, volid: str) -> Volume:
    """Return a volume by its full name."""
    name = volid.partition(":")[0]
    found = world.storage(name).volumes.get(volid)
    if found is None:
        raise died(f"volume {volid} does not exist")
    return found


def make_drives(world: World, vm: Vm, asked: Mapping[str, str]) -> dict[str, str]:
    """Make the volumes that drives ask for and return their values as configured; on a failure none of them stays."""
    made: list[tuple[Storage, str]] = []
    told: dict[str, str] = {}
    try:
        for key in sorted(asked):
            told[key] = _make_drive(world, key, asked[key], {**vm.config, **told}, partial(_allocate, made, vm.vmid))
    except (TaskError, RefusedCallError):
        for storage, volid in made:
            del storage.volumes[volid]
        raise
    return told


def _make_drive(world: World, key: str, value: str, others: Mapping[str, str], take: Callable[..., str]) -> str:
    properties = drive_properties(key)
    drive = parse_properties(properties, value)
    new = _NEW.fullmatch(drive["file"])
    if drive["file"] in ("none", "cdrom"):
        drive.pop("size", None)
    elif drive["file"].endswith(":cloudinit"):
        there = [one for one, seen in others.items() if "cloudinit" in seen and is_drive(one)]
        if there:
            raise TaskError(f"{key} - cloud-init drive is already attached at '{there[0]}'")
        drive["file"] = take(world.storage(drive["file"].partition(":")[0]), _CLOUDINIT_SIZE, seed=True)
        drive["media"] = "cdrom"
    elif new is not None:
        source = drive.pop("import-from", None)
        size = find_volume(world, source).size if source else int(Fraction(new[2]) * GIB)
        drive["file"] = take(world.storage(new[1]), size, wanted=drive.pop("format", None))
        drive["size"] = size_text(size)
    else:
        drive["size"] = size_text(find_volume(world, drive["file"]).size)
    return print_properties(properties, drive)


def _allocate(made: list[tuple[Storage, str]], vmid: int, storage: Storage, size: int, *, seed: bool = False, wanted: str | None = None) -> str:
    volid = allocate(storage, vmid, size, name=f"vm-{vmid}-cloudinit" if seed else None, wanted=wanted)
    made.append((storage, volid))
    return volid


def allocate(storage: Storage, vmid: int, size: int, *, name: str | None = None, wanted: str | None = None, base: str = "") -> str:
    """Make a volume and return its full name; a thick storage without that many free bytes dies of it."""
    file_based = storage.kind == "dir"
    fmt = (wanted or "qcow2") if file_based else "raw"
    place, end = (f"{vmid}/", f".{fmt}") if file_based else ("", "")
    taken = {_leaf(volid) for volid in storage.volumes}
    names = (f"{storage.name}:{base}{place}{name or f'vm-{vmid}-disk-{number}'}{end}" for number in range(100))
    volid = next(one for one in names if _leaf(one) not in taken)
    if storage.thick and size > storage.free:
        zfs = f"zfs error: cannot create '{storage.name}/{_leaf(volid)}': out of space"
        raise TaskError(zfs if storage.kind == "zfspool" else f"not enough free space ({storage.free // 1024} < {size // 1024})")
    storage.volumes[volid] = Volume(size, owner=vmid, format=fmt)
    return volid


def _leaf(volid: str) -> str:
    return re.split("[:/]", volid)[-1]


def resize_drive(world: World, vm: Vm, key: str, asked: str) -> None:
    """Make a drive's volume larger; a shrink dies, the same size is nothing."""
    if key not in vm.config:
        raise TaskError(f"disk '{key}' does not exist")
    properties = drive_properties(key)
    drive = parse_properties(properties, vm.config[key])
    volume, storage = find_volume(world, drive["file"]), world.storage(drive["file"].partition(":")[0])
    size = size_bytes(asked.removeprefix("+")) + (volume.size if asked.startswith("+") else 0)
    if drive.get("media") == "cdrom":
        raise TaskError("you can't resize a cdrom")
    if size < volume.size:
        raise TaskError("shrinking disks is not supported")
    if storage.thick and size - volume.size > storage.free:
        raise TaskError(f"not enough free space ({storage.free // 1024} < {(size - volume.size) // 1024})")
    volume.size = size
    vm.config[key] = print_properties(properties, {**drive, "size": size_text(size)})
