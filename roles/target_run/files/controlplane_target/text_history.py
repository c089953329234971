"""All changes that runs made to one text file of this host, so that one of them can be taken back although later ones are there.

Rules:
- A change is noted before the file is written, each as text_change.py has it: positions and what stood there, never what stayed.
- One is taken back only if noted changes lead from the text that it left to the text of now, and none of them touched its own places: what somebody else
  wrote is in no note, so it is refused.
- Taking back is a change as well, and noted.
"""

from __future__ import annotations

import hashlib
from collections import deque
from pathlib import Path
from typing import Any

from .files import read_json, write_json
from .state import Home
from .text_change import change_of, digest, taken_back

_MOST = 500
Change = dict[str, Any]


def note(home: Home, path: str, change: Change) -> None:
    """Note a change that is about to be written."""
    kept = {key: change[key] for key in ("before", "after", "edits")}
    with home.lock("texts"):
        held = _held(home, path)
        if kept not in held:
            _place(home, path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_json(_place(home, path), {"path": path, "changes": [*held, kept][-_MOST:]})


def without(home: Home, path: str, now: str, change: Change) -> str | None:
    """Return the text of now without that change, None where that is not surely known. A text without it already comes back as it is."""
    if digest(now) == change["before"]:
        return now
    if digest(now) == change["after"]:
        return taken_back(now, change)
    steps = _way(_held(home, path), change["after"], digest(now))
    spans = [(start, end, was) for start, end, was in change["edits"]]
    for step in steps or []:
        moved = [_moved(start, end, step) for start, end, _ in spans]
        if None in moved:
            return None
        spans = [(*span, was) for span, (_, _, was) in zip(moved, spans) if span is not None]
    if steps is None:
        return None
    text = now
    for start, end, was in sorted(spans, reverse=True):
        text = text[:start] + was + text[end:]
    return text


def undoing(now: str, text: str) -> Change:
    """Return the change from the text of now to the one that `without` gave, to be noted."""
    return change_of(now, text)


def _moved(start: int, end: int, step: list[tuple[int, int, int]]) -> tuple[int, int] | None:
    """Return where a span lies after a step, each edit of which is (start, end before, length after); None where one of them touches it."""
    shift = 0
    for begun, ended, length in step:
        if ended <= start:
            shift += length - (ended - begun)
        elif begun < end or begun == start:
            return None
    return start + shift, end + shift


def _way(changes: list[Change], start: str, goal: str) -> list[list[tuple[int, int, int]]] | None:
    """Return the steps of noted changes, there or back, from one text to another; None where there are none."""
    pending = deque([(start, list[list[tuple[int, int, int]]]())])
    seen = {start}
    while pending:
        here, steps = pending.popleft()
        if here == goal:
            return steps
        for change in changes:
            for leaves, reaches, step in ((change["before"], change["after"], _there(change)), (change["after"], change["before"], _back(change))):
                if leaves == here and reaches not in seen:
                    seen.add(reaches)
                    pending.append((reaches, [*steps, step]))
    return None


def _there(change: Change) -> list[tuple[int, int, int]]:
    found, shift = [], 0
    for start, end, was in change["edits"]:
        found.append((start - shift, start - shift + len(was), end - start))
        shift += end - start - len(was)
    return found


def _back(change: Change) -> list[tuple[int, int, int]]:
    return [(start, end, len(was)) for start, end, was in change["edits"]]


def _held(home: Home, path: str) -> list[Change]:
    return list((read_json(_place(home, path)) or {"changes": []})["changes"])


def _place(home: Home, path: str) -> Path:
    return home.base / "text-changes" / f"{hashlib.sha256(path.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.json"
