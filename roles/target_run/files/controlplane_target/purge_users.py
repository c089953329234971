"""Who has something of a tree, or a file, open or mounted, by what it really is: what only has the same name in another mount namespace is something else.

Rules:
- What a process tells of itself are names of its own mount namespace. A container that has its data at the very path at which the host kept them before
  has nothing of the host's tree open.
- So each namespace's own mounts say under which names the tree is seen there, if under any: what another mount covers is not.
- A process that is shut into a part of another namespace shows only the mounts of that part: its names are taken for the host's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from . import mounts
from .mounts import Mount, is_at_or_below


class Users(NamedTuple):
    """One sentence for each process or mount that uses something in the tree, and whether in some namespace a mount stands on the tree's own top."""

    told: list[str]
    is_stood_on: bool


class _View(NamedTuple):
    """How one namespace sees the tree: by which names, what it has mounted of it or in it, and whether a mount stands on it."""

    names: list[str]
    mounted: list[str]
    is_stood_on: bool


def look(tree: str, *, writers_only: bool = False) -> Users:
    """Return who uses something in `tree`, an existing, resolved path; whoever sees it only by mounts that are read-only can be left out."""
    table = mounts.read()
    device, inside = mounts.inside_filesystem(tree, table)
    views = {os.readlink("/proc/self/ns/mnt"): _view(tree, table, device, inside, writers_only)}
    told, shown = list[str](), set[str]()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            namespace = os.readlink(entry / "ns/mnt")
            view = views.get(namespace) or _view(tree, mounts.read(entry.name), device, inside, writers_only)
            if namespace not in views:
                if os.readlink(entry / "root") == "/":
                    views[namespace] = view
                else:
                    view = view._replace(names=[tree])
            who = f"{(entry / 'comm').read_text().strip()} (pid {entry.name})"
            told += [f"{who} has {used} open" for used in _open_below(entry, view.names)]
            if namespace not in shown:
                told += [f"{who} sees {where}" for where in view.mounted]
                if namespace in views:
                    shown.add(namespace)
        except (OSError, ValueError):
            # The process ended meanwhile, or is a kernel thread.
            continue
    return Users(told, any(view.is_stood_on for view in views.values()))


def _view(tree: str, table: list[Mount], device: str, inside: str, writers_only: bool) -> _View:
    seen = [(mount, name) for mount in table if mount.dev == device for name in _name_by(mount, inside)]
    tops = [(mount, name, mounts.mount_of(name, table)) for mount, name in seen]
    counted = [mount for mount in table if not (writers_only and mount.read_only)]
    names = [name for mount, name, top in tops if top == mount and mount in counted]
    mounted = [f"{mount.fstype} mount {mount.mount}" for mount in counted if _is_of(mount, tree, device, inside) or _is_within(mount, names)]
    return _View(names, mounted, any(top != mount and top.mount == name for mount, name, top in tops))


def _name_by(mount: Mount, inside: str) -> Iterator[str]:
    """Yield the name that a mount of its filesystem gives the tree, or what that mount has of it."""
    if is_at_or_below(inside, mount.root):
        yield os.path.normpath(os.path.join(mount.mount, os.path.relpath(inside, mount.root)))
    elif is_at_or_below(mount.root, inside):
        yield mount.mount


def _is_of(mount: Mount, tree: str, device: str, inside: str) -> bool:
    """Say whether a mount comes from the tree: a bind of it or of a part of it, or an overlay with its layers in it."""
    # What has the tree's own path is the tree as the host has it, such as a look from outside at a root that was Docker's.
    is_bind = mount.dev == device and mount.root != "/" and is_at_or_below(mount.root, inside) and mount.mount != tree
    return is_bind or (mount.fstype == "overlay" and f"={tree}/" in mount.options)


def _is_within(mount: Mount, names: list[str]) -> bool:
    return any(mount.mount != name and is_at_or_below(mount.mount, name) for name in names)


def _open_below(entry: Path, names: list[str]) -> list[str]:
    """Return the first thing that a process has open by one of these names, if any. Raises `OSError`."""
    for path, how in _opened(entry) if names else ():
        if any(is_at_or_below(path, name) for name in names):
            return [f"{path}{how}"]
    return []


def _opened(entry: Path) -> Iterator[tuple[str, str]]:
    for link in ("cwd", "root", "exe"):
        yield _link(entry / link), f" ({link})"
    for descriptor in os.listdir(entry / "fd"):
        yield _link(entry / "fd" / descriptor), ""
    with open(entry / "maps", errors="surrogateescape") as maps:
        for line in maps:
            place = line.find("/")
            if place > 0:
                yield line[place:].rstrip("\n"), " (mapped)"


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
