"""What a run leaves in its own folder on the target: how things were, the undo and its README; and that storage changes."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from ansible.module_utils import target_run_files as files

OPTIONS = {
    "folder": {"type": "path", "required": True},
    "undo": {"type": "str", "required": True},
    "readme": {"type": "str", "required": True},
}


def _is_in_place(path: Path, text: bytes, mode: int) -> bool:
    if files.held(path) != text:
        return False
    seen = path.stat()
    return (seen.st_mode & 0o7777, seen.st_uid, seen.st_gid) == (mode, os.geteuid(), os.getegid())


def lacking(folder: Path, records: dict[str, str], *, undo: str, readme: str) -> list[tuple[str, bytes, int]]:
    """Return name, text and mode of what is not there yet; a record that is there stays, whatever it says. Raises OSError."""
    own = (("undo", undo.encode(), 0o700), ("README", readme.encode(), 0o600))
    wanted = [(name, text.encode(), 0o600) for name, text in records.items() if not (folder / name).exists()]
    return wanted + [(name, text, mode) for name, text, mode in own if not _is_in_place(folder / name, text, mode)]


def leave(folder: Path, records: dict[str, str], *, undo: str, readme: str) -> list[str]:
    """Write what is lacking, each with one rename, and make all of it durable; return the names that were written. Raises OSError."""
    files.make(folder)
    wanted = lacking(folder, records, undo=undo, readme=readme)
    for name, text, mode in wanted:
        files.write(folder / name, text, mode=mode, own=True)
    # Also what an attempt left that was killed before it could do so.
    for path in (*(folder / name for name in (*records, "undo", "README")), folder, folder.parent):
        files.sync(path)
    return [name for name, _, _ in wanted]


def say_that_storage_changes(folder: Path) -> None:
    """Let the host say, from before the first change on, that no reboot has proven its storage since this run.

    Raises OSError, and ImportError where the run's tools are not there.
    """
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    from controlplane_target.state import Home  # noqa: PLC0415 - it lies in the run's folder, where target_run laid it down

    Home(folder.parent).write_last_change(folder.name, time.time())
