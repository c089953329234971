"""A declared disk that is missing, or is there and not mounted: which other disks are attached, and what brings its mount back.

Rules:
- Named are whole disks that the policy does not name and that no mount is seen to rest on, but for one in the very place of a declared disk: a
  foreign disk is among them, whether it is mounted there or not.
- What can't be told of another disk is left out, or said to be unknown. That the declared one is missing stands without it.
- A mount that /etc/fstab names is started by systemd, and then Docker where its root lies on it; any other one takes a plan.
"""

from __future__ import annotations

import re
import shlex
from contextlib import suppress

from controlplane.domain.amounts import counted, show_bytes
from controlplane.domain.checks.boot_guard import guarded_mounts
from controlplane.domain.checks.landing import is_at_or_below
from controlplane.domain.desired import DesiredHost
from controlplane.domain.disks import Disk, carries
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.evidence_shapes.disks import BlockDevice
from controlplane.domain.lineage import Lineage

_MOST = 5
# Optical drives, and the parts of an eMMC that its firmware boots from: disks by their drivers, in nobody's place.
_NO_DATA_DISK = re.compile(r"sr\d+|mmcblk\d+(boot|gp)\d+")


def after_a_missing_disk(desired: DesiredHost, disk: Disk, reader: Reader) -> str:
    """Return the sentences that follow that a disk is missing: which others are attached, and what to do once it is there."""
    others = strangers(desired, reader)
    told = f". Attached and not named in the policy: {', '.join(others)}" if others else ""
    way = way_to_mount(desired, disk.mount, reader)
    return f"{told}. Once it is attached{f', on the machine: {way}' if way else f': controlplane plan --host {desired.host}'}"


def strangers(desired: DesiredHost, reader: Reader) -> tuple[str, ...]:
    """Return the attached disks that nobody here speaks for, each with its serial, its size and what it holds."""
    try:
        found = _unclaimed(desired, reader)
        shown = [_described(found[number], number, reader) for number in sorted(found, key=lambda one: found[one]["name"])]
    except Unobserved:
        return ()
    return (*shown[:_MOST], *([f"and {len(shown) - _MOST} more"] if len(shown) > _MOST else []))


def way_to_mount(desired: DesiredHost, mount: str, reader: Reader, *, uuid: str | None = None) -> str | None:
    """Return the commands that mount what /etc/fstab names for a mountpoint, None where it has not one entry for it, or one of another `uuid`."""
    try:
        specs = [entry["spec"] for entry in reader.fstab["entries"] if entry["file"].rstrip("/") == mount]
    except Unobserved:
        return None
    if len(specs) != 1 or (uuid is not None and specs != [f"UUID={uuid}"]):
        return None
    return " && ".join(f"systemctl start {unit}" for unit in (shlex.quote(mount), *_engine_on(desired, mount, reader)))


def _engine_on(desired: DesiredHost, mount: str, reader: Reader) -> tuple[str, ...]:
    """Return the engine's unit where one of its roots lies on the mount: without that its guard keeps it down."""
    if mount not in guarded_mounts(desired):
        return ()
    with suppress(Unobserved):
        unit = reader.units.get("docker.service")
        if unit is not None and unit["load_state"] == "not-found":
            return ()
    return ("docker.service",)


def _unclaimed(desired: DesiredHost, reader: Reader) -> dict[str, BlockDevice]:
    lineage = Lineage(reader, desired.disks)
    used: set[str] = set()
    for mount in reader.mounts:
        if any(is_at_or_below(mount["mount"], disk.mount) for disk in desired.disks):
            continue
        with suppress(Unobserved):
            used |= lineage.of_mount(mount["mount"]).disks
    in_a_lab = any(disk.identity_kind == "loop_file" for disk in desired.disks)
    return {
        number: device
        for number, device in reader.block.items()
        if number not in used and _may_hold_data(number, device, lineage, in_a_lab=in_a_lab) and not _is_declared(number, device, desired, reader)
    }


def _may_hold_data(number: str, device: BlockDevice, lineage: Lineage, *, in_a_lab: bool) -> bool:
    if (
        device["partition_of"] is not None
        or device["slaves"]
        or not device["size"]
        or device["node"] is None
        or _NO_DATA_DISK.fullmatch(device["name"])
    ):
        return False
    if device["loop_file"] is not None:
        # Elsewhere these are packages of snap and the like.
        return in_a_lab
    with suppress(Unobserved):
        return lineage.leaves(number) == {number}
    return False


def _is_declared(number: str, device: BlockDevice, desired: DesiredHost, reader: Reader) -> bool:
    if any(carries(disk, device) for disk in desired.disks):
        return True
    uuids = {disk.identity for disk in desired.disks if disk.identity_kind == "uuid"}
    return bool(uuids) and number in reader.signatures and reader.signatures[number]["uuid"] in uuids


def _described(device: BlockDevice, number: str, reader: Reader) -> str:
    names = ((kind, device[kind]) for kind in ("serial", "wwn", "loop_file"))
    name = next((f"{kind} {value}" for kind, value in names if value), "without a serial number")
    return f"{device['name']} ({name}, {show_bytes(device['size'])}, {_held(device, number, reader)})"


def _held(device: BlockDevice, number: str, reader: Reader) -> str:
    if device["partitions"]:
        return counted(len(device["partitions"]), "partition")
    try:
        seen = reader.signatures.get(number)
    except Unobserved:
        seen = None
    if seen is None:
        return "what it holds is not known"
    words = [seen["type"], seen["label"] and f"labelled {seen['label']}", seen["uuid"] and f"UUID {seen['uuid']}"]
    return " ".join(word for word in words if word) or ", ".join(seen["wipefs"] or seen["blkid"]) or "blank"
