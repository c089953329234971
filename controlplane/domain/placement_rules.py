"""Rules over one host's disks, mounts and places, on plain data.

Rules:
- One disk has one identity and serves one mount; mounts don't overlap; the size of a disk that may be formatted is bounded.
- Places don't overlap. On a host whose tier keeps data on a disk they lie below a declared mount (on an nfs host: a
  read-write export); only docker.data_root may be the mount itself, and then nothing else is placed on it.
- A named volume lies in docker.data_root, so on such a host that has to be declared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from controlplane.domain.disks import IDENTITY_KINDS, KERNEL_NAME, is_kernel_name, one_spelling
from controlplane.domain.faults import Place
from controlplane.domain.layers import Merged, Set, amount, entries, inside, items
from controlplane.domain.paths import check_path, is_below

Said = tuple[Place, str]


def disk_faults(host: Any, at: Place) -> Iterator[Said]:
    """Yield what is wrong with a host's disks, each by itself and among each other."""
    seen: dict[tuple[str, str], int] = {}
    for number, disk in entries(inside(host, "disks")):
        if not isinstance(disk, dict):
            continue
        place = (*at, "disks", number)
        kinds = [kind for kind in IDENTITY_KINDS if disk.get(kind) is not None]
        if len(kinds) != 1:
            said = "has no identity" if not kinds else f"has {len(kinds)} identities ({', '.join(kinds)})"
            yield place, f"{said}: write exactly one of {', '.join(IDENTITY_KINDS)}"
        for key, value in disk.items():
            if key not in IDENTITY_KINDS and isinstance(value, str) and is_kernel_name(value):
                yield (*place, key), KERNEL_NAME.format(value)
        for kind in kinds:
            first = seen.setdefault((kind, one_spelling(kind, str(disk[kind]))), number)
            if first != number:
                yield (*place, kind), f"{disk[kind]!r} is disks.{first} already: one disk serves one mount"
        yield from _size_faults(disk, kinds, place)


def _size_faults(disk: dict[str, Any], kinds: Sequence[str], place: Place) -> Iterator[Said]:
    low, high = amount(disk.get("min_size")), amount(disk.get("max_size"))
    if list(kinds) != ["uuid"]:
        for key in ("min_size", "max_size"):
            if disk.get(key) is None:
                yield (*place, key), "is missing: a disk that may be formatted needs the sizes between which it is the right one"
    if isinstance(low, int) and isinstance(high, int) and low > high:
        yield (*place, "max_size"), f"{disk['max_size']} is less than min_size {disk['min_size']}: swap or correct them"


def mounts_of(host: Any, at: Place) -> list[Set]:
    """Return every mount that the host declares, disks first, with readable paths only."""
    found = [Set(inside(disk, "mount"), (*at, "disks", number, "mount")) for number, disk in entries(inside(host, "disks"))]
    found += [Set(inside(nfs, "mount"), (*at, "nfs", number, "mount")) for number, nfs in entries(inside(host, "nfs"))]
    return [mount for mount in found if _readable(mount.value)]


def mount_faults(mounts: list[Set]) -> Iterator[Said]:
    """Yield mounts that are the same or lie below one another."""
    yield from _overlaps(mounts, "mount on a directory of its own, beside it")


def placement_faults(host: Any, at: Place, merged: Merged, data: str | None) -> Iterator[Said]:
    """Yield what is wrong with the host's places; `data` is where its tier keeps data, None if that is not known."""
    mounts = mounts_of(host, at)
    exports = {number for number, nfs in entries(inside(host, "nfs")) if inside(nfs, "mode") == "ro"}
    writable = [mount for mount in mounts if mount.place[-3] == "disks" or mount.place[-2] not in exports]
    roots = [merged[key] for key in (("docker", "data_root"), ("docker", "containerd_root")) if key in merged]
    roots = [root for root in roots if _readable(root.value)]
    data_root = merged.get(("docker", "data_root"))
    places = _places(host, at)
    yield from _overlaps([*roots, *places], "give each a directory of its own")
    network = [mount.value for mount in mounts if mount.place[-3] == "nfs"]
    for root in roots:
        if any(root.value == mount or is_below(root.value, mount) for mount in network):
            yield root.place, f"{root.value} lies on an NFS export, where the engine can't keep its layers: name a local disk"
    if data not in ("disk", "nfs"):
        return
    kind = "a declared mount" if data == "disk" else "a mount of this host that is read-write"
    homes = [mount.value for mount in writable]
    checked = [*roots, *places] if data == "disk" else places
    for wanted in checked:
        if any(is_below(wanted.value, home) for home in homes) or (wanted is data_root and wanted.value in homes):
            continue
        why = "is the mount itself" if wanted.value in homes else "does not lie below " + kind
        yield wanted.place, f"{wanted.value} {why}: name a directory below {', '.join(homes) or 'one (none is declared)'}"
    if data == "disk" and data_root is None:
        for name, service in items(inside(host, "services")):
            if inside(service, "volume") is not None:
                place = (*at, "services", name, "volume")
                yield place, "needs docker.data_root below a declared mount, because that is where volumes lie: declare it, or use place"


def _places(host: Any, at: Place) -> list[Set]:
    found = [Set(inside(service, "place"), (*at, "services", name, "place")) for name, service in items(inside(host, "services"))]
    found += [Set(inside(surface, "place"), (*at, "write_surfaces", number, "place")) for number, surface in entries(inside(host, "write_surfaces"))]
    return [place for place in found if _readable(place.value)]


def _readable(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        check_path(value)
    except ValueError:
        return False
    return True


def _overlaps(found: list[Set], advice: str) -> Iterator[Said]:
    by_path: dict[str, Set] = {}
    for one in found:
        if one.value in by_path:
            other = _dotted(by_path[one.value].place)
            yield one.place, f"{one.value} is {other} already: {advice}"
        else:
            by_path[one.value] = one
    for one in found:
        parent = one.value
        while parent != "/":
            parent = parent.rsplit("/", 1)[0] or "/"
            if parent in by_path:
                yield one.place, f"{one.value} lies below {parent} of {_dotted(by_path[parent].place)}: {advice}"
                break


def _dotted(place: Place) -> str:
    return ".".join(str(part) for part in place)
