"""Say what speaks against putting the planned filesystem on a disk, and what of it is lacking. Pure: looking is done elsewhere.

`want` is what the plan says: identity (kind, value), min_size, max_size, filesystem, uuid, mount, format, and field, the policy's place for it.
`seen` is what was found: candidates, twins, mountpoint and lost, as data_disk_look.seen returns them.
"""

from __future__ import annotations

import re
from typing import Any

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_mounted(seen: dict[str, Any]) -> bool:
    """Say whether the mounted root of this very device is at the mountpoint; a bind mount of one of its folders is something else."""
    top = seen["mountpoint"]["mounted"]
    return len(seen["candidates"]) == 1 and bool(top) and (top["dev"], top["root"]) == (seen["candidates"][0]["number"], "/")


def objections(want: dict[str, Any], seen: dict[str, Any]) -> list[str]:
    """Return all that speaks against it, each as sentences that name the disk and the field to change."""
    name, field, disks = _name(want), want["field"], seen["candidates"]
    if contradiction := _contradiction(want):
        return [f"The plan's values for {name} contradict themselves: {contradiction}. Make the plan again."]
    if not disks:
        return [f"No disk has {name}. Attach the disk, or name the one that you meant in {field}."]
    if len(disks) > 1:
        nodes = ", ".join(one["node"] for one in disks)
        return [f"{name} fits {len(disks)} disks: {nodes}. Give them identities of their own, or name the disk otherwise in {field}."]
    disk = disks[0]
    if disk["carries_root"]:
        # What else is wrong with it follows from that, and would send the reader to a remedy that destroys the machine.
        why = "is in the lineage of the boot disk: it carries /, or shares a disk with it"
        return [f"{name} ({disk['node']}) {why}. Name a disk of its own in {field}."]
    mounted = is_mounted(seen)
    return [*_against_the_disk(want, disk, mounted), *_against_making(want, disk, seen["lost"]), *_against_the_mountpoint(want, seen, mounted)]


def lacking(want: dict[str, Any], seen: dict[str, Any]) -> list[str]:
    """Return what is not as it is to be, for a disk that nothing speaks against; nothing is to be done where it is empty."""
    point, disk = seen["mountpoint"], seen["candidates"][0]
    planned = f"{want['filesystem']} {want['uuid']}"
    held = f"an unfinished {planned}" if disk["unfinished"] else ", ".join(disk["signatures"]) or "nothing"
    return [
        *([] if disk["ours"] else [f"{_name(want)} ({disk['node']}) does not hold {planned}, but {held}"]),
        *([] if is_mounted(seen) else [f"{want['mount']} is not the mountpoint of {planned}"]),
        *([f"the mount options {', '.join(point['missing_options'])} are not in effect"] if point["missing_options"] else []),
        *([] if point["immutable"] else [f"the bare folder {want['mount']} is not immutable"]),
    ]


def _name(want: dict[str, Any]) -> str:
    return f"{want['identity']['kind']} {want['identity']['value']}"


def _contradiction(want: dict[str, Any]) -> str:
    path = want["mount"]
    sound = 0 <= want["min_size"] <= want["max_size"] and _UUID.fullmatch(want["uuid"]) and re.fullmatch(r"(/[^/]+)+", path)
    return "" if sound else f"sizes {want['min_size']} to {want['max_size']}, UUID {want['uuid']}, mount {path}"


def _against_the_disk(want: dict[str, Any], disk: dict[str, Any], mounted: bool) -> list[str]:
    places = sorted({mount["path"] for mount in disk["mounts"]})
    against = [
        (
            not disk["node_ok"],
            f"is kernel device {disk['number']}, but that is no node of it",
            "Let udev make the node, or name another disk",
        ),
        (disk["size"] < want["min_size"], f"has {disk['size']} bytes, less than the {want['min_size']} of min_size", "Name another disk or size"),
        (disk["size"] > want["max_size"], f"has {disk['size']} bytes, more than the {want['max_size']} of max_size", "Name another disk or size"),
        (disk["read_only"], "is read-only", "Make it writable, or name another disk"),
        (disk["partitions"], f"has partitions: {', '.join(disk['partitions'])}", "Clear it yourself, or name another disk"),
        (disk["holders"], f"is held by {', '.join(disk['holders'])}", "Release it yourself, or name another disk"),
        (disk["swap"], f"is swap: {', '.join(disk['swap'])}", "Run swapoff and clear it yourself, or name another disk"),
        (
            places and not (disk["ours"] and mounted),
            f"is mounted at {', '.join(places)}, not at {want['mount']}",
            "Unmount it yourself, or name another disk or mount",
        ),
        (
            disk["held"],
            f"can't be opened alone: {disk['held']}",
            "Find who uses it (a container or another namespace may have mounted it), or name another disk",
        ),
        (
            disk["damage"],
            f"is damaged, and not mounted ({disk['damage']})",
            f"See what is left of it (e2fsck -fn {disk['node']}), copy all of it, then repair it (the same without n), or name another disk",
        ),
        (
            disk["signatures"] and not disk["ours"] and not disk["unfinished"],
            f"holds {', '.join(disk['signatures'])}",
            "Clear it yourself, or name the disk that you meant",
        ),
        (
            not disk["ours"] and not want["format"],
            f"does not hold {want['filesystem']} {want['uuid']}, and the approved plan does not name it for mkfs",
            "Make the plan again, or name another disk",
        ),
    ]
    return [f"{_name(want)} ({disk['node']}) {what}. {remedy} in {want['field']}." for wrong, what, remedy in against if wrong]


def _against_making(want: dict[str, Any], disk: dict[str, Any], lost: list[str]) -> list[str]:
    """Say that a disk that looks blank may have lost the filesystem that fstab names."""
    if not lost or disk["signatures"]:
        return []
    look = f"xfs_repair -n {disk['node']}" if want["filesystem"] == "xfs" else f"e2fsck -fn -b 32768 -B 4096 {disk['node']}"
    told = (
        f"{_name(want)} ({disk['node']}) looks blank, but /etc/fstab names {', '.join(lost)} for {want['mount']}, and no disk here is known to carry that: its "
        f"filesystem is damaged, or this is another disk. See what is left of it ({look}), remove the line from /etc/fstab where nothing of it is "
        f"wanted, or name another disk in {want['field']}."
    )
    return [told]


def _against_the_mountpoint(want: dict[str, Any], seen: dict[str, Any], mounted: bool) -> list[str]:
    point, path, name, field = seen["mountpoint"], want["mount"], _name(want), want["field"]
    found = []
    if seen["twins"]:
        remedy = f"Give the clone a UUID of its own, or name another disk in {field}."
        found.append(f"{want['uuid']}, planned for {name}, is the UUID of {', '.join(seen['twins'])} too: a clone. {remedy}")
    if point["mounted"] and not mounted:
        top = point["mounted"]
        what = f"{top['source']} ({top['fstype']}, UUID {top['uuid'] or 'none'})"
        found.append(f"{path} is taken by {what}, not by {name}. Unmount it yourself, or name another mount in {field}.")
    if point["real"] != path or (point["exists"] and not point["folder"]):
        found.append(
            f"{path}, the mount of {name}, is no folder or leads elsewhere ({point['real']}). Clear it yourself, or name another mount in {field}."
        )
    if point["entries"]:
        entries = ", ".join(point["entries"])
        remedy = f"Mounting would hide that; move it away yourself, or name another mount in {field}."
        found.append(f"The bare folder {path}, the mount of {name}, is not empty: {entries}. {remedy}")
    return found
