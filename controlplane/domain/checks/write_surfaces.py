"""D238: temp files, upload paths and writable layers don't grow on the boot disk unseen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial

from controlplane.domain.amounts import show_age, show_bytes
from controlplane.domain.checks.case import Answer, Case, Check, Named, Question, all_or, drifted, met, unknown
from controlplane.domain.checks.landing import Landing, land
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Unobserved
from controlplane.domain.evidence_shapes.disks import PathPlace
from controlplane.domain.evidence_shapes.surfaces import LargeFile
from controlplane.domain.services import WriteSurface

# The collector lists files from this size on.
SMALLEST_LISTED = 1_000_000


def _questions(desired: DesiredHost, general: bool) -> Iterator[Question]:  # noqa: ARG001 - one signature for all checks
    """Judge `write_surface:CONTAINER:PATH`, `tmp:PATH` and `writable_layer:CONTAINER`.

    Description: declared upload and temp paths are bound to their governed place, with its owner, mode and size; no file in
    /tmp and no writable layer is larger than its limit.
    Drift: a surface that isn't bound to its place, or whose container isn't there (medium); a place of another owner or mode, or larger than declared
    (medium); a larger file or layer (medium).
    Unknown: the containers, /tmp, or the size of a layer or of a limited place could not be observed.
    Rationale: what containers write outside their volumes is nobody's data, so nobody cleans it up.
    """
    for surface in desired.write_surfaces:
        yield Question(f"write_surface:{surface.container}:{surface.path}", partial(_surface, surface=surface))
    yield Question("tmp:*", _tmp)
    yield Question("writable_layer:*", _layers)


def _surface(case: Case, *, surface: WriteSurface) -> Answer:
    container = case.containers.get(surface.container)
    if container is None:
        return drifted("Docker is not installed" if case.without_docker else f"there is no container {surface.container}")
    landing = land(case, container, surface.path)
    if landing.mount is None:
        return drifted(f"{surface.path} lies in {'memory' if landing.place.kind == 'memory' else 'the writable layer'}, declared is {surface.place}")
    wanted = case.reader.paths.get(surface.place)
    if wanted is None:
        raise Unobserved(f"{surface.place} was not looked at")
    if not is_bound(case, landing, surface, wanted):
        return drifted(f"{surface.path} lies in {landing.host_path or landing.place.source}, declared is {surface.place}")
    faults = [*ungoverned(surface, wanted), *_oversized(case, surface)]
    return drifted("; ".join(faults)) if faults else met(f"{surface.path} is bound to {surface.place}")


def is_bound(case: Case, landing: Landing, surface: WriteSurface, wanted: PathPlace) -> bool:
    """Say whether a surface lands at its place, by whatever name."""
    if landing.mount is None:
        return False
    actual = case.reader.paths.get(landing.host_path or "")
    return landing.host_path == surface.place or (actual is not None and wanted["exists"] and actual["real"] == wanted["real"])


def ungoverned(surface: WriteSurface, place: PathPlace) -> list[str]:
    """Return what of the place's own owner and mode is not as declared. Raises `Unobserved`."""
    if place["uid"] is None or place["gid"] is None or place["mode"] is None:
        raise Unobserved(f"owner and mode of {surface.place} could not be read")
    owner, mode = f"{place['uid']}:{place['gid']}", f"{place['mode'] & 0o7777:04o}"
    found = [f"{surface.place} belongs to {owner}, declared is {surface.owner}"] if surface.owner not in (None, owner) else []
    return found + ([f"{surface.place} has mode {mode}, declared is {surface.mode}"] if surface.mode not in (None, mode) else [])


def _oversized(case: Case, surface: WriteSurface) -> list[str]:
    if surface.max_size is None:
        return []
    size = case.reader.surfaces["sizes"].get(surface.place)
    if size is None:
        raise Unobserved(f"the size of {surface.place} was not measured in time")
    return [f"{surface.place} has {show_bytes(size)}, limit {show_bytes(surface.max_size)}"] if size > surface.max_size else []


def _tmp(case: Case) -> Sequence[Named]:
    limit = case.desired.thresholds.tmp_file
    if limit < SMALLEST_LISTED:
        raise Unobserved(f"files are listed from {show_bytes(SMALLEST_LISTED)} on, the limit is {show_bytes(limit)}")
    seen = case.reader.tmp
    found = [
        Named(f"tmp:{file['path']}", drifted(f"{show_bytes(file['size'])}, limit {show_bytes(limit)}{_whose(case, file)}"))
        for file in seen["files"]
        if file["size"] > limit
    ]
    if seen["truncated"] and len(found) == len(seen["files"]):
        found.append(Named("tmp:*", drifted(f"there are more files over {show_bytes(limit)} than the {len(found)} that are listed")))
    return all_or("tmp:*", found, f"no file in /tmp or /var/tmp is over {show_bytes(limit)}")


def _whose(case: Case, file: LargeFile) -> str:
    """Return owner and age of a file, empty where older evidence does not tell."""
    owner, mtime = file.get("owner"), file.get("mtime")
    if owner is None or mtime is None:
        return ""
    return f"; of user {owner}, last written {show_age(case.taken - datetime.fromtimestamp(mtime, UTC))} ago"


def _layers(case: Case) -> Sequence[Named]:
    limit = case.desired.thresholds.writable_layer
    found = []
    for name, container in case.containers.items():
        written = container["writable_bytes"]
        if written is None or written < 0:
            found.append(Named(f"writable_layer:{name}", unknown("Docker did not tell the size of its writable layer")))
        elif written > limit:
            found.append(Named(f"writable_layer:{name}", drifted(f"its writable layer has {show_bytes(written)}, limit {show_bytes(limit)}")))
    return all_or("writable_layer:*", found, f"no writable layer is over {show_bytes(limit)}")


CHECK = Check("D238", "write surfaces", "medium", _questions)
