"""The removal of what earlier runs retired.

Rules:
- Removed is only what is recorded with that run and fingerprint, is old enough by that record and this host's clock, unchanged, unused, not a live root and
  no mount. All of it is compared, without a limit of time, before the first of it is touched.
- Then every tree is noted in the run's journal and renamed beside its path, and only then is anything deleted: from then on the names are free, nobody who
  goes by them writes into what is being deleted, and `begun` knows it again.
- What was begun is ended by the same run or by a later one. Its fingerprint and age were held before; that it is that very tree, and unused, is held again.
- It never crosses a mount. One removal works at a time.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from . import begun, mounts, open_files, tree_flags
from .docker_engine import Engine
from .faults import FailedFault, RefusedFault
from .files import sync_directory
from .fingerprint import fingerprint_tree
from .phases import TERMINAL
from .state import Home, Run, epoch, utc


class Terms(NamedTuple):
    """What a removal has to respect: the roots that are live now, for how many seconds what was retired is kept, and the time now (epoch seconds).

    `engine` is asked about volumes.
    """

    live_roots: list[str]
    retention_s: int
    now: float
    engine: Engine | None = None


def reasons(home: Home, items: list[dict[str, Any]], terms: Terms) -> list[str]:
    """Return one sentence for each thing that speaks against removing these items; an item that is gone already speaks against nothing."""
    records = {held["path"]: held for held in home.retired()}
    try:
        found = [reason for item in items for reason in _reasons(home, item, records.get(str(item["path"])), terms)]
        if not found:
            # Last, because a large tree takes minutes.
            found = [reason for item in items if os.path.lexists(str(item["path"])) for reason in _changed(str(item["path"]), str(item["recorded"]))]
    except OSError as fault:
        return [f"what is there can't be read: {fault}"]
    return found


def _reasons(home: Home, item: dict[str, Any], record: dict[str, Any] | None, terms: Terms) -> list[str]:
    path, aside = str(item["path"]), begun.aside_of(str(item["path"]))
    insane = _insane(path)
    if insane:
        return [insane]
    if os.path.lexists(aside):
        if os.path.lexists(path):
            return [f"{aside} is in the way, with {path} there as well: look at both, and move the former away or remove it yourself"]
        roots = terms.live_roots if _volume_of(home, item) is None else []
        return [*begun.doubts(home, item), *_in_use(aside, roots), *_needed(home, path)]
    if record is None:
        return [f"{path} is not recorded as retired on this host"] if os.path.lexists(path) else []
    if record["run"] != item["run"] or record["recorded"] != item["recorded"]:
        return [
            f"{path} was retired by {record['run']} with {record['recorded']}, the plan names {item['run']} with {item['recorded']}: make a new plan"
        ]
    volume = str(record.get("volume") or "")
    # A volume lies within Docker's live root, and Docker says whether it is in use.
    used = [*_mounted(volume, path, terms.engine), *_in_use(path, [])] if volume else [*_in_use(path, terms.live_roots), *_within(path, terms.engine)]
    return [*_too_young(record, terms), *used, *_needed(home, path)]


def _volume_of(home: Home, item: dict[str, Any]) -> str | None:
    """Return the volume whose data an item is, by the records or by a removal that was begun."""
    held = [*home.retired(), *(claim for run in home.runs() for claim in run.state.get("purging", []))]
    return next((str(one["volume"]) for one in held if one["path"] == item["path"] and one["run"] == item["run"] and one.get("volume")), None)


def _mounted(volume: str, path: str, engine: Engine | None) -> list[str]:
    """Return who uses a volume, stopped containers too, or why its data are not what was retired."""
    if engine is None:
        return [f"volume {volume} is there, and Docker was not asked about it"]
    status, seen = engine.call("GET", f"/volumes/{quote(volume, safe='')}")
    device = str(((seen or {}).get("Options") or {}).get("device") or "") if status == 200 else ""
    if status == 200 and path not in (seen["Mountpoint"], device):
        return [f"volume {volume} lies at {seen['Mountpoint']} by now, not at {path}: make a new plan"]
    users = [str(held["Name"]).lstrip("/") for held in engine.containers() if any(mount.get("Name") == volume for mount in held["Mounts"])]
    return [f"volume {volume} belongs to container {name}" for name in users]


def _within(path: str, engine: Engine | None) -> list[str]:
    """Return the containers that mount a folder in which it lies: there it may be what another mount stands on, and would take that along."""
    if engine is None:
        return []
    return [
        f"container {str(held['Name']).lstrip('/')} mounts {mount['Source']}, in which it lies: take that out of its compose file first"
        for held in engine.containers()
        for mount in held["Mounts"]
        if mount["Type"] == "bind" and mount["RW"] and mounts.is_at_or_below(path, os.path.realpath(mount["Source"]))
    ]


def _remove_volume(volume: str | None, engine: Engine | None) -> None:
    """Let Docker forget a volume whose data are gone; it refuses one that a container has."""
    if volume is None or engine is None:
        return
    status, answer = engine.call("DELETE", f"/volumes/{quote(volume, safe='')}")
    if status not in (204, 404):
        raise FailedFault(
            f"the data of volume {volume} are removed, and Docker keeps its name: {(answer or {}).get('message', status)}. Run this again."
        )


def _insane(path: str) -> str | None:
    if not path.startswith("/") or os.path.normpath(path) != path or path.count("/") < 2 or any(ord(letter) < 32 for letter in path):
        return f"{path!r} is no absolute, normalised path below a directory"
    if os.path.realpath(os.path.dirname(path)) != os.path.dirname(path):
        return f"{os.path.dirname(path)} leads elsewhere by a symbolic link"
    return None


def _too_young(record: dict[str, Any], terms: Terms) -> list[str]:
    path, at = record["path"], record["retired_at"]
    if not os.path.lexists(path):
        return []
    try:
        until = epoch(str(at)) + terms.retention_s
    except ValueError:
        return [f"{path} has no readable date of retirement on this host ({at})"]
    if terms.now < until:
        return [f"{path} was retired at {at} and is kept until {utc(until)}; by this host's clock it is {utc(terms.now)}"]
    return []


def _in_use(path: str, live_roots: list[str]) -> list[str]:
    # What a run kept of a container's layer may lie on the root's own filesystem, beside what Docker has there.
    for root in [] if "/.controlplane-retired/" in path else live_roots:
        if mounts.is_at_or_below(root, path) or mounts.is_at_or_below(path, root):
            return [f"{path} is, holds or lies in the live root {root}"]
    if not os.path.lexists(path):
        return []
    if os.path.islink(path):
        return [f"{path} is a symbolic link, not the tree that was retired"]
    table = mounts.read()
    if any(mount.mount == path for mount in table) or mounts.below(path, table):
        return [f"{path} is a mountpoint or holds one"]
    return [f"{path} is in use: {user}" for user in open_files.users_of(path)[:5]]


def _needed(home: Home, path: str) -> list[str]:
    return [
        f"run {run.key} is open and needs {path}"
        for run in home.runs()
        if run.phase not in TERMINAL and any(path in (tree["from"], tree["to"]) for tree in run.state.get("trees") or [])
    ]


def _changed(path: str, recorded: str) -> list[str]:
    now, _, _ = fingerprint_tree(path)
    if now == recorded:
        return []
    return [f"{path} changed since it was retired ({recorded} then, {now} now): someone wrote there. Look at what is newer, then make a new plan"]


def purge(home: Home, run: Run, items: list[dict[str, Any]], terms: Terms) -> list[str]:
    """Remove the items; return the paths that were removed. Refused as a whole where anything speaks against one of them."""
    with home.lock("purge", patience_s=0):
        found = reasons(home, items, terms)
        if found:
            raise RefusedFault(f"purge refused: {'; '.join(found)}. Nothing was changed.")
        left = begun.present(home, items)
        _put_aside(run, [held for held in home.retired() if held["path"] in left and os.path.lexists(held["path"])])
        for item in items:
            volume = _volume_of(home, item)
            _remove_aside(str(item["path"]))
            _remove_volume(volume, terms.engine)
            begun.close(home, run, item)
        begun.close_gone(home, run)
        return left


def _put_aside(run: Run, records: list[dict[str, Any]]) -> None:
    try:
        begun.note(run, records)
        for record in records:
            # One that lay within another went with it.
            if os.path.lexists(record["path"]):
                os.rename(record["path"], begun.aside_of(record["path"]))
                sync_directory(Path(record["path"]).parent)
    except OSError as fault:
        raise FailedFault(f"the removal could not begin: {fault}. Nothing was deleted. Mend the cause, then run this again.") from fault


def _remove_aside(path: str) -> None:
    aside = begun.aside_of(path)
    if not os.path.lexists(aside):
        return
    try:
        _remove(aside)
        sync_directory(Path(path).parent)
    except (OSError, FailedFault) as fault:
        raise FailedFault(
            f"the removal of {path} stopped: {fault}. What is left of it lies in {aside}. "
            "Mend the cause, then end it by a new plan: controlplane plan --capability storage.purge"
        ) from fault


def _remove(path: str) -> None:
    parent = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        tree_flags.take_off(path)
        name = os.path.basename(path)
        _remove_at(parent, name, os.stat(name, dir_fd=parent, follow_symlinks=False).st_dev)
    finally:
        os.close(parent)


def _remove_at(parent: int, name: str, device: int) -> None:
    info = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if info.st_dev != device:
        raise FailedFault(f"{name} is a mount: unmount it")
    if not stat.S_ISDIR(info.st_mode):
        os.unlink(name, dir_fd=parent)
        return
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        for below in os.listdir(folder):
            _remove_at(folder, below, device)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=parent)
