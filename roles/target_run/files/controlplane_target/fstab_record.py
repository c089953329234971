"""Record fstab, guards and directories as they are, once, and put the way back in place; durable before the verb is over.

Only the run's own folder is written: both texts of fstab, the former text of each guard that differs, the directories that are to be made or made
immutable, then the undo and its README. And the host says from now on that its storage changes.
"""

from __future__ import annotations

import json
from typing import Any

from . import fstab_guard as guard
from . import fstab_lines as lines
from . import fstab_table as table
from . import way_back
from .faults import RefusedFault
from .fstab_request import Record
from .state import Run


def record(run: Run, asked: Record, *, check: bool) -> dict[str, Any]:
    """Return {changed, written} with the names of what was written. Raises `RefusedFault`."""
    if check:
        # A dry run changes nothing that there would be a way back from.
        return {"changed": False, "written": []}
    try:
        written = _written(run, asked)
    except (guard.GuardError, lines.FstabError, OSError) as error:
        raise RefusedFault(f"{asked.path}: {error}. Nothing was changed.") from error
    return {"changed": bool(written), "written": written}


def _written(run: Run, asked: Record) -> list[str]:
    records = {name: json.dumps(paths, indent=4) + "\n" for name, paths in (("folders.json", asked.make), ("bare.json", asked.writable))}
    run.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = table.Table(asked.path, asked.entries)
    if found.pending:
        found.record(run.folder)
    for one in map(guard.Guard, asked.guards):
        if one.pending:
            one.record(run.folder)
    written = way_back.leave(run, records, undo=asked.undo, readme=asked.readme)
    way_back.say_that_storage_changes(run.home, run)
    return written
