"""Which containers reach a retired tree through what they mount, by Docker's account of them, whether they run or not.

Rules:
- Whoever mounts the tree, or a folder in which it lies, and nothing over it there, sees it and may use it: that is told, by name.
- Whoever mounts something over it never reaches it: what lies there is nobody's. But that mount stands on the tree, or on what holds it: renamed, the tree
  would take the mount along; without its folder the container might not start again.
- A volume is looked at by those who mount it, wherever that is. Of a directory those count that write, and those that mount what the data lay in, or a
  part of that. Who only reads what is above has a view of the host, such as a backup's: nothing of his lies there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import quote

from .docker_engine import Engine
from .faults import FailedFault
from .mounts import is_at_or_below


class Lain(NamedTuple):
    """What a tree was a part of: its path, the volume's name (empty if of none), and the folder of that volume or bind, None where nobody knows it."""

    path: str
    volume: str
    base: str | None


class Reach(NamedTuple):
    """One sentence for each container that reaches the tree, and whether one mounts what holds it with something over it."""

    told: list[str]
    is_covered: bool


class Docker:
    """What Docker says of containers and volumes, asked once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._places: dict[str, list[str]] = {}

    @cached_property
    def containers(self) -> list[dict[str, Any]]:
        """Every container, running or not, as Docker inspects it."""
        return self._engine.containers()

    def places(self, volume: str) -> list[str]:
        """Return where a volume lies on this host: its mountpoint, and the device that its options name; [] where there is no such volume."""
        if volume not in self._places:
            status, seen = self._engine.call("GET", f"/volumes/{quote(volume, safe='')}")
            if status not in (200, 404):
                raise FailedFault(f"Docker does not say where volume {volume} lies: {(seen or {}).get('message', status)}")
            device = str(((seen or {}).get("Options") or {}).get("device") or "") if status == 200 else ""
            found = [str(seen["Mountpoint"]) if status == 200 else "", device]
            self._places[volume] = [os.path.normpath(place) for place in found if place.startswith("/")]
        return self._places[volume]

    def reach(self, lain: Lain) -> Reach:
        """Return who reaches a tree. Raises `FailedFault`."""
        told, is_covered = list[str](), False
        for held in self.containers:
            for mount in held["Mounts"]:
                if lain.volume and mount.get("Name") == lain.volume and lain.path == lain.base:
                    told.append(f"volume {lain.volume} belongs to container {_name(held)}")
                    continue
                for source in self._sources(held, mount):
                    is_within, sentence = _look(held, mount, source, lain)
                    is_covered = is_covered or is_within
                    told += [sentence] if sentence else []
        return Reach(list(dict.fromkeys(told)), is_covered)

    def _sources(self, held: dict[str, Any], mount: dict[str, Any]) -> Iterator[str]:
        if mount.get("Type") not in ("bind", "volume"):
            return
        places = [str(mount.get("Source") or "")]
        if mount["Type"] == "volume" and mount.get("Name"):
            places += self.places(mount["Name"])
        folder = _subpath(held, mount)
        yield from dict.fromkeys(os.path.realpath(os.path.join(place, folder)) for place in places if place)


def base_of(path: str, places: list[str]) -> str | None:
    """Return in which of a volume's places a path lies, None where in none."""
    return next((place for place in places if is_at_or_below(path, place)), None)


def _look(held: dict[str, Any], mount: dict[str, Any], source: str, lain: Lain) -> tuple[bool, str]:
    """Return whether something is mounted over the tree in this mount of a container, and else how the container reaches it, if that counts."""
    is_its_own = lain.base is not None and is_at_or_below(source, lain.base)
    counts = is_its_own or (mount.get("RW") and not lain.volume)
    destination = os.path.normpath(mount["Destination"])
    if is_at_or_below(source, lain.path):
        return False, f"container {_name(held)} mounts {source} at {destination}: take that out of its compose file first" if counts else ""
    if not is_at_or_below(lain.path, source):
        return False, ""
    at = os.path.normpath(os.path.join(destination, os.path.relpath(lain.path, source)))
    others = [os.path.normpath(one["Destination"]) for one in held["Mounts"]]
    others += [os.path.normpath(one) for one in (held.get("HostConfig") or {}).get("Tmpfs") or {}]
    if any(one != destination and is_at_or_below(one, destination) and is_at_or_below(at, one) for one in others):
        return True, ""
    what = f"volume {mount['Name']}" if mount["Type"] == "volume" else mount["Source"]
    return False, (
        f"container {_name(held)} mounts {what}, in which {lain.path} lies, with nothing over it at {at}: give {at} a mount of its own there, or take "
        f"{what} out of its compose file"
        if counts
        else ""
    )


def _subpath(held: dict[str, Any], mount: dict[str, Any]) -> str:
    """Return the folder of a volume that is mounted alone: Docker tells its source as the whole."""
    for one in (held.get("HostConfig") or {}).get("Mounts") or []:
        if os.path.normpath(str(one.get("Target"))) == os.path.normpath(mount["Destination"]):
            return str((one.get("VolumeOptions") or {}).get("Subpath") or "").lstrip("/")
    return ""


def _name(held: dict[str, Any]) -> str:
    return str(held["Name"]).lstrip("/")
