"""What earlier runs left under /var/lib/controlplane: retired paths, the last storage change, open runs, the lease."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from .fingerprint import fingerprint_tree
from .supervise import ProbeError
from .tools import slurp, tool

BASE = "/var/lib/controlplane"
# What the journals of roles end with; a move that went back by itself says `reverted`.
CLOSED = ("done", "undone", "reverted", "rolled-back")
# On its way up or down a unit works as well: the move of a root goes back to one side while it is told to stop.
_WORKING = ("active", "activating", "deactivating", "reloading")
_FINGERPRINTS_WITHIN = 10


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


def _late(_number: int, _frame: object) -> None:
    raise TimeoutError


def _retired(entry: dict[str, Any]) -> dict[str, Any]:
    path = entry["path"]
    exists = os.path.lexists(path)
    fingerprint = None
    if exists:
        try:
            fingerprint = fingerprint_tree(path)[0]
        except OSError:  # also TimeoutError: not known is None, and None is never equal to what was recorded
            fingerprint = None
    kept = {key: entry[key] for key in ("path", "run", "retired_at", "size", "entries", "recorded", "replaced_by")}
    return {**kept, "exists": exists, "fingerprint": fingerprint}


def _works(unit: str) -> bool:
    _, out, err = tool("systemctl", "is-active", "--", unit)
    if not out.strip():
        raise ProbeError(f"systemctl does not say whether {unit} works: {err.strip()}")
    return out.strip() in _WORKING


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
        active = unit is not None and _works(unit)
        runs.append({"run": state["run"], "role": state["role"], "phase": state["phase"], "unit": unit, "unit_active": active})
    return runs


def target_state(_asked: dict[str, Any], _seen: dict[str, Any]) -> dict[str, Any]:
    """Return the state; fingerprints that take longer than ten seconds together are None."""
    retired = (_read("retired.json") or {"retired": []})["retired"]
    change, lease = _read("last-change.json"), _read("lease.json")
    signal.signal(signal.SIGALRM, _late)
    signal.setitimer(signal.ITIMER_REAL, _FINGERPRINTS_WITHIN, 0.01)
    try:
        judged = [_retired(entry) for entry in retired]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return {
        "retired": judged,
        "last_change": change and {key: change[key] for key in ("run", "boot_id", "at")},
        "runs": _open_runs(),
        "lease": lease and {key: lease[key] for key in ("token", "holder", "run", "taken_at", "expires_at")},
    }
