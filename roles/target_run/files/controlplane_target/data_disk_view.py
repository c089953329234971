"""Look at a mountpoint: what is mounted there, and what the bare folder beneath it is like."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from . import data_disk_probe as probe
from . import mountpoint
from .beneath import beneath

# Options of the mount program and of systemd, which the kernel never shows.
_NOT_THE_KERNELS = {"defaults", "auto", "noauto", "nofail", "_netdev", "user", "nouser", "users", "owner", "group"}
# The kernel shows these only as their opposite.
_SHOWN_BY_ABSENCE = {
    "suid": "nosuid",
    "dev": "nodev",
    "exec": "noexec",
    "async": "sync",
    "atime": "noatime",
    "diratime": "nodiratime",
    "strictatime": "relatime",
}
_SHOWN = {"ro", "rw", "nosuid", "nodev", "noexec", "sync", "dirsync", "noatime", "nodiratime", "relatime", "lazytime", "discard"}


def missing_options(wanted: list[str], effective: list[str]) -> list[str]:
    """Return the wanted options that are not in effect, of those that the kernel shows reliably."""
    have = set(effective)
    hidden = [one for one in wanted if one in _SHOWN_BY_ABSENCE and _SHOWN_BY_ABSENCE[one] in have]
    return sorted(hidden + [one for one in wanted if one in _SHOWN and one not in have])


def look(path: str) -> dict[str, Any]:
    """Return what is mounted at the path and how the bare folder is: existence, first entries, immutable flag."""
    here = [mount for mount in probe.mounts() if mount["path"] == path]
    answer: dict[str, Any] = {"path": path, "real": os.path.realpath(path), "mounted": None, "missing_options": []}
    answer["first_missing"] = first_missing(path)
    if not here:
        return {**answer, **bare(path)}
    top = here[-1]
    uuid = probe.signature("/dev/block/" + top["dev"]).get("UUID", "") if probe.number_of("/dev/block/" + top["dev"]) else ""
    if not uuid and probe.number_of(top["source"]) == top["dev"]:
        uuid = probe.signature(top["source"]).get("UUID", "")
    return {**answer, "mounted": {**top, "uuid": uuid}, **_beneath(path)}


def bare(path: str) -> dict[str, Any]:
    """Return how a folder is on which nothing is mounted."""
    if not os.path.lexists(path):
        return {"exists": False, "folder": False, "entries": [], "immutable": False}
    if Path(path).is_symlink() or not Path(path).is_dir():
        return {"exists": True, "folder": False, "entries": [], "immutable": False}
    return {
        "exists": True,
        "folder": True,
        "entries": sorted(one.name for one in Path(path).iterdir())[:5],
        "immutable": mountpoint.is_immutable(path),
    }


def _beneath(path: str) -> dict[str, Any]:
    """Return how the bare folder under a mount is. Raises `ProbeError`."""
    try:
        seen = beneath("look", path)
    except OSError as error:
        raise probe.ProbeError(str(error)) from error
    return {"exists": True, "folder": True, "entries": seen["sample"], "immutable": bool(seen["immutable"])}


def first_missing(path: str) -> str:
    """Return the topmost folder of the path that doesn't exist, empty if all do."""
    missing = [str(one) for one in [Path(path), *Path(path).parents] if not one.exists()]
    return missing[-1] if missing else ""
