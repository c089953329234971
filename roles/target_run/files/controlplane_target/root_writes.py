"""What containers did to a copy of Docker's roots since it was proven equal to its source.

Rules:
- Both trees are compared by names, kinds, sizes and times of modification: no clock is asked, so one that a power cut set back hides nothing.
- What the engine itself writes when it starts (databases, configurations of containers, names of layers) does not count.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

# Where containers write below each kind of root, as patterns of the trees that hold it.
_DATA = {
    "docker": ("volumes/*/_data", "overlay2/*/diff", "vfs/dir/*", "containers/*/*-json.log*", "containers/*/local-logs"),
    "containerd": ("io.containerd.snapshotter.v1.*/snapshots/*/fs",),
}
# What an engine could lose as a whole: a volume, a container, a layer.
_ITEMS = {
    "docker": ("volumes/*/_data", "containers/*", "overlay2/*", "vfs/dir/*"),
    "containerd": ("io.containerd.snapshotter.v1.*/snapshots/*",),
}


def written(trees: list[dict[str, Any]]) -> list[str]:
    """Return the first path of each tree of containers' data that differs between source and copy; nothing may run on either."""
    found = []
    for tree in trees:
        for name in sorted({name for side in ("from", "to") for name in _matches(tree[side], _DATA[tree["kind"]])}):
            path = _difference(os.path.join(tree["from"], name), os.path.join(tree["to"], name))
            found += [path] if path else []
    return found


def lost(trees: list[dict[str, Any]]) -> list[str]:
    """Return volumes, containers and layers, by their path below the root, that the source holds and the copy does not."""
    found = []
    for tree in trees:
        held = [name for name in _matches(tree["from"], _ITEMS[tree["kind"]]) if not os.path.lexists(os.path.join(tree["to"], name))]
        found += sorted(held)
    return found


def _matches(root: str, patterns: tuple[str, ...]) -> list[str]:
    return [str(path.relative_to(root)) for pattern in patterns for path in Path(root).glob(pattern)]


def _difference(source: str, copy: str) -> str | None:
    """Return the first path below the copy, or of the copy itself, that is not as in the source."""
    if _seen(source) != _seen(copy):
        return copy
    if not os.path.isdir(copy) or os.path.islink(copy):
        return None
    names = sorted(os.listdir(copy))
    if names != sorted(os.listdir(source)):
        return copy
    for name in names:
        found = _difference(os.path.join(source, name), os.path.join(copy, name))
        if found:
            return found
    return None


def _seen(path: str) -> tuple[int, int, int] | None:
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return None
    # A directory's size tells of its history, not of what it holds.
    return (info.st_mode, info.st_mtime_ns, 0 if stat.S_ISDIR(info.st_mode) else info.st_size)
