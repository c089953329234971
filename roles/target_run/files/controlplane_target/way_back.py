"""A run's way back in its own folder: how things were, once; the undo and its README; each with one rename, and durable."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from .faults import FailedFault, RefusedFault
from .files import read_bytes, sync_directory, sync_file, write_atomic
from .state import Home, Run

_OWN = ("", ".", "..", "undo", "README", "state.json")


def lacking(run: Run, records: dict[str, str], *, undo: str, readme: str) -> list[tuple[str, bytes, int]]:
    """Return name, data and mode of what is not there yet. Raises `RefusedFault` for a record's name that is no plain one, `OSError`."""
    if any(Path(name).name != name or name in _OWN for name in records):
        raise RefusedFault(f"{', '.join(records)}: a record's name is the plain name of a file. Nothing was changed.")
    wanted = [(name, text.encode(), 0o600) for name, text in records.items() if not (run.folder / name).exists()]
    own = (("undo", undo, 0o700), ("README", readme, 0o600))
    return wanted + [(name, text.encode(), mode) for name, text, mode in own if not _in_place(run, name, text, mode)]


def leave(run: Run, records: dict[str, str], *, undo: str, readme: str) -> list[str]:
    """Write what is lacking and make all of it durable; return the names that were written.

    A record that is there stays: a second attempt finds its own half-done work, and how it was before stands in the first one's record.

    Raises `RefusedFault`, `OSError`.
    """
    wanted = lacking(run, records, undo=undo, readme=readme)
    run.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, data, mode in wanted:
        write_atomic(run.folder / name, data, mode=mode, owner=(os.geteuid(), os.getegid()))
    # Also what an attempt left that was killed before it could do so.
    for name in (*records, "undo", "README"):
        sync_file(run.folder / name)
    for folder in (run.folder, run.folder.parent):
        sync_directory(folder)
    return [name for name, _, _ in wanted]


def act(home: Home, options: argparse.Namespace) -> dict[str, Any]:
    """Carry out the verb `way-back`; asked is {"records": {name: text}, "undo", "readme", "changes_storage"}."""
    run = home.run(options.run)
    try:
        asked = json.loads(sys.stdin.read())
        texts = {"undo": asked["undo"], "readme": asked["readme"]}
        records, changes_storage = dict(asked["records"]), bool(asked["changes_storage"])
    except (ValueError, KeyError, TypeError) as fault:
        raise RefusedFault(f"the request of 'way-back' is malformed: {fault}. Nothing was changed.") from fault
    try:
        if options.check:
            return {"changed": bool(lacking(run, records, **texts))}
        written = leave(run, records, **texts)
        if changes_storage:
            say_that_storage_changes(home, run)
    except OSError as fault:
        raise FailedFault(f"the way back can't be put into {run.folder}: {fault}. Nothing was changed.") from fault
    return {"changed": bool(written), "written": written}


def say_that_storage_changes(home: Home, run: Run) -> None:
    """Let the host say, from before the first change on, that no reboot has proven its storage since this run.

    Before, not after: a run that is killed in between must not leave a change that no reboot has proven.
    """
    home.write_last_change(run.key, time.time())


def _in_place(run: Run, name: str, text: str, mode: int) -> bool:
    path = run.folder / name
    if read_bytes(path) != text.encode():
        return False
    seen = path.stat()
    return (seen.st_mode & 0o7777, seen.st_uid, seen.st_gid) == (mode, os.geteuid(), os.getegid())
