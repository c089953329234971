"""What this host itself has on record of releases: the journals of the runs that deployed them, and the record of each stack's last one.

Rules:
- Deployed is what came to its end, and was not taken back. What was begun and did not come to an end is told as open.
- A journal that can't be read is a fault, never no release.

controlplane/adapters/collector/store.py tells a plan the same; a test holds both to the same answers.
"""

from __future__ import annotations

from typing import Any

from .faults import FailedFault
from .files import read_json
from .state import Home, epoch

_ROLE = "compose_stack"
_OPEN = ("writing", "deploying", "undoing", "failed")
# Of each stack, the newest.
_MOST = 50


def recorded(home: Home) -> list[dict[str, Any]]:
    """Return [{project, manifest, images, at, open}], newest first; `images` by their digests. Raises `FailedFault`."""
    try:
        return _newest(home)
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise FailedFault(f"what was released here can't be read below {home.base} ({fault!r})") from fault


def _newest(home: Home) -> list[dict[str, Any]]:
    found = {run.key: _told(run.state, _ended(run.state)) for run in home.runs() if _is_release(run.state)}
    for path in sorted((home.base / "releases").glob("*.json")):
        record = read_json(path) or {}
        if record and record["run"] not in found:
            found[record["run"]] = _told({**record, "phase": "done"}, epoch(record["at"]))
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
