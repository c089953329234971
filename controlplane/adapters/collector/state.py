"""What earlier runs left under /var/lib/controlplane: retired paths, the last storage change, open runs, the lease."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from .fingerprint import TooLateError, fingerprint_tree
from .supervise import ProbeError
from .tools import slurp, tool

BASE = "/var/lib/controlplane"
# What the journals of roles end with; a move that went back by itself says `reverted`.
CLOSED = ("done", "undone", "reverted", "rolled-back")
# For all trees together; the probe's own limit is above it.
_FINGERPRINTS_WITHIN = 10.0


def _read(name: str) -> Any:
    path = f"{BASE}/{name}"
    try:
        text = slurp(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise ProbeError(f"{path} is no JSON: {error}") from None


def _retired(entry: dict[str, Any], until: float) -> dict[str, Any]:
    path = entry["path"]
    exists = os.path.lexists(path)
    fingerprint = unreadable = None
    if exists:
        try:
            fingerprint = fingerprint_tree(path, until)[0]
        except TooLateError:
            fingerprint = None
        except OSError as error:
            unreadable = str(error)
    kept = {key: entry[key] for key in ("path", "run", "retired_at", "size", "entries", "recorded", "replaced_by")}
    return {**kept, "exists": exists, "fingerprint": fingerprint, "unreadable": unreadable}


def _open_runs() -> list[dict[str, Any]]:
    try:
        names = sorted(os.listdir(BASE))
    except FileNotFoundError:
        return []
    runs = []
    for name in names:
        state = _read(f"{name}/state.json")
        if state is None or state.get("phase") in CLOSED:
            continue
        unit = state.get("unit")
        active = unit is not None and tool("systemctl", "is-active", "--quiet", "--", unit)[0] == 0
        runs.append({"run": state["run"], "role": state["role"], "phase": state["phase"], "unit": unit, "unit_active": active})
    return runs


def target_state(_asked: dict[str, Any], _seen: dict[str, Any]) -> dict[str, Any]:
    """Return the state; the fingerprint of a tree that is too large to be read within ten seconds is None."""
    retired = (_read("retired.json") or {"retired": []})["retired"]
    change, lease = _read("last-change.json"), _read("lease.json")
    until = time.monotonic() + _FINGERPRINTS_WITHIN
    # The smallest first, so that one that is too large takes no other's time.
    judged = {entry["path"]: _retired(entry, until) for entry in sorted(retired, key=lambda entry: int(entry["entries"]))}
    return {
        "retired": [judged[entry["path"]] for entry in retired],
        "last_change": change and {key: change[key] for key in ("run", "boot_id", "at")},
        "runs": _open_runs(),
        "lease": lease and {key: lease[key] for key in ("token", "holder", "run", "taken_at", "expires_at")},
    }
