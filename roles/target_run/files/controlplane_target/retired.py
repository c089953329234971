"""What a run leaves behind on purpose, and its removal by a later, approved run.

Rules:
- Recorded are path, run, size, entries and a fingerprint of the whole tree, so that a later change is seen.
- Removed is only what is recorded with that run and fingerprint, is old enough by that record and this host's clock, unchanged, unused, not a live root and
  no mount.
- Removal renames first, beside the path: from then on the name is free, and a repeated call ends what was begun. It never crosses a mount.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, NamedTuple

from . import mounts, open_files, tree_flags
from .faults import FailedFault, RefusedFault
from .files import sync_directory
from .fingerprint import fingerprint_tree
from .phases import TERMINAL
from .state import Home, epoch, utc


def retire(home: Home, run: str, trees: list[dict[str, Any]], *, now: float) -> None:
    """Record each tree's source as retired by `run`, replaced by its destination."""
    fresh = []
    for tree in trees:
        fingerprint, entries, size = fingerprint_tree(tree["from"])
        fresh.append(
            {
                "path": tree["from"],
                "run": run,
                "retired_at": utc(now),
                "size": size,
                "entries": entries,
                "recorded": fingerprint,
                "replaced_by": tree["to"],
            }
        )
    with home.lock():
        gone = {held["path"] for held in fresh} | {tree["to"] for tree in trees}
        home.write_retired([held for held in home.retired() if held["path"] not in gone] + fresh)


def forget(home: Home, paths: list[str]) -> None:
    """Take paths out of the records: they are about to be live again, or are gone."""
    with home.lock():
        held = home.retired()
        kept = [record for record in held if record["path"] not in paths]
        if kept != held:
            home.write_retired(kept)


def _aside(path: str) -> str:
    return os.path.join(os.path.dirname(path), f".controlplane-purging-{os.path.basename(path)}")


def _insane(path: str) -> str | None:
    if not path.startswith("/") or os.path.normpath(path) != path or path.count("/") < 2 or any(ord(letter) < 32 for letter in path):
        return f"{path!r} is no absolute, normalised path below a directory"
    if os.path.realpath(os.path.dirname(path)) != os.path.dirname(path):
        return f"{os.path.dirname(path)} leads elsewhere by a symbolic link"
    return None


class Terms(NamedTuple):
    """What a removal has to respect: the roots that are live now, for how many seconds what was retired is kept, and the time now (epoch seconds)."""

    live_roots: list[str]
    retention_s: int
    now: float


def reasons(home: Home, items: list[dict[str, Any]], terms: Terms) -> list[str]:
    """Return one sentence for each thing that speaks against removing these items; an item that is gone already speaks against nothing."""
    found = []
    records = {held["path"]: held for held in home.retired()}
    open_runs = [run for run in home.runs() if run.phase not in TERMINAL and run.state.get("trees")]
    for item in items:
        path = str(item["path"])
        record = records.get(path)
        insane = _insane(path)
        if insane:
            found.append(insane)
        elif record is None:
            if os.path.lexists(path):
                found.append(f"{path} is not recorded as retired on this host")
        elif record["run"] != item["run"] or record["recorded"] != item["recorded"]:
            found.append(
                f"{path} was retired by {record['run']} with {record['recorded']}, the plan names {item['run']} with {item['recorded']}: make a new plan"
            )
        else:
            found += _too_young(record, terms)
            found += _in_use(path, terms.live_roots)
            found += [
                f"run {run.key} is open and needs {path}"
                for run in open_runs
                if any(path in (tree["from"], tree["to"]) for tree in run.state["trees"])
            ]
            if os.path.lexists(path) and not found:
                found += _changed(path, str(item["recorded"]))
    return found


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
    for root in live_roots:
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


def differs(record: dict[str, Any]) -> bool:
    """Return whether the tree of that record changed since it was retired."""
    return fingerprint_tree(str(record["path"]))[0] != str(record["recorded"])


def _changed(path: str, recorded: str) -> list[str]:
    now, _, _ = fingerprint_tree(path)
    if now == recorded:
        return []
    return [f"{path} changed since it was retired ({recorded} then, {now} now): someone wrote there. Look at what is newer, then make a new plan"]


def present(items: list[dict[str, Any]]) -> list[str]:
    """Return the paths of which something is still to be removed."""
    return [str(item["path"]) for item in items if os.path.lexists(str(item["path"])) or os.path.lexists(_aside(str(item["path"])))]


def purge(home: Home, items: list[dict[str, Any]], terms: Terms) -> list[str]:
    """Remove the items; return the paths that were removed. Refused as a whole where anything speaks against one of them."""
    found = reasons(home, items, terms)
    if found:
        raise RefusedFault(f"purge refused: {'; '.join(found)}. Nothing was changed.")
    removed = []
    for item in items:
        path, aside = str(item["path"]), _aside(str(item["path"]))
        if os.path.lexists(path):
            if os.path.lexists(aside):
                raise FailedFault(
                    f"{aside} is in the way, with {path} there as well. {path} was not removed. Look at both, remove the former yourself."
                )
            os.rename(path, aside)
            sync_directory(Path(path).parent)
        if os.path.lexists(aside):
            _remove(aside)
            sync_directory(Path(path).parent)
            removed.append(path)
        forget(home, [path])
    return removed


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
        raise FailedFault(f"{name} is a mount: the removal stopped there. Unmount it, then run this again.")
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
