"""The removal of what earlier runs retired.

Rules:
- Removed is only what is recorded with that run and fingerprint, is old enough by that record and this host's clock, unchanged, unused, not a live root and
  no mount. All of it is compared, without a limit of time, before the first of it is touched.
- Then every tree is noted in the run's journal and renamed beside its path, and only then is anything deleted: from then on the names are free, nobody who
  goes by them writes into what is being deleted, and `begun` knows it again.
- A part of a volume or of a directory goes alone: what holds it stays, with all else that is in it, and so does the volume. Where a container mounts what
  holds it, with something over the part (purge_reach.py), the part is emptied where it lies, and its folder stays for that mount to stand on.
- What was begun is ended by the same run or by a later one. Its fingerprint and age were held before; that it is that very tree, and unused, is held again.
- It never crosses a mount. One removal works at a time.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any
from urllib.parse import quote

from . import begun, inside, purge_reach, purge_users, tree_flags
from .docker_engine import Engine
from .faults import FailedFault, RefusedFault
from .files import sync_directory
from .purge_judge import Look, Terms, lain, look_at, reasons, volume_of
from .state import Home, Run


def purge(home: Home, run: Run, items: list[dict[str, Any]], terms: Terms) -> list[str]:
    """Remove the items; return the paths that were removed. Refused as a whole where anything speaks against one of them."""
    with home.lock("purge", patience_s=0):
        found = reasons(home, items, terms)
        if found:
            raise RefusedFault(f"purge refused: {'; '.join(found)}. Nothing was changed.")
        left = begun.present(home, items)
        _begin(look_at(home, items, terms), run, [held for held in home.retired() if held["path"] in left and os.path.lexists(held["path"])])
        for item in items:
            if not begun.is_on_record(home, item) and not os.path.lexists(begun.aside_of(str(item["path"]))):
                # Removed to its end, or live again. What has its name by now was asked nothing, and is left alone.
                begun.close(home, run, item)
                continue
            volume = volume_of(home, item)
            claim = _claim_in_place(home, run, item)
            if claim is None:
                _remove_aside(str(item["path"]))
            else:
                _empty(str(item["path"]), claim)
            begun.note_end(run, item, in_place=claim is not None)
            _remove_volume(volume, str(item["path"]), terms.engine)
            begun.close(home, run, item)
        begun.close_gone(home, run)
        return left


def _begin(look: Look, run: Run, records: list[dict[str, Any]]) -> None:
    """Note what is about to be removed, and put aside what no mount stands on."""
    try:
        fresh = [record for record in records if not begun.in_place(look.home, record)]
        noted = [{**record, "in_place": True} if _stays(look, record) else record for record in fresh]
        begun.note(run, noted)
        for record in noted:
            # One that lay within another went with it.
            if not record.get("in_place") and os.path.lexists(record["path"]):
                os.rename(record["path"], begun.aside_of(record["path"]))
                sync_directory(Path(record["path"]).parent)
    except (OSError, FailedFault) as fault:
        raise FailedFault(f"the removal could not begin: {fault}. Nothing was deleted. Mend the cause, then run this again.") from fault


def _stays(look: Look, record: dict[str, Any]) -> bool:
    """Say whether the folder of a tree has to stay where it is, because a mount stands on it, or on what it lies in."""
    if look.docker is not None and look.docker.reach(lain(look, record)).is_covered:
        return True
    return purge_users.look(str(record["path"])).is_stood_on


def _claim_in_place(home: Home, run: Run, item: dict[str, Any]) -> dict[str, Any] | None:
    """Return by which claim an item is emptied where it lies: this run's own, else that of one that began it before; None where it was put aside."""
    same = ("path", "run", "recorded")
    own = next((claim for claim in run.state.get("purging", []) if all(claim[key] == item[key] for key in same)), None)
    if own is not None:
        return own if own.get("in_place") else None
    return begun.in_place(home, item)


def _empty(path: str, claim: dict[str, Any]) -> None:
    """Remove all that is in a folder, and leave the folder. On the way there no link is followed: a container may write to what it lies in."""
    if not os.path.lexists(path):
        # It lay within another, and went with it.
        return
    try:
        with inside.opened_below("/", path.lstrip("/"), os.O_RDONLY | os.O_DIRECTORY) as folder:
            info = os.fstat(folder)
            if info.st_ino != claim["inode"]:
                raise FailedFault(f"{path} is another folder by now than what was retired")
            tree_flags.take_off(f"/proc/self/fd/{folder}/.")
            for name in os.listdir(folder):
                _remove_at(folder, name, info.st_dev)
            os.fsync(folder)
    except (OSError, FailedFault) as fault:
        raise _stopped(path, path, fault) from fault


def _remove_aside(path: str) -> None:
    aside = begun.aside_of(path)
    if not os.path.lexists(aside):
        return
    try:
        _remove(aside)
        sync_directory(Path(path).parent)
    except (OSError, FailedFault) as fault:
        raise _stopped(path, aside, fault) from fault


def _stopped(path: str, place: str, fault: Exception) -> FailedFault:
    return FailedFault(
        f"the removal of {path} stopped: {fault}. What is left of it lies in {place}. "
        "Mend the cause, then end it by a new plan: controlplane plan --capability storage.purge"
    )


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


def _remove_volume(volume: str | None, path: str, engine: Engine | None) -> None:
    """Let Docker forget a volume whose data lay at that path and are gone; it refuses one that a container has. Of a part of one there is nothing to forget."""
    if volume is None or engine is None or path not in purge_reach.Docker(engine).places(volume):
        return
    status, answer = engine.call("DELETE", f"/volumes/{quote(volume, safe='')}")
    if status not in (204, 404):
        raise FailedFault(
            f"the data of volume {volume} are removed, and Docker keeps its name: {(answer or {}).get('message', status)}. Run this again."
        )
