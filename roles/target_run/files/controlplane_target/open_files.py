"""Prove that nothing uses a tree any more: no open file, working directory, root or mapping of any process, and no mount in any mount namespace."""

from __future__ import annotations

import os
import time
from pathlib import Path

from . import mounts


def users_of(tree: str, *, writers_only: bool = False) -> list[str]:
    """Return one sentence for each process or mount that uses something in `tree` (an existing, resolved path); read-only mounts can be left out."""
    table = mounts.read()
    device, inside = mounts.inside_filesystem(tree, table)
    found: list[str] = []
    seen_namespaces: set[str] = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            namespace = os.readlink(entry / "ns/mnt")
            used = _open_below(entry, tree)
            if used:
                found.append(f"{(entry / 'comm').read_text().strip()} (pid {entry.name}) has {used} open")
            if namespace not in seen_namespaces:
                seen_namespaces.add(namespace)
                found += [
                    f"{(entry / 'comm').read_text().strip()} (pid {entry.name}) sees {where}"
                    for where in _mounted_from(entry.name, tree, device, inside, writers_only)
                ]
        except (OSError, ValueError):
            # The process ended meanwhile, or is a kernel thread.
            continue
    return found


def _open_below(entry: Path, tree: str) -> str | None:
    for link in ("cwd", "root", "exe"):
        path = _link(entry / link)
        if path and mounts.is_at_or_below(path, tree):
            return f"{path} ({link})"
    for descriptor in os.listdir(entry / "fd"):
        path = _link(entry / "fd" / descriptor)
        if path and mounts.is_at_or_below(path, tree):
            return path
    with open(entry / "maps", errors="surrogateescape") as maps:
        for line in maps:
            place = line.find("/")
            if place > 0 and mounts.is_at_or_below(line[place:].rstrip("\n"), tree):
                return f"{line[place:].strip()} (mapped)"
    return None


def _link(path: Path) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _mounted_from(process: str, tree: str, device: str, inside: str, writers_only: bool) -> list[str]:
    """Return the mounts of that process's namespace that come from the tree: below it, a bind of part of it, or an overlay with its layers in it."""
    found = []
    for mount in mounts.read(process):
        if writers_only and mount.read_only:
            continue
        bind = mount.dev == device and mount.root != "/" and mounts.is_at_or_below(mount.root, inside)
        # The tree itself may be a mount: its own filesystem, or dockerd's bind of the root onto itself.
        own = mount.mount == tree
        layers = mount.fstype == "overlay" and f"={tree}/" in mount.options
        if (bind and not own) or layers or (mounts.is_at_or_below(mount.mount, tree) and not own):
            found.append(f"{mount.fstype} mount {mount.mount}")
    return found


def wait_until_unused(tree: str, limit_s: float = 10) -> list[str]:
    """Return who still uses the tree after the limit, an empty list as soon as nobody does."""
    end = time.monotonic() + limit_s
    while True:
        users = users_of(tree)
        if not users or time.monotonic() > end:
            return users
        time.sleep(0.2)
