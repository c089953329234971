"""The verbs of `tmp`: refuse, leave-word, remove, prove. Removed is only the very content that the plan saw, by its path, while nobody has it open.

Rules:
- What a path leads to is looked at without following any link, in the folder that holds it, and removed there.
- One that is gone already speaks against nothing; one that changed, or is in use, is refused with all the others.
- Once something was removed the run goes on: one that changed since, or is in use, is left, and the others go.
"""

from __future__ import annotations

import argparse
import json
import os
import stat
import sys
from typing import Any

from . import inside, purge_users, way_back
from .faults import FailedFault, RefusedFault
from .state import Home, Run

ROLE = "tmp_files"
_ROOTS = ("/tmp", "/var/tmp")  # noqa: S108 - what is in them is what this is about
_UNDO = """#!/bin/sh
echo 'This run removed files by name, and that can not be undone. Nothing was changed. Restore from a backup.' >&2
exit 4
"""
_README = 'Run {key}, role tmp_files\nIt removed files in /tmp by name; state.json lists which (key "removed"). There is no undo but a backup.\n'


def act(home: Home, options: argparse.Namespace) -> dict[str, Any]:
    """Carry out one of the verbs."""
    run = home.run(options.run)
    if options.action == "leave-word":
        return {"changed": bool(way_back.leave(run, {}, undo=_UNDO, readme=_README.format(key=run.key)))}
    try:
        items = [(str(item["path"]), str(item["mark"])) for item in json.loads(sys.stdin.read())["items"]]
    except (ValueError, KeyError, TypeError) as fault:
        raise RefusedFault(f"the request of 'tmp {options.action}' is malformed: {fault}. Nothing was changed.") from fault
    if options.action == "prove":
        if left := [path for path, mark in items if mark_of(path) == mark]:
            raise FailedFault(f"{', '.join(left)} still there. Run this again.")
        return {"changed": False, "told": {"removed": run.state.get("removed", [])}}
    found = look(items, run)
    if options.action == "refuse" or options.check:
        diff = [{"before_header": path, "after_header": path, "before": "there\n", "after": ""} for path in found]
        return {"present": list(found), **({"changed": bool(found), "diff": diff} if options.check else {})}
    return _removed(run, found, dict(items))


def _removed(run: Run, found: dict[str, list[str]], marks: dict[str, str]) -> dict[str, Any]:
    """Remove what may go. Raises `FailedFault` where something had to be left."""
    faults, gone = [], []
    run.write(role=ROLE, phase="removing")
    for path, against in found.items():
        if against:
            faults.append(f"{' and '.join(against)}, so it was left")
            continue
        # Before it goes: who reads this after a crash knows the most that can have happened.
        noted = list(run.state.get("removed", []))
        run.write(removed=[*(other for other in noted if other != path), path])
        try:
            _remove(path, marks[path])
        except FailedFault as fault:
            run.write(removed=noted)
            faults.append(str(fault))
            continue
        gone.append(path)
    if faults:
        raise FailedFault(f"{'; '.join(faults)}. What was removed is in {run.folder}/state.json; make a new plan for the rest")
    run.write(phase="done")
    return {"changed": bool(gone), "removed": gone}


def look(items: list[tuple[str, str]], run: Run) -> dict[str, list[str]]:
    """Return the paths that are still there, each with what speaks against its removal.

    Raises `RefusedFault` with all of that as long as the run removed nothing, and always with a path that is none of these folders.
    """
    strange = [path for path, _ in items if os.path.normpath(path) != path or not path.startswith(tuple(f"{root}/" for root in _ROOTS))]
    found: dict[str, list[str]] = {}
    noted = run.state.get("removed", [])
    for path, mark in items:
        now = None if path in strange else mark_of(path)
        # One that came there after the first was removed is nobody's here.
        if now is None or (now != mark and path in noted):
            continue
        changed = [] if now == mark else [f"{path} is another file by now, or was written to since"]
        found[path] = changed + [f"{path} is in use: {user}" for user in purge_users.look(path).told[:3]]
    against = [f"{path!r} is no path below {' or '.join(_ROOTS)}" for path in strange] + [reason for each in found.values() for reason in each]
    if strange or (against and run.phase not in ("removing", "done")):
        raise RefusedFault(f"removal refused: {'; '.join(against)}. Nothing was changed. Make a new plan.")
    return found


def mark_of(path: str) -> str | None:
    """Return what tells this very content of a plain file, None where there is none by that path that no link leads to."""
    folder, name = os.path.split(path)
    try:
        with inside.opened_below("/", folder.lstrip("/")) as held:
            info = os.stat(name, dir_fd=held, follow_symlinks=False)
    except OSError:
        return None
    return _mark(info) if stat.S_ISREG(info.st_mode) else None


def _mark(info: os.stat_result) -> str:
    # A disk's number may be another one after a reboot.
    return f"{info.st_ino}:{info.st_size}:{info.st_mtime_ns}"


def _remove(path: str, mark: str) -> None:
    folder, name = os.path.split(path)
    try:
        with inside.opened_below("/", folder.lstrip("/")) as held:
            info = os.stat(name, dir_fd=held, follow_symlinks=False)
            if _mark(info) != mark:
                raise FailedFault(f"{path} was changed while this ran, so it was left")
            os.unlink(name, dir_fd=held)
    except FileNotFoundError:
        return
    except OSError as fault:
        raise FailedFault(f"{path} can't be removed: {fault.strerror}") from fault
