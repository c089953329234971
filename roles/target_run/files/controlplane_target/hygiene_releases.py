"""What this host itself has on record of releases: the journals of the runs that deployed them, and the record of each stack's last one.

Rules:
- Deployed is what came to its end, and was not taken back. What was begun and did not come to an end is told as open.
- A journal that can't be read may be a release's, also one that was not taken back: it is told as a doubt, by its name, never as no release.

controlplane/adapters/collector/store.py tells a plan the same, and there such a doubt ends the collection of it; a test holds both to the same answers.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from .files import read_bytes
from .state import Home, epoch

_ROLE = "compose_stack"
_OPEN = ("writing", "deploying", "undoing", "failed")
# Of each stack, the newest.
_MOST = 50
# What a journal that is no journal is read with.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)


class Recorded(NamedTuple):
    """Releases as [{project, manifest, images, at, open}], newest first, `images` by their digests; and a sentence for each journal that can't be read."""

    releases: list[dict[str, Any]]
    doubts: list[str]


def recorded(home: Home) -> Recorded:
    """Return what was released here, and what of it can't be known."""
    found: dict[str, dict[str, Any]] = {}
    doubts: list[str] = []
    folder = home.base / "releases"
    try:
        journals = [home.base / name / "state.json" for name in _names(home.base)]
        records = [folder / name for name in _names(folder) if name.endswith(".json")]
    except OSError as fault:
        return Recorded([], [f"what was released here can't be told: {fault}"])
    for path in journals:
        try:
            state = _held(path)
            if state is not None and _is_release(state):
                found[path.parent.name] = _told(state, _ended(state))
        except _UNREADABLE as fault:
            doubts.append(
                _doubt(
                    path, fault, f"or, if that run needs no way back any more (its README says what it did), move {path.parent} out of {home.base}"
                )
            )
    for path in records:
        try:
            record = _held(path)
            if record is not None and record["run"] not in found:
                found[record["run"]] = _told({**record, "phase": "done"}, epoch(record["at"]))
        except _UNREADABLE as fault:
            doubts.append(_doubt(path, fault, f"or move it out of {folder} and deploy {path.stem} anew, which writes it again"))
    return Recorded(_newest(found), doubts)


def may_be_released(image: dict[str, Any]) -> bool:
    """Say whether a release can have that image: it names each by the digest that a registry knows it by, and some have none."""
    return bool(image["digests"])


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def _held(path: Path) -> dict[str, Any] | None:
    """Return what a journal holds, None where there is none. Raises `OSError`, `ValueError`."""
    try:
        data = read_bytes(path)
    except NotADirectoryError:
        return None
    if data is None:
        return None
    found = json.loads(data)
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__}, not an object")
    return found


def _doubt(path: Path, fault: Exception, otherwise: str) -> str:
    why = str(fault) if isinstance(fault, (OSError, ValueError)) else repr(fault)
    return f"what was released here can't be told: {path} can't be read ({why}). Bring it back from a backup of this host, {otherwise}"


def _newest(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    newest = sorted(found.items(), key=lambda one: (one[1]["at"], one[0]), reverse=True)
    counted: dict[str, int] = {}
    told = []
    for _, release in newest:
        counted[release["project"]] = counted.get(release["project"], 0) + 1
        if release["open"] or counted[release["project"]] <= _MOST:
            told.append(release)
    return told


def _is_release(state: dict[str, Any]) -> bool:
    return state.get("role") == _ROLE and bool(state.get("images")) and state.get("phase") in ("done", *_OPEN)


def _ended(state: dict[str, Any]) -> float:
    """Return when it came to its end, or to where it stands."""
    return float(state.get("finished_at") or max((state.get("phase_at") or {}).values(), default=0))


def _told(state: dict[str, Any], at: float) -> dict[str, Any]:
    images = sorted(set(dict(state["images"]).values()))
    return {"project": state["project"], "manifest": state["manifest"], "images": images, "at": int(at), "open": state["phase"] in _OPEN}
