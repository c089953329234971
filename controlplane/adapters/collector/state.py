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
CLOSED = ("done", "undone", "reverted", "rolled-back", "given-up")
# A move of a root that only copied, or went back: no service lived on what lies at its destination.
_COPYING = ("precopying", "precopied", "staging", "reverted")
# On its way up or down a unit works as well: the move of a root goes back to one side while it is told to stop.
_WORKING = ("active", "activating", "deactivating", "reloading")
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


def _left(aside: str, until: float) -> tuple[int | None, int | None]:
    """Return entries and bytes, None where they were not read in time, or go away just now."""
    try:
        _, entries, size = fingerprint_tree(aside, until)
    except (TooLateError, OSError):
        return None, None
    return entries, size


def _purging(entry: dict[str, Any], claims: list[dict[str, Any]], until: float) -> dict[str, Any] | None:
    """Return what lies under the name by which a purge removes the path, and the purge whose journal knows it for this very tree.

    What is emptied in its place has its own name still: that its removal was begun only a journal tells.
    """
    path, aside = entry["path"], _aside_of(entry["path"])
    place = aside if os.path.lexists(aside) else path
    try:
        inode = os.lstat(place).st_ino
    except (FileNotFoundError, NotADirectoryError):
        return None
    same = ("path", "run", "recorded")
    own = [claim for claim in claims if claim["inode"] == inode and all(claim[key] == entry[key] for key in same)]
    runs = [claim["by"] for claim in own if place == aside or claim.get("in_place")]
    if place == path and not runs:
        return None
    entries, size = _left(place, until)
    return {"aside": place, "run": runs[-1] if runs else None, "entries": entries, "size": size}


def _aside_of(path: str) -> str:
    return os.path.join(os.path.dirname(path), ".controlplane-purging-" + os.path.basename(path))


def _base(entry: dict[str, Any], journals: list[dict[str, Any]]) -> str | None:
    """Return the directory that a container mounted, of which the path was a part or the whole; None where no journal tells one."""
    moved = [path.get("source") or {} for state in journals if state.get("run") == entry["run"] for path in state.get("paths") or []]
    return next((source["base"] for source in moved if source.get("kind") == "bind" and source["path"] == entry["path"]), None)


def _retired(entry: dict[str, Any], claims: list[dict[str, Any]], journals: list[dict[str, Any]], until: float) -> dict[str, Any]:
    path = entry["path"]
    purging = _purging(entry, claims, until)
    # Half emptied it is no more what was retired, though it has its name.
    exists = os.path.lexists(path) and (purging is None or purging["aside"] != path)
    fingerprint = unreadable = None
    if exists:
        try:
            fingerprint = fingerprint_tree(path, until)[0]
        except TooLateError:
            fingerprint = None
        except OSError as error:
            unreadable = str(error)
    kept = {key: entry[key] for key in ("path", "run", "retired_at", "size", "entries", "recorded", "replaced_by")}
    lay = {"volume": entry.get("volume") or None, "base": _base(entry, journals)}
    return {**kept, **lay, "exists": exists, "fingerprint": fingerprint, "unreadable": unreadable, "purging": purging}


def _works(unit: str) -> bool:
    _, out, err = tool("systemctl", "is-active", "--", unit)
    if not out.strip():
        raise ProbeError(f"systemctl does not say whether {unit} works: {err.strip()}")
    return out.strip() in _WORKING


def _journals() -> list[dict[str, Any]]:
    try:
        names = sorted(os.listdir(BASE))
    except FileNotFoundError:
        return []
    return [state for state in (_read(f"{name}/state.json") for name in names) if state is not None]


def _copies(journal: dict[str, Any]) -> list[str]:
    # What carried newer data back came from the copy.
    side = "from" if journal.get("leg") == "carry" else "to"
    return [tree[side] for tree in journal.get("trees") or []] if journal.get("phase") in _COPYING else []


def _open_run(state: dict[str, Any]) -> dict[str, Any]:
    unit = state.get("unit") or state.get("package_unit")
    active = unit is not None and _works(unit)
    needs = sorted({tree[side] for tree in state.get("trees") or [] for side in ("from", "to")})
    return {"run": state["run"], "role": state["role"], "phase": state["phase"], "unit": unit, "unit_active": active, "needs": needs}


def target_state(_asked: dict[str, Any], _seen: dict[str, Any]) -> dict[str, Any]:
    """Return the state; the fingerprint of a tree that is too large to be read within ten seconds is None."""
    retired = (_read("retired.json") or {"retired": []})["retired"]
    change, lease, every = _read("last-change.json"), _read("lease.json"), _journals()
    journals = [state for state in every if state.get("phase") not in CLOSED]
    claims = [{**claim, "by": state["run"]} for state in journals for claim in state.get("purging", [])]
    known = {entry["path"] for entry in retired}
    # A path that is no longer on record, because it is live again or for whatever other reason, may still have its remains beside it.
    retired += {claim["path"]: claim for claim in claims if claim["path"] not in known and os.path.lexists(_aside_of(claim["path"]))}.values()
    until = time.monotonic() + _FINGERPRINTS_WITHIN
    # The smallest first, so that one that is too large takes no other's time.
    judged = {entry["path"]: _retired(entry, claims, every, until) for entry in sorted(retired, key=lambda entry: int(entry["entries"]))}
    return {
        "retired": [judged[entry["path"]] for entry in retired],
        "copies": sorted({path for state in every for path in _copies(state)}),
        "last_change": change and {key: change[key] for key in ("run", "boot_id", "at")},
        "runs": [_open_run(state) for state in journals],
        "lease": lease and {key: lease[key] for key in ("token", "holder", "run", "taken_at", "expires_at")},
    }
