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

FSTAB = Path("/etc/fstab")


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
    # Each is asked once: a host may have many.
    marks = {one["number"]: probe.signature(one["node"]) for one in known.values() if one["node_ok"] and one["size"]}
    twins = [known[number]["node"] for number, mark in marks.items() if number not in numbers and mark.get("UUID") == want["uuid"]]
    mountpoint = view.look(want["mount"])
    if mountpoint["mounted"]:
        mountpoint["missing_options"] = view.missing_options(want["options"], mountpoint["mounted"]["options"])
    return {"candidates": found, "twins": twins, "mountpoint": mountpoint, "lost": _lost(want["mount"], list(marks.values()))}


def _lost(mount: str, marks: list[dict[str, str]]) -> list[str]:
    """Return what fstab names for that mountpoint, and no filesystem here is known to be."""
    here = {f"{name}={mark[name]}" for mark in marks for name in ("UUID", "LABEL") if name in mark}
    lines = FSTAB.read_text("utf-8", "surrogateescape").splitlines() if FSTAB.exists() else []
    entries = [entry for entry in map(fstab_lines.parse, lines) if entry is not None]
    named = [entry["spec"].replace('"', "") for entry in entries if os.path.normpath(entry["file"]) == mount]
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
        "damage": "",
        **probe.users(one, known),
    }
    if one["node_ok"] and one["size"]:
        marks, answer["signatures"] = probe.signatures(one["node"])
        if answer["signatures"] == [planned]:
            answer["unfinished"] = marks.get("LABEL") == probe.UNFINISHED
            answer["ours"] = not answer["unfinished"]
        if not answer["mounts"]:
            answer["held"] = probe.held(one["node"], one["number"])
        if answer["ours"] and not answer["mounts"] and not answer["held"]:
            answer["damage"] = probe.damage(one["node"], planned.partition(" ")[0])
    return answer
