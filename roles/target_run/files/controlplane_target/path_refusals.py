"""Everything that speaks against moving one container's paths, collected before anything is touched.

Rules:
- All reasons are collected, so that one visit mends them all.
- What others share, what is mounted within, and what leads elsewhere by a link is refused: a move of one service touches that service alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from . import mounts, root_refusals
from .docker_engine import Engine
from .faults import RefusedFault
from .mounts import is_at_or_below
from .path_request import Request
from .path_source import Source, source_of
from .root_request import Move
from .state import Home
from .tree_measure import is_empty


def of_the_container(inspection: dict[str, Any], request: Request) -> list[str]:
    """Return what of the container itself speaks against moving these of its paths."""
    state, found = inspection["State"], []
    if not state["Running"] or state.get("Restarting"):
        found.append(f"{request.container} does not run, and what is moved is proven by the service itself: start it")
    if state.get("Paused"):
        found.append(f"{request.container} is paused, and can't be stopped and started as it is: unpause it")
    if (state.get("Health") or {}).get("Status") == "unhealthy":
        found.append(
            f"{request.container} is unhealthy already, so nothing could say that a move went well: mend it first ('docker inspect' says why)"
        )
    if inspection["HostConfig"].get("AutoRemove"):
        found.append(f"{request.container} runs with --rm, and a stop would delete it with its anonymous volumes: run it without")
    mounted = [mount["Destination"] for mount in inspection["Mounts"]] + list(inspection["HostConfig"].get("Tmpfs") or {})
    for wanted in request.paths:
        below = sorted(at for at in mounted if at != wanted.data and is_at_or_below(at, wanted.data))
        if below:
            found.append(
                f"{', '.join(below)} is mounted below {wanted.data}, and a move of the one would leave the other: give it a place of its own first"
            )
    return found


def of_the_source(engine: Engine, source: Source, name: str) -> list[str]:
    """Return who else uses the data, and what is mounted within them."""
    found = [f"{where} also mounts {source.path}: its data would stay behind" for where in _others(engine, source, name)]
    if source.kind != "layer":
        found += [
            f"{mount.mount} is a {mount.fstype} mount below {source.path}: move it out first" for mount in mounts.below(source.path, mounts.read())
        ]
    return found


def of_the_links(path: str, data: str) -> list[str]:
    """Return the links of a PostgreSQL's own folders that lead out of its data: what lies there would be left, or lost with the container."""
    found = []
    for folder, names, files in os.walk(path):
        depth = os.path.relpath(folder, path).count("/") + (folder != path)
        for name in (*names, *files):
            here = os.path.join(folder, name)
            if os.path.islink(here) and os.path.basename(folder) != "pg_tblspc":
                target = os.path.normpath(os.path.join(data, os.path.relpath(folder, path), os.readlink(here)))
                found += [] if is_at_or_below(target, data) else [f"{os.path.relpath(here, path)} is a link to {target}, out of {data}"]
        # As deep as an image puts it: 18/docker/pg_wal.
        if depth >= 3:
            names.clear()
    return [f"{one}: give it a mount of its own, or move it in" for one in sorted(found)]


def _others(engine: Engine, source: Source, own: str) -> list[str]:
    found = []
    for held in engine.containers():
        name = str(held["Name"]).lstrip("/")
        if name == own or source.kind == "layer":
            continue
        for mount in held["Mounts"]:
            if mount["Type"] not in ("bind", "volume"):
                continue
            try:
                path = source_of(engine, {**held, "Mounts": [mount]}, mount["Destination"]).path
            except RefusedFault:
                continue
            path = os.path.realpath(path)
            # A folder above is somebody's view of the whole host, such as a backup's: only one that is written through counts.
            if is_at_or_below(path, source.path) or (is_at_or_below(source.path, path) and mount["RW"]):
                found.append(f"container {name}")
    return sorted(set(found))


def of_the_destination(home: Home, mount: str, place: str, names: list[str]) -> list[str]:
    """Return what lies at the place, or under it, that it must not; `mount` is where it has to lie, `names` are the source's own at its top."""
    table, nearest = mounts.read(), mounts.nearest_existing(place)
    if os.path.realpath(nearest) != nearest:
        return [f"{nearest} leads to {os.path.realpath(nearest)} by a symbolic link: name the real path"]
    held = mounts.mount_of(nearest, table)
    found = []
    if mount and held.mount != mount:
        found.append(f"{place} lies on {held.mount} ({held.source}), not on {mount}, which is not mounted")
    if held.fstype not in ("ext4", "xfs"):
        found.append(f"{held.mount} is {held.fstype}: only ext4 and xfs are known to keep owners, times, ACLs and flags as they are")
    if held.read_only or "ro" in held.options.split(","):
        found.append(f"{held.mount} is mounted read-only")
    if os.path.lexists(place) and not os.path.isdir(place):
        found.append(f"{place} exists and is no directory")
    elif not is_empty(place):
        reason = root_refusals.foreign(home, place, names)
        found += [reason] if reason else []
    return found + [f"{one.mount} is mounted below {place}" for one in mounts.below(place, table)]


def of_them_together(pairs: Sequence[tuple[str | None, str]]) -> list[str]:
    """Return what is wrong with all sources (None for what is not there yet) and places together, and with the room at the places."""
    sides = [side for pair in pairs for side in pair if side is not None]
    found = [
        f"{one} and {other} lie within each other: name a place beside it, or move them in plans of their own"
        for one, other in combinations(sides, 2)
        if is_at_or_below(one, other) or is_at_or_below(other, one)
    ]
    return found or root_refusals.of_the_space([Move("", source, place) for source, place in pairs if source is not None])
