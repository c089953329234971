"""Who uses a retired tree, or would see it go, as far as evidence shows: what the purge's role refuses for it.

Rules:
- The role asks the same of the host itself, and of what no evidence has: who has a file open.
- Whoever mounts the tree, or a folder in which it lies, and nothing over it there, sees it: that is told by name. Whoever mounts something over it
  never reaches it; then the tree is emptied, and its folder stays for that mount to stand on.
- A volume is looked at by those who mount it, a folder of one that is mounted alone (`volume.subpath`) as that folder. Of a directory those count
  that write, and those that mount what the data lay in, or a part of that.
- Evidence that is older than these questions answers none of them: then the role alone does.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from controlplane.domain.checks.landing import is_at_or_below
from controlplane.domain.evidence import Reader
from controlplane.domain.evidence_shapes.docker import Container, ContainerMount
from controlplane.domain.evidence_shapes.runs import Retired

# What a run kept of a container's layer may lie on the root's own filesystem, beside what Docker has there.
_KEPT = "/.controlplane-retired/"


@dataclass(frozen=True)
class Reach:
    """Why a purge would leave a tree alone, and the containers that mount something over it in what holds it."""

    against: tuple[str, ...] = ()
    covered_by: tuple[str, ...] = ()


def reach(item: Retired, reader: Reader) -> Reach:
    """Return who reaches a retired tree. Raises `Unobserved`."""
    if "volume" not in item or "base" not in item:
        return Reach()
    path, volume = item["path"], item["volume"]
    places = _places(volume, reader) if volume else []
    base = next((place for place in places if is_at_or_below(path, place)), None)
    # Of a volume that lies elsewhere by now it is no part: a tree like any other.
    is_plain = not volume or bool(places and base is None)
    against = [*_needed(path, reader), *(_roots(path, reader) if is_plain else []), *_mounted(path, reader)]
    covered, home = list[str](), base or item["base"]
    for container in reader.containers:
        if base is not None and base == path and any(mount["name"] == volume for mount in container["mounts"]):
            against.append(f"volume {volume} belongs to container {container['name']}")
            continue
        for mount in container["mounts"]:
            for source in _sources(mount, reader):
                is_its_own = home is not None and is_at_or_below(source, home)
                is_covered, told = _look(container, mount, source, path)
                covered += [container["name"]] if is_covered else []
                against += [told] if told and (is_its_own or (mount["rw"] and base is None)) else []
    return Reach(tuple(dict.fromkeys(against)), tuple(dict.fromkeys(covered)))


def _places(volume: str, reader: Reader) -> list[str]:
    """Return where a volume lies on the host: its mountpoint, and the device that its options name; [] where there is no such volume."""
    held = next((one for one in reader.volumes if one["name"] == volume), None)
    found = [held["mountpoint"], held["options"].get("device", "")] if held is not None else []
    return [posixpath.normpath(place) for place in found if place.startswith("/")]


def _needed(path: str, reader: Reader) -> list[str]:
    return [f"run {run['run']} is open and needs it" for run in reader.target_state["runs"] if path in run.get("needs", [])]


def _roots(path: str, reader: Reader) -> list[str]:
    roots = [] if _KEPT in path else [reader.docker_info["root"], reader.docker_config["containerd_root"]]
    return [f"it is, holds or lies in the live root {root}" for root in roots if root and (is_at_or_below(root, path) or is_at_or_below(path, root))]


def _mounted(path: str, reader: Reader) -> list[str]:
    return ["it is a mountpoint or holds one"] if any(is_at_or_below(mount["mount"], path) for mount in reader.mounts) else []


def _sources(mount: ContainerMount, reader: Reader) -> Iterator[str]:
    if mount["type"] not in ("bind", "volume"):
        return
    for place in dict.fromkeys(filter(None, (mount["source"], mount["host_path"]))):
        seen = reader.paths.get(place)
        whole = seen["real"] if seen is not None else place
        yield posixpath.normpath(posixpath.join(whole, mount.get("subpath", "").lstrip("/")))


def _look(container: Container, mount: ContainerMount, source: str, path: str) -> tuple[bool, str]:
    """Return whether something is mounted over the tree in this mount of a container, and else how the container reaches it, if it does."""
    name, destination = container["name"], mount["destination"]
    if is_at_or_below(source, path):
        return False, f"container {name} mounts {source} at {destination}: take that out of its compose file first"
    if not is_at_or_below(path, source):
        return False, ""
    at = posixpath.normpath(posixpath.join(destination, posixpath.relpath(path, source)))
    others = [one["destination"] for one in container["mounts"]] + container["tmpfs"]
    if any(one != destination and is_at_or_below(one, destination) and is_at_or_below(at, one) for one in others):
        return True, ""
    what = f"volume {mount['name']}" if mount["type"] == "volume" else mount["source"]
    return False, (
        f"container {name} mounts {what}, in which it lies, with nothing over it at {at}: give {at} a mount of its own there, or take {what} out of "
        "its compose file"
    )
