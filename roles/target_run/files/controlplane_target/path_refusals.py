"""Everything that speaks against moving one container's data, collected before anything is touched.

Rules:
- All reasons are collected, so that one visit mends them all.
- What others share, what is mounted within, and what leads elsewhere by a link is refused: a move of one service touches that service alone.
"""

from __future__ import annotations

import os
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
    """Return what of the container itself speaks against it."""
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
    below = sorted(
        mount["Destination"]
        for mount in inspection["Mounts"]
        if mount["Destination"] != request.data and is_at_or_below(mount["Destination"], request.data)
    )
    below += sorted(at for at in inspection["HostConfig"].get("Tmpfs") or {} if at != request.data and is_at_or_below(at, request.data))
    if below:
        found.append(
            f"{', '.join(below)} is mounted below {request.data}, and a move of the one would leave the other: give it a place of its own first"
        )
    return found


def of_the_source(engine: Engine, source: Source, request: Request) -> list[str]:
    """Return who else uses the data, and what is mounted within them."""
    found = [f"{where} also mounts {source.path}: its data would stay behind" for where in _others(engine, source, request)]
    if source.kind != "layer":
        found += [
            f"{mount.mount} is a {mount.fstype} mount below {source.path}: move it out first" for mount in mounts.below(source.path, mounts.read())
        ]
    return found


def of_the_links(path: str, request: Request) -> list[str]:
    """Return the links of a PostgreSQL's own folders that lead out of its data: what lies there would be left, or lost with the container."""
    found = []
    for folder, names, files in os.walk(path):
        depth = os.path.relpath(folder, path).count("/") + (folder != path)
        for name in (*names, *files):
            here = os.path.join(folder, name)
            if os.path.islink(here) and os.path.basename(folder) != "pg_tblspc":
                target = os.path.normpath(os.path.join(request.data, os.path.relpath(folder, path), os.readlink(here)))
                found += (
                    [] if is_at_or_below(target, request.data) else [f"{os.path.relpath(here, path)} is a link to {target}, out of {request.data}"]
                )
        # As deep as an image puts it: 18/docker/pg_wal.
        if depth >= 3:
            names.clear()
    return [f"{one}: give it a mount of its own, or move it in" for one in sorted(found)]


def _others(engine: Engine, source: Source, request: Request) -> list[str]:
    found = []
    for held in engine.containers():
        name = str(held["Name"]).lstrip("/")
        if name == request.container or source.kind == "layer":
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


def of_the_destination(home: Home, request: Request, place: str, names: list[str]) -> list[str]:
    """Return what lies at the place, or under it, that it must not; `names` are the source's own at its top."""
    table, nearest = mounts.read(), mounts.nearest_existing(place)
    if os.path.realpath(nearest) != nearest:
        return [f"{nearest} leads to {os.path.realpath(nearest)} by a symbolic link: name the real path"]
    held = mounts.mount_of(nearest, table)
    found = []
    if request.mount and held.mount != request.mount:
        found.append(f"{place} lies on {held.mount} ({held.source}), not on {request.mount}, which is not mounted")
    if held.fstype not in ("ext4", "xfs"):
        found.append(f"{held.mount} is {held.fstype}: only ext4 and xfs are known to keep owners, times, ACLs and flags as they are")
    if held.read_only or "ro" in held.options.split(","):
        found.append(f"{held.mount} is mounted read-only")
    if os.path.lexists(place) and not os.path.isdir(place):
        found.append(f"{place} exists and is no directory")
    elif not is_empty(place):
        reason = root_refusals.foreign(home, place, names)
        found += [reason] if reason else []
    return found + [f"{mount.mount} is mounted below {place}" for mount in mounts.below(place, table)]


def of_the_two(source: str, place: str) -> list[str]:
    """Return what is wrong with the two places together, and with the room at the second."""
    if is_at_or_below(source, place) or is_at_or_below(place, source):
        return [f"{source} and {place} lie within each other: name a place beside it"]
    return root_refusals.of_the_space([Move("", source, place)])
