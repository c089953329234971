"""What speaks against removing what earlier runs retired, asked of all items of a plan before anything of them is touched.

Rules:
- Fingerprints are compared last and without a limit of time, and only where nothing else speaks against any of the items.
- Who reaches a tree through a container's mounts is purge_reach.py's, who has it open purge_users.py's.
- What lies in another retired tree goes with that one, and never without it: the other would no longer be what was retired.
- Of what was begun age and fingerprint were held before; that it is that very tree, and unused, is held again.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from . import begun, mounts, purge_reach, purge_users
from .docker_engine import Engine
from .faults import FailedFault
from .fingerprint import fingerprint_tree
from .phases import TERMINAL
from .state import Home, epoch, utc


class Terms(NamedTuple):
    """What a removal has to respect: the roots that are live now, for how many seconds what was retired is kept, and the time now (epoch seconds).

    `engine` is asked about volumes and containers.
    """

    live_roots: list[str]
    retention_s: int
    now: float
    engine: Engine | None = None


class Look(NamedTuple):
    """One look at all items of a plan: what is on record, the paths that the plan names, and what Docker says."""

    home: Home
    records: dict[str, dict[str, Any]]
    named: set[str]
    terms: Terms
    docker: purge_reach.Docker | None


def look_at(home: Home, items: list[dict[str, Any]], terms: Terms) -> Look:
    """Return the look at these items; Docker is asked by what needs it."""
    records = {str(held["path"]): held for held in home.retired()}
    return Look(home, records, {str(item["path"]) for item in items}, terms, purge_reach.Docker(terms.engine) if terms.engine else None)


def reasons(home: Home, items: list[dict[str, Any]], terms: Terms) -> list[str]:
    """Return one sentence for each thing that speaks against removing these items; an item that is gone already speaks against nothing."""
    look = look_at(home, items, terms)
    try:
        found = [reason for item in items for reason in _reasons(look, item)]
        if not found:
            # Last, because a large tree takes minutes.
            found = [reason for item in items if _is_whole(look, item) for reason in _changed(str(item["path"]), str(item["recorded"]))]
    except OSError as fault:
        return [f"what is there can't be read: {fault}"]
    except FailedFault as fault:
        return [str(fault).rstrip(".")]
    return found


def _is_whole(look: Look, item: dict[str, Any]) -> bool:
    """Say whether an item's tree is on record, there, and no purge has begun to empty it."""
    path = str(item["path"])
    return path in look.records and os.path.lexists(path) and begun.in_place(look.home, item) is None


def _reasons(look: Look, item: dict[str, Any]) -> list[str]:
    path = str(item["path"])
    insane = _insane(path)
    if insane:
        return [insane]
    if os.path.lexists(begun.aside_of(path)):
        return _of_what_was_put_aside(look, item)
    record = look.records.get(path)
    if record is None:
        is_ours = not os.path.lexists(path) or begun.was_ended(look.home, item)
        return [] if is_ours else [f"{path} is not recorded as retired on this host"]
    if record["run"] != item["run"] or record["recorded"] != item["recorded"]:
        return [
            f"{path} was retired by {record['run']} with {record['recorded']}, the plan names {item['run']} with {item['recorded']}: make a new plan"
        ]
    return [*_of_record(look, record), *_needed(look.home, path)]


def _of_what_was_put_aside(look: Look, item: dict[str, Any]) -> list[str]:
    path, aside = str(item["path"]), begun.aside_of(str(item["path"]))
    if os.path.lexists(path):
        return [f"{aside} is in the way, with {path} there as well: look at both, and move the former away or remove it yourself"]
    roots = look.terms.live_roots if volume_of(look.home, item) is None else []
    return [*begun.doubts(look.home, item), *_in_use(aside, roots), *_needed(look.home, path)]


def _of_record(look: Look, record: dict[str, Any]) -> list[str]:
    path = str(record["path"])
    if begun.in_place(look.home, record):
        return [*begun.doubts_in_place(look.home, record), *_used(look, record)]
    young = _too_young(record, look.terms)
    above = [held for held in look.records.values() if held["path"] != path and mounts.is_at_or_below(path, held["path"])]
    if not above:
        return [*young, *_used(look, record), *_held_within(look, path)]
    # Whatever else speaks against it speaks against what it lies in.
    if any(held["path"] in look.named for held in above):
        return young
    return [*young, f"{path} lies in {above[0]['path']}, which {above[0]['run']} retired as well, and goes with that one alone: make a new plan"]


