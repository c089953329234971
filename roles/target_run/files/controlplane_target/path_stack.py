"""The compose files of a move on this host: how they change is kept, they are written, and put back.

Rules:
- How a file was is kept without its text, as text_change.py does; a file that is new is removed again. What later runs wrote in it stays (text_history.py).
- One that is neither as it was nor as this run writes it is somebody's, and left as it is.
- What they include, and whatever else Compose reads, has to mean what it did, or nothing is made anew for this (compose_note.py).
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import compose, compose_note, text_change, text_history
from .compose import Stack
from .faults import FailedFault
from .files import read_json, remove, write_json, write_like
from .path_edit import Edit, edit
from .path_request import Request
from .state import Run

_FILE = "compose.json"


def record(run: Run, made: Edit) -> bool:
    """Keep how the files change, by how they are now; return whether that is new. Only for a run that has not changed one yet."""
    changes = {path: text_change.change_of(old or "", new) | {"absent": old is None} for path, (old, new) in made.texts.items()}
    known = read_json(run.folder / _FILE) or {}
    read = compose_note.noted(_before(made.stack, changes), {}, salt=(known.get("read") or {}).get("salt", ""))
    kept = {"changes": changes, "files": compose.digests(made.stack), "read": read}
    if known == kept:
        return False
    write_json(run.folder / _FILE, kept)
    return True


def recorded(run: Run) -> dict[str, Any]:
    """Return {path: change} of a run, empty where it changed no file."""
    return dict((read_json(run.folder / _FILE) or {"changes": {}})["changes"])


def assert_known(run: Run, stack: Stack) -> None:
    """Raise `FailedFault` where one of the stack's files is neither as it was when the way back was left, nor as this run writes it.

    The same where Compose makes something else of them, but for this run's change.
    """
    kept = read_json(run.folder / _FILE) or {"changes": {}, "files": {}}
    changes, known = kept["changes"], kept["files"]
    for path, digest in compose.digests(stack).items():
        wanted = (changes[path]["before"], changes[path]["after"]) if path in changes else (known.get(path),)
        if digest not in wanted:
            raise FailedFault(f"{path} was changed by somebody while this ran, and was left as it is: run this again, it goes by the file as it is")
    there = {path: change for path, change in changes.items() if not change["absent"]}
    compose_note.assert_as_noted(kept.get("read"), _before(stack, changes), there)


def _before(stack: Stack, changes: dict[str, Any]) -> Stack:
    """Return the stack as it is told before a run's change: without the override file that this brings."""
    return replace(stack, files=tuple(path for path in stack.files if path not in changes or not changes[path]["absent"]))


def write(run: Run, stack: Stack, request: Request, *, strict: bool) -> None:
    """Write the files as recorded. Raises `FailedFault` where one is neither as it was nor as it shall be; `strict` asks that of the others too."""
    if strict:
        assert_known(run, stack)
    changes = recorded(run)
    if all(_digest(path) == change["after"] for path, change in changes.items()):
        return
    made = edit(stack, request)
    for path, change in changes.items():
        if _digest(path) == change["after"]:
            continue
        new = made.texts.get(path, (None, ""))[1]
        if text_change.digest(new) != change["after"]:
            raise FailedFault(f"{path} was changed by somebody while this ran, and was left as it is")
        text_history.note(run.home, path, change)
        write_like(Path(path), new.encode(), mode=0o644)


def refuse_back(of: Run) -> list[str]:
    """Return what of the files somebody changed since that run wrote them."""
    return [
        f"{path} was changed by somebody since this run wrote it: take those changes back, or undo this by hand ({of.folder}/README)"
        for path, change in recorded(of).items()
        if os.path.exists(path) and text_history.without(of.home, path, compose.read_text(path), change) is None
    ]


def is_written(of: Run) -> bool:
    """Say whether each file is still as that run wrote it, whatever others changed in it besides."""
    for path, change in recorded(of).items():
        now = compose.read_text(path) if os.path.exists(path) else ""
        if text_history.without(of.home, path, now, change) in (None, now):
            return False
    return True


def put_back(of: Run) -> None:
    """Put the files back as they were before that run, and leave in them what others wrote since. Raises `FailedFault` where that is not surely known."""
    for path, change in recorded(of).items():
        if not os.path.exists(path):
            continue
        now = compose.read_text(path)
        old = text_history.without(of.home, path, now, change)
        if old is None:
            raise FailedFault(
                f"{path} was changed by somebody since this run wrote it. It was left as it is. Take those changes back, then run this again"
            )
        if old == now:
            continue
        if change["absent"] and not old:
            of.write(removed={**(of.state.get("removed") or {}), path: now})
            remove(Path(path))
            continue
        undoing = text_history.undoing(now, old)
        text_history.note(of.home, path, undoing)
        of.write(put_back={**(of.state.get("put_back") or {}), path: undoing})
        write_like(Path(path), old.encode(), mode=0o644)


def put_forward(of: Run) -> None:
    """Take back what `put_back` wrote, as far as it did. Raises `FailedFault` where that is not surely known."""
    for path, undoing in (of.state.get("put_back") or {}).items():
        if not os.path.exists(path):
            continue
        now = compose.read_text(path)
        old = text_history.without(of.home, path, now, undoing)
        if old is None:
            raise FailedFault(f"{path} was changed by somebody since. It was left as it is. Bring {of.state['asked']['container']} up by hand")
        if old != now:
            text_history.note(of.home, path, text_history.undoing(now, old))
            write_like(Path(path), old.encode(), mode=0o644)
    # An override file of our own, which holds nothing but our lines.
    for path, text in (of.state.get("removed") or {}).items():
        if not os.path.exists(path):
            write_like(Path(path), text.encode(), mode=0o644)
    of.write(put_back=None, removed=None)


def _digest(path: str) -> str | None:
    return text_change.digest(compose.read_text(path)) if os.path.exists(path) else None
