"""Read mountinfo: what is mounted where, and where a path lies within its filesystem."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple


class Mount(NamedTuple):
    """One line of mountinfo, octal escapes decoded; `dev` is "major:minor", `root` the path within the filesystem, `read_only` of this mount."""

    dev: str
    root: str
    mount: str
    fstype: str
    source: str
    options: str
    read_only: bool


def _decoded(field: str) -> str:
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), os.fsencode(field)))


def parse(text: str) -> list[Mount]:
    """Return the mounts of a mountinfo text, in its order."""
    found = []
    for line in text.splitlines():
        words = line.split(" ")
        dash = words.index("-", 6)
        found.append(
            Mount(
                words[2],
                _decoded(words[3]),
                _decoded(words[4]),
                words[dash + 1],
                _decoded(words[dash + 2]),
                _decoded(words[dash + 3]),
                "ro" in words[5].split(","),
            )
        )
    return found


def read(process: str = "self") -> list[Mount]:
    """Return the mounts that a process sees."""
    return parse(Path(f"/proc/{process}/mountinfo").read_text(errors="surrogateescape"))


def is_at_or_below(path: str, tree: str) -> bool:
    """Return whether `path` is `tree` or lies below it, by name."""
    return path == tree or path.startswith(tree.rstrip("/") + "/")


def mount_of(path: str, table: list[Mount]) -> Mount:
    """Return the mount on which an existing, resolved path lies (the last one mounted wins)."""
    best = None
    for mount in table:
        if is_at_or_below(path, mount.mount) and (best is None or len(mount.mount) >= len(best.mount)):
            best = mount
    if best is None:
        raise ValueError(f"{path} lies on no mount")
    return best


def nearest_existing(path: str) -> str:
    """Return the nearest ancestor of `path` (or itself) that exists."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def below(path: str, table: list[Mount]) -> list[Mount]:
    """Return the mounts strictly below `path`."""
    return [mount for mount in table if mount.mount != path and is_at_or_below(mount.mount, path)]


def inside_filesystem(path: str, table: list[Mount]) -> tuple[str, str]:
    """Return (device, path within that filesystem) of an existing, resolved path."""
    mount = mount_of(path, table)
    relative = os.path.relpath(path, mount.mount)
    return mount.dev, os.path.normpath(os.path.join(mount.root, relative))
