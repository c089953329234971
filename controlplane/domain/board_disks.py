"""Which disks a host has, which filesystems lie on each, and how full they are: the frame of the picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controlplane.domain.amounts import show_bytes
from controlplane.domain.board import BoardDisk, BoardMount
from controlplane.domain.checks.case import Case, fill_of
from controlplane.domain.disks import Disk, carries
from controlplane.domain.evidence import Unobserved
from controlplane.domain.evidence_shapes.disks import BlockDevice, Mount

# Read-only images: they are always full, and nothing is placed on them.
_IMAGES = frozenset({"squashfs", "iso9660", "erofs"})


def leaf_disks(case: Case) -> tuple[str, ...]:
    """Return the device numbers of the host's leaf disks, the boot disks first. Raises `Unobserved` where the host showed no devices."""
    block = case.reader.block
    used = frozenset[str]().union(*(_leaves(case, mount) for mount in case.reader.mounts))
    boot = boot_leaves(case)
    found = [number for number in block if number in used or _is_disk_of_its_own(case, number)]
    return tuple(sorted(found, key=lambda number: (number not in boot, block[number]["name"])))


def _is_disk_of_its_own(case: Case, number: str) -> bool:
    device = case.reader.block[number]
    # Without a node it is a device of the machine beneath; an optical drive without a mount is no place for data.
    if device["node"] is None or device["partition_of"] is not None or device["name"].startswith("sr") or not device["size"]:
        return False
    try:
        return case.lineage.leaves(number) == {number}
    except Unobserved:
        return False


def boot_leaves(case: Case) -> frozenset[str]:
    """Return the leaf disks of `/`, none where that can't be told."""
    try:
        return case.lineage.boot_disks()
    except Unobserved:
        return frozenset()


def declared_leaves(case: Case, disk: Disk) -> frozenset[str]:
    """Return the leaf disks of a declared disk, none where the host shows none that carries its identity."""
    block = case.reader.block
    try:
        signatures = case.reader.signatures if disk.identity_kind == "uuid" else {}
        numbers = [n for n, device in block.items() if carries(disk, device) or (n in signatures and signatures[n]["uuid"] == disk.identity)]
        return frozenset[str]().union(*(case.lineage.leaves(number) for number in numbers))
    except Unobserved:
        return frozenset()


def bare_disk(case: Case, number: str) -> BoardDisk:
    """Return one leaf disk with its filesystems, nothing laid on it yet."""
    device = case.reader.block[number]
    mounts = tuple(_mounts(case, number))
    return BoardDisk(
        name=device["name"],
        size=device["size"],
        serial=device["serial"],
        boot=number in boot_leaves(case),
        declared="; ".join(_declared(disk) for disk in case.desired.disks if number in declared_leaves(case, disk)) or None,
        content=None if mounts else _content(case, number, device),
        mounts=mounts,
    )


def missing_disk(disk: Disk) -> BoardDisk:
    """Return a declared disk that the host does not show."""
    return BoardDisk(name=disk.label, size=None, serial=disk.serial, boot=False, declared=_declared(disk), found=False)


def _declared(disk: Disk) -> str:
    if disk.min_size is None or disk.max_size is None:
        return f"{disk.label} for {disk.mount}"
    return f"{disk.label} for {disk.mount}, {show_bytes(disk.min_size)} to {show_bytes(disk.max_size)}"


def _leaves(case: Case, mount: Mount) -> frozenset[str]:
    try:
        return case.lineage.of_mount(mount["mount"]).disks
    except Unobserved:
        return frozenset()


def _mounts(case: Case, number: str) -> Iterator[BoardMount]:
    """Yield each filesystem of a disk once, at the mountpoint that shows most of it."""
    shown: dict[str, list[Mount]] = {}
    for mount in case.reader.mounts:
        if mount["fstype"] in _IMAGES or mount["fstype"] == "overlay" or number not in _leaves(case, mount):
            continue
        # The device number of btrfs is another one for each subvolume.
        shown.setdefault(mount["source"] if mount["dev"].startswith("0:") else mount["dev"], []).append(mount)
    for mounts in shown.values():
        best = min(mounts, key=lambda mount: (len(mount["root"]), len(mount["mount"]), mount["mount"]))
        yield _mount(case, best, number, also=len({mount["mount"] for mount in mounts}) - 1)


def _mount(case: Case, mount: Mount, leaf: str, *, also: int) -> BoardMount:
    at, limits = mount["mount"], case.desired.thresholds
    warn, fail = (limits.root_used_warn, limits.root_used_fail) if at == "/" else (limits.disk_used_warn, limits.disk_used_fail)
    frame = BoardMount(mount=at, fstype=mount["fstype"], through=_through(case.reader.block, mount["dev"], leaf), warn=warn, fail=fail, also=also)
    try:
        fill = fill_of(case.reader.usage, at)
    except Unobserved as doubt:
        return frame.model_copy(update={"doubt": str(doubt)})
    seen = case.reader.usage[at]
    return frame.model_copy(update={"size": seen["size"], "available": seen["available"], "used": fill.used, "inodes": fill.inodes})


def _through(block: Mapping[str, BlockDevice], device: str, leaf: str) -> tuple[str, ...]:
    """Return the names of the devices between a filesystem and its disk, the uppermost first."""
    names: list[str] = []
    ahead, known = [device], {leaf}
    while ahead:
        number = ahead.pop(0)
        entry = block.get(number)
        if entry is None or number in known:
            continue
        known.add(number)
        names.append(f"{entry['name']} (file {entry['loop_file']})" if entry["loop_file"] else entry["dm_name"] or entry["name"])
        ahead += [entry["partition_of"]] if entry["partition_of"] else entry["slaves"]
    return tuple(names)


def _content(case: Case, number: str, device: BlockDevice) -> str:
    """Say what is on a disk on which no filesystem is mounted."""
    try:
        mark = case.reader.signatures.get(number)
    except Unobserved as doubt:
        return f"nothing mounted; what it holds could not be observed: {doubt}"
    if mark is None:
        return "nothing mounted; what it holds could not be observed"
    parts = len(device["partitions"])
    if parts:
        return f"nothing mounted; {parts} partition{'s' if parts > 1 else ''}"
    held = mark["type"] or ", ".join(mark["wipefs"])
    return f"nothing mounted; holds {held}" if held else "blank: no signature, nothing mounted"
