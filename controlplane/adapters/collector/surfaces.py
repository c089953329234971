"""How much the places hold that containers' temp and upload paths are bound to."""

from __future__ import annotations

import os
import time
from typing import Any

LIMIT_S = 6.0


def size_of(place: str, until: float, most: int | None = None) -> int | None:
    """Return the bytes that a tree takes on its own filesystem, hard links once; 0 where there is none, None where time is up first, or it has
    more entries than `most`.
    """
    try:
        device = os.lstat(place).st_dev
    except FileNotFoundError:
        return 0
    size, pending = 0, [place]
    seen: set[int] = set()
    while pending:
        try:
            entries = list(os.scandir(pending.pop()))
        except (FileNotFoundError, NotADirectoryError):
            continue  # removed while we walked
        for entry in entries:
            if time.monotonic() > until or (most is not None and len(seen) > most):
                return None
            try:
                info = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if info.st_dev != device or (info.st_nlink > 1 and not entry.is_dir(follow_symlinks=False) and info.st_ino in seen):
                continue
            seen.add(info.st_ino)
            size += info.st_blocks * 512
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
    return size


def surfaces(asked: dict[str, Any], _seen: dict[str, Any]) -> dict[str, dict[str, int | None]]:
    """Return the size of each place that has a limit, None for one that could not be measured in time."""
    until = time.monotonic() + LIMIT_S
    limited = [surface["place"] for surface in asked.get("write_surfaces", []) if surface.get("limited")]
    return {"sizes": {place: size_of(place, until) for place in limited}}
