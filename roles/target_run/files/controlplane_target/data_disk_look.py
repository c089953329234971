"""Tell what speaks against putting a filesystem on a disk that a policy names, and what of it is lacking. Reads only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from . import data_disk_judge as judge
from . import data_disk_probe as probe
from . import data_disk_view as view
from . import fstab_lines
from .faults import FailedFault, RefusedFault


def look(want: dict[str, Any]) -> dict[str, Any]:
    """Return {objections, mountpoint}, and where nothing speaks against the change {lacking, disk, mounted} too.

    All that speaks against it is told at once, and is for the caller to refuse. Raises `RefusedFault` for what can't be seen.
    """
    try:
        found = seen(want)
    except (probe.ProbeError, FailedFault, OSError, ValueError) as fault:
        raise RefusedFault(
            f"{want['identity']['kind']} {want['identity']['value']}: {fault}. This task only looks; nothing was changed by it."
        ) from fault
    answer = {"objections": judge.objections(want, found), "mountpoint": found["mountpoint"]}
    if not answer["objections"]:
        answer.update(lacking=judge.lacking(want, found), disk=found["candidates"][0], mounted=judge.is_mounted(found))
    return answer


def seen(want: dict[str, Any]) -> dict[str, Any]:
    """Return what the judgement needs: candidates, twins and mountpoint. Raises `ProbeError`, `FailedFault`, OSError."""
    known = probe.devices()
    found = [_described(one, known, f"{want['filesystem']} {want['uuid']}") for one in probe.candidates(want["identity"], known)]
    numbers = {one["number"] for one in found}
    twins = [
        one["node"]
        for one in known.values()
        if one["number"] not in numbers and one["node_ok"] and one["size"] and probe.signature(one["node"]).get("UUID") == want["uuid"]
    ]
    mountpoint = view.look(want["mount"])
    if mountpoint["mounted"]:
        mountpoint["missing_options"] = view.missing_options(want["options"], mountpoint["mounted"]["options"])
    return {"candidates": found, "twins": twins, "mountpoint": mountpoint, "lost": _lost(want["mount"], known)}


def _lost(mount: str, known: dict[str, dict[str, Any]], table: Path = Path("/etc/fstab")) -> list[str]:
    """Return the filesystems that fstab names for that mountpoint by a UUID, and that no device here carries."""
    lines = table.read_text("utf-8", "surrogateescape").splitlines() if table.exists() else []
    entries = [entry for entry in map(fstab_lines.parse, lines) if entry is not None]
    named = [entry["spec"] for entry in entries if os.path.normpath(entry["file"]) == mount and entry["spec"].startswith("UUID=")]
    if not named:
        return []
    here = {f"UUID={probe.signature(one['node']).get('UUID')}" for one in known.values() if one["node_ok"] and one["size"]}
    return [spec for spec in named if spec not in here]


def _described(one: dict[str, Any], known: dict[str, dict[str, Any]], planned: str) -> dict[str, Any]:
    """Return all that is decided on about one candidate."""
    answer = {
        "node": one["node"],
        "node_ok": one["node_ok"],
        "number": one["number"],
        "size": one["size"],
        "read_only": one["read_only"],
        "carries_root": probe.carries_root(one["number"], known),
        "signatures": [],
        "ours": False,
        "unfinished": False,
        "held": "",
        **probe.users(one, known),
    }
    if one["node_ok"] and one["size"]:
        marks, answer["signatures"] = probe.signatures(one["node"])
        if answer["signatures"] == [planned]:
            answer["unfinished"] = marks.get("LABEL") == probe.UNFINISHED
            answer["ours"] = not answer["unfinished"]
        if not answer["mounts"]:
            answer["held"] = probe.held(one["node"], one["number"])
    return answer