def _held_within(look: Look, path: str) -> list[str]:
    """Return what was retired within a tree, is not to go by this plan, and is too young to go with it."""
    within = [held for held in look.records.values() if held["path"] not in look.named and mounts.is_at_or_below(held["path"], path)]
    return [f"{path} holds what {held['run']} retired: {reason}" for held in within for reason in _too_young(held, look.terms)]


def _used(look: Look, record: dict[str, Any]) -> list[str]:
    """Return who uses a tree that is on record, or could: live roots, containers that reach it, processes that have it open, mounts."""
    path, volume = str(record["path"]), str(record.get("volume") or "")
    if look.docker is None:
        return [
            *([f"volume {volume} is there, and Docker was not asked about it"] if volume else []),
            *_in_use(path, [] if volume else look.terms.live_roots),
        ]
    places = look.docker.places(volume) if volume else []
    # A volume lies within Docker's live root, and Docker says whether it is in use. One that lies elsewhere by now is not what this was a part of.
    is_plain = not volume or bool(places and purge_reach.base_of(path, places) is None)
    return [*look.docker.reach(lain(look, record)).told, *_in_use(path, look.terms.live_roots if is_plain else [])]


def lain(look: Look, record: dict[str, Any]) -> purge_reach.Lain:
    """Return what a tree that is on record was a part of."""
    path, volume = str(record["path"]), str(record.get("volume") or "")
    base = purge_reach.base_of(path, look.docker.places(volume)) if look.docker and volume else None
    if base is not None:
        return purge_reach.Lain(path, volume, base)
    moved = [one.get("source") or {} for one in look.home.run(str(record["run"])).state.get("paths") or []]
    bases = (str(source["base"]) for source in moved if source.get("kind") == "bind" and source["path"] == path)
    return purge_reach.Lain(path, "", next(bases, None))


def volume_of(home: Home, item: dict[str, Any]) -> str | None:
    """Return the volume whose data an item is, or a part of them, by the records or by a removal that was begun."""
    held = [*home.retired(), *(claim for run in home.runs() for claim in run.state.get("purging", []))]
    return next((str(one["volume"]) for one in held if one["path"] == item["path"] and one["run"] == item["run"] and one.get("volume")), None)


def _insane(path: str) -> str | None:
    if not path.startswith("/") or os.path.normpath(path) != path or path.count("/") < 2 or any(ord(letter) < 32 for letter in path):
        return f"{path!r} is no absolute, normalised path below a directory"
    if os.path.realpath(os.path.dirname(path)) != os.path.dirname(path):
        return f"{os.path.dirname(path)} leads elsewhere by a symbolic link"
    return None


def _too_young(record: dict[str, Any], terms: Terms) -> list[str]:
    path, at = record["path"], record["retired_at"]
    if not os.path.lexists(path):
        return []
    try:
        until = epoch(str(at)) + terms.retention_s
    except ValueError:
        return [f"{path} has no readable date of retirement on this host ({at})"]
    if terms.now < until:
        return [f"{path} was retired at {at} and is kept until {utc(until)}; by this host's clock it is {utc(terms.now)}"]
    return []


def _in_use(path: str, live_roots: list[str]) -> list[str]:
    # What a run kept of a container's layer may lie on the root's own filesystem, beside what Docker has there.
    for root in [] if "/.controlplane-retired/" in path else live_roots:
        if mounts.is_at_or_below(root, path) or mounts.is_at_or_below(path, root):
            return [f"{path} is, holds or lies in the live root {root}"]
    if not os.path.lexists(path):
        return []
    if os.path.islink(path):
        return [f"{path} is a symbolic link, not the tree that was retired"]
    table = mounts.read()
    if any(mount.mount == path for mount in table) or mounts.below(path, table):
        return [f"{path} is a mountpoint or holds one"]
    return [f"{path} is in use: {user}" for user in purge_users.look(path).told[:5]]


def _needed(home: Home, path: str) -> list[str]:
    return [
        f"run {run.key} is open and needs {path}"
        for run in home.runs()
        if run.phase not in TERMINAL and any(path in (tree["from"], tree["to"]) for tree in run.state.get("trees") or [])
    ]


def _changed(path: str, recorded: str) -> list[str]:
    now, _, _ = fingerprint_tree(path)
    if now == recorded:
        return []
    return [f"{path} changed since it was retired ({recorded} then, {now} now): someone wrote there. Look at what is newer, then make a new plan"]
