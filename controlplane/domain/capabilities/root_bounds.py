"""What a move of the engine's roots needs at its destination, in bytes and in inodes, as bounds of its plan.

Rules:
- Bytes are Docker's own account with a margin: sizes that it could not tell are doubt.
- Inodes are bounded only where evidence tells how many the move takes: an old root that is a filesystem of its own. One that shares its filesystem
  with other things would have to be walked, which takes minutes on a full root; the used inodes of all would refuse moves that fit. There the role
  counts, before it changes anything, and refuses with both numbers.
"""

from __future__ import annotations

from controlplane.domain.capabilities.proposal import ComingMount, Outlook
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.lineage import Lineage
from controlplane.domain.plan import Bound

_MARGIN = 1.05
_RESERVE = 256 * 1000**2
# What of a disk is surely usable once a filesystem is on it; see storage.data_disk.
USABLE = 0.92
# As the role reckons: what is written between plan and copy.
_RESERVE_INODES = 1000
# mke2fs.conf(5) as Debian and Ubuntu ship it: bytes an inode, and below 512 MiB.
_EXT4_RATIO, _EXT4_SMALL_RATIO, _EXT4_SMALL = 16384, 4096, 512 * 1024**2


def mount_of(path: str, desired: DesiredHost) -> str | None:
    """Return the declared mount that a path lies on, None where none does."""
    mounts = [disk.mount for disk in desired.disks] + [nfs.mount for nfs in desired.nfs]
    return next((mount for mount in mounts if path == mount or path.startswith(f"{mount}/")), None)


def size_of(reader: Reader) -> int:
    """Return the bytes that a move copies, by Docker's own account (which leaves out logs and metadata, hence the margin)."""
    usage = reader.docker_usage
    written = [container["writable_bytes"] for container in reader.containers]
    if any(size is None or size < 0 for size in written):
        raise Unobserved("Docker did not tell the size of a container's writable layer")
    kept = [usage["images"], usage["build_cache"], usage["volumes"]]
    if min(kept) < 0:
        raise Unobserved("Docker told a negative size of what it keeps")
    return sum(kept) + sum(size for size in written if size is not None)


def space_bounds(desired: DesiredHost, moves: list[dict[str, str]], outlook: Outlook, size: int) -> tuple[Bound, ...]:
    """Return what each destination has to hold: of the whole disk where this plan makes its filesystem or mounts it, else of what is free on it.

    What is free on a filesystem that is not mounted yet nobody can tell: that its disk is large enough is all that a plan can know, and the role
    measures the rest before it changes anything.
    """
    needed = int(size * _MARGIN) + _RESERVE
    disks = {disk.mount for disk in desired.disks}
    mounts = sorted({mount for move in moves if (mount := mount_of(move["to"], desired)) is not None})
    bounds = []
    for mount in mounts:
        coming = outlook.mounts[mount]
        if coming.made_new or (mount in disks and not coming.live):
            bounds.append(
                Bound(host=desired.host, what=f"free bytes on {coming.device}", measure="disk_bytes", of=coming.device, at_least=int(needed / USABLE))
            )
        else:
            bounds.append(Bound(host=desired.host, what=f"free bytes on {mount}", measure="free_bytes", of=mount, at_least=needed))
    return tuple(bounds)


def room_bound(host: str, mount: str, coming: ComingMount, needed: int, name: str) -> Bound:
    """Return that `needed` bytes go onto a mount, for a container: of what is free on it where it is mounted now, else of its disk's size."""
    if coming.live and not coming.made_new:
        return Bound(host=host, what=f"free bytes on {mount}, for {name}", measure="free_bytes", of=mount, at_least=needed)
    return Bound(host=host, what=f"size of {coming.device}, for {name}", measure="disk_bytes", of=coming.device, at_least=int(needed / USABLE))


def inode_bounds(desired: DesiredHost, reader: Reader, moves: list[dict[str, str]], outlook: Outlook) -> tuple[Bound, ...]:
    """Return the inodes that each destination has to have free, of moves whose number is known; see the module's rules.

    A filesystem that this plan makes is bounded by the disk's size: ext4 has one inode in 16384 bytes, one in 4096 on disks below 512 MiB, and fewer
    only from 4 TiB on, where nobody has so many. XFS makes inodes as they are needed, and one that tells of none (btrfs) has no limit.
    """
    needed: dict[str, int] = {}
    for move in moves:
        mount, entries = mount_of(move["to"], desired), _entries(move, reader)
        if mount is not None and entries is not None:
            needed[mount] = needed.get(mount, _RESERVE_INODES) + int(entries * _MARGIN)
    filesystems = {disk.mount: disk.filesystem for disk in desired.disks}
    bounds = []
    for mount, count in sorted(needed.items()):
        coming, usage = outlook.mounts[mount], reader.usage.get(mount)
        if coming.made_new and filesystems.get(mount) == "ext4":
            # The smaller ratio where it would do: too few inodes are told here only where they surely are.
            ratio = _EXT4_SMALL_RATIO if count * _EXT4_SMALL_RATIO < _EXT4_SMALL else _EXT4_RATIO
            what = f"size of {coming.device}, for {count} inodes"
            bounds.append(Bound(host=desired.host, what=what, measure="disk_bytes", of=coming.device, at_least=count * ratio))
        elif not coming.made_new and usage is not None and usage["inodes"]:
            bounds.append(Bound(host=desired.host, what=f"free inodes on {mount}", measure="free_inodes", of=mount, at_least=count))
    return tuple(bounds)


def _entries(move: dict[str, str], reader: Reader) -> int | None:
    """Return how many inodes an old root takes, None where that is not known without walking it, or where a copy of it lies at the destination."""
    there = reader.paths.get(move["to"])
    if there is None or (there["exists"] and not there["empty"]):
        return None
    top = Lineage(reader).top_mount(move["from"])
    # A mount of a part of a filesystem (a bind) tells of the whole of it.
    if top is None or top["root"] != "/":
        return None
    usage = reader.usage.get(move["from"])
    return usage["inodes"] - usage["inodes_free"] if usage is not None and usage["inodes"] else None
