"""The place that a path of a container shall have: whether it has it, where that lies on this host, and its own owner and mode."""

from __future__ import annotations

import os
import stat
from typing import Any
from urllib.parse import quote

from .docker_engine import Engine
from .path_request import Wanted
from .path_source import Source, directory_of


def is_there(source: Source, wanted: Wanted) -> bool:
    """Say whether a path that lands at `source` has its place."""
    if wanted.volume:
        return source.kind == "volume" and source.volume == wanted.volume
    return source.kind in ("bind", "volume") and source.path == wanted.place


def place_of(engine: Engine, wanted: Wanted) -> str | None:
    """Return the destination's path on this host, None where a volume is still to be made. Raises `RefusedFault` where that is no directory."""
    if wanted.place:
        return wanted.place
    status, answer = engine.call("GET", f"/volumes/{quote(wanted.volume, safe='')}")
    # What is copied into the folder of any other volume is hidden once Docker mounts it.
    return directory_of(answer, f"volume {wanted.volume}, where {wanted.data} is to go,") if status == 200 else None


def had(place: str) -> dict[str, str]:
    """Return {owner, mode} of a place itself, as `govern` takes them. Raises `OSError`."""
    seen = os.stat(place)
    return {"owner": f"{seen.st_uid}:{seen.st_gid}", "mode": f"{seen.st_mode & 0o7777:04o}"}


def ungoverned(wanted: Wanted) -> list[dict[str, Any]]:
    """Return what of the place's own owner and mode is not as declared. Raises `OSError`."""
    if not wanted.place:
        return []
    has, declared = had(wanted.place), {"owner": wanted.owner, "mode": wanted.mode.zfill(4) if wanted.mode else ""}
    return [
        {"kind": "attribute", "target": wanted.place, "before": f"{name} {has[name]}", "after": f"{name} {value}"}
        for name, value in declared.items()
        if value and value != has[name]
    ]


def govern(place: str, owner: str, mode: str) -> bool:
    """Give the place itself that owner and mode, where they are declared, and only that; return whether anything changed. Raises `OSError`."""
    handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        seen, changed = os.fstat(handle), False
        if owner and owner != f"{seen.st_uid}:{seen.st_gid}":
            uid, _, gid = owner.partition(":")
            os.fchown(handle, int(uid), int(gid))
            changed = True
        if mode and int(mode, 8) != stat.S_IMODE(os.fstat(handle).st_mode):
            os.fchmod(handle, int(mode, 8))
            changed = True
        if changed:
            os.fsync(handle)
        return changed
    finally:
        os.close(handle)
