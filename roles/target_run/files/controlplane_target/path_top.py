"""By what an old place is known again: device, inode number and generation of its top, which the journal has of each path (`top`).

Rules:
- Whoever takes a stack down with its volumes and brings it up again gets an empty one of the same name and path, and a directory that is missing Docker
  makes anew. Neither has what was copied, so neither is taken for the source again: what would go on from there, or back to it, stops and names the copy.
- It is noted as the copy begins, before the first stop, and again once newer data are back there. A later attempt begins from another one only where
  nothing is left of the copy before: to move that away is how a person says that what is there now is right.
- Inode number and generation last, the latter where the filesystem has one (ext4, xfs). A device's number says something only without it, and within a boot: a
  disk that was plugged out and in again has another one, and so has one on another loop device, or one of btrfs, ZFS or NFS that was mounted again.
- At a place the last run that copied there counts. What an earlier one left there was moved away before that.
- What has no note is taken as it is: journals of older programs have none. What lies in a layer is known by its container.
- Off its mount nobody sees which one it is: that is told on its own, and nothing is copied from there either.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from .begun import identity
from .mounts import mount_of, nearest_existing, read
from .path_source import Source
from .state import Home, boot_id
from .tree_measure import is_empty

_PLACES = ("bind", "volume", "anonymous")
# A copy that no service lived on, as root_refusals.py lets a later run write over it.
_PARTIAL = ("precopying", "precopied", "staging", "reverted")
_MOUNT = "Mount again what was mounted there, start the container anew on it, and run this again"
WAY_ON = (
    "Bring back from it what is needed, or leave what is there now as it is, should it be what you restored; then move the copy away and run this again: "
    "it begins from what is there by then"
)


def noted(source: Source) -> dict[str, Any]:
    """Return {top} of a source for the journal, {} of one that has none of its own. Raises `OSError`."""
    return {"top": _seen(source.path)} if source.kind in _PLACES else {}


def brought(paths: Iterable[dict[str, Any]], landed: Iterable[tuple[dict[str, Any], Source]], container: str) -> list[dict[str, Any]]:
    """Return the journal's paths with the tops of what the data are back in by now; of the layer that is the container's id. Raises `OSError`."""
    tops = {path["data"]: {"container": container} if source.kind == "layer" else _seen(source.path) for path, source in landed}
    return [{**path, "top": tops[path["data"]]} for path in paths]


def is_brought(path: dict[str, Any], landed: Source, container: str) -> bool:
    """Say whether a path of that container lands in what its data were brought back to. Raises `OSError`."""
    top = path.get("top")
    if not top:
        return True
    if "container" in top:
        return landed.kind == "layer" and bool(top["container"] == container)
    return landed.kind != "layer" and _is_same(top, _seen(landed.path))


def replaced(paths: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the journal's paths whose old place is another one by now, or gone. Raises `OSError`."""
    return [path for path in paths if _is_replaced(path)]


def elsewhere(paths: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the journal's paths by the name of whose old place something else is seen than what was copied, or nothing: also those off their mount."""
    return [path for path in paths if off_mount(path) or _is_replaced(path)]


def is_gone(path: dict[str, Any]) -> bool:
    """Say whether nothing is left by the name of a path's old place."""
    return not os.path.lexists(path["source"]["path"])


def holds_nothing(path: dict[str, Any]) -> bool:
    """Say whether there is nothing, or an empty directory, by the name of a path's old place."""
    place = path["source"]["path"]
    return is_gone(path) or (os.path.isdir(place) and is_empty(place))


def is_cleared(path: dict[str, Any]) -> bool:
    """Say whether nothing is left at a new place: on a disk that is not mounted now there may be. A file in its stead is something."""
    place = path["to"]
    is_nothing = not os.path.lexists(place) or (os.path.isdir(place) and is_empty(place))
    return is_nothing and mount_of(os.path.realpath(nearest_existing(place)), read()).mount == path["to_mount"]


def without_their_mount(paths: Iterable[dict[str, Any]]) -> list[str]:
    """Return which of a journal's old places lie on another mount now: brought back there, the data would fill whatever disk that is, unseen."""
    return [f"{off}: mount again what was mounted there" for off in map(off_mount, paths) if off]


def off_mount(path: dict[str, Any]) -> str:
    """Return in words on which other mount a path's old place lies now, empty where it is on its own."""
    old, wanted = str(path["source"]["path"]), path.get("from_mount")
    now = mount_of(os.path.realpath(nearest_existing(old)), read()).mount if wanted else wanted
    return "" if now == wanted else f"{old}, where {path['data']} lay before, is on {now} now, not on {wanted}"


def told(paths: Sequence[dict[str, Any]]) -> str:
    """Return what became of those old places, where the copies of what was in them are, and how a person goes on."""
    return f"{' and '.join(map(_became, paths))}. A copy of what it held is in {copies(paths)}, and was left as it is. {way_on(paths)}"


def _became(path: dict[str, Any]) -> str:
    return off_mount(path) or f"{lay(path)} is {'gone' if is_gone(path) else 'another one by now, made anew since it was copied'}"


def way_on(paths: Iterable[dict[str, Any]]) -> str:
    """Return how a person goes on where old places are not what was copied."""
    return f"{_MOUNT}. Where that is gone for good: {WAY_ON}" if any(map(off_mount, paths)) else WAY_ON


def lay(path: dict[str, Any]) -> str:
    """Return how a message names a path's old place, with the path."""
    return f"{Source(**path['source']).told}, where {path['data']} lay,"


def copies(paths: Iterable[dict[str, Any]]) -> str:
    """Return how a message names the copies of those paths."""
    return ", ".join(path["to"] for path in paths)


def of_copies(home: Home, source: Source, data: str, place: str) -> list[str]:
    """Return why nothing is copied from a source to a place: a copy is there, by whatever run, of what was by the source's name before. Raises `OSError`."""
    if not os.path.isdir(place) or is_empty(place):
        return []
    held = [(run, path) for run in home.runs() for path in run.state.get("paths") or [] if "source" in path and path["to"] == place]
    # By its journal, and not by its key: one that is older may have been gone on with since.
    last = max(held, key=lambda one: (one[0].folder / "state.json").stat().st_mtime_ns, default=None)
    if last is None:
        return []
    run, path = last
    if run.phase not in _PARTIAL or path["source"]["path"] != source.path or not elsewhere([path]):
        return []
    off = f"{off} as when {run.key} copied it to {place}" if (off := off_mount(path)) else ""
    now = off or f"{source.told}, where {data} lies, is another one by now than what {run.key} copied to {place}"
    return [f"{now}, and that copy would be written over. {way_on([path])}"]


def _is_replaced(path: dict[str, Any]) -> bool:
    top = path.get("top")
    if not top or "container" in top or off_mount(path):
        return False
    return not _is_same(top, _seen(path["source"]["path"]))


def _is_same(top: dict[str, Any], now: dict[str, Any] | None) -> bool:
    if now is None or (now["inode"], now["generation"]) != (top["inode"], top["generation"]):
        return False
    return bool(top["generation"] or now["device"] == top["device"] or now["boot_id"] != top["boot_id"])


def _seen(path: str) -> dict[str, Any] | None:
    """Return what the top at a path is known by, None where there is none."""
    try:
        return {"device": os.lstat(path).st_dev, **identity(path), "boot_id": boot_id()}
    except (FileNotFoundError, NotADirectoryError):
        return None
