"""What of Docker's store could be cleared, as the collector's store.py reports it. What Docker leaves out is a fault here, never nothing."""

from __future__ import annotations

import calendar
import glob
import os
import re
import time
from typing import Any, NamedTuple

from .docker_engine import Engine, field, rows, size
from .faults import FailedFault

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)")
_DF = "/system/df?type=image&type=build-cache"
_CALL = f"GET {_DF}"
# It counts what each image shares with each other one.
LIMIT_S = 300.0


class Usage(NamedTuple):
    """Docker's own account: bytes of all images together, each image as Docker tells of it, each record of the build cache as it is judged."""

    layers: int
    images: list[dict[str, Any]]
    cache: list[dict[str, Any]]


def usage(engine: Engine) -> Usage:
    """Return what images and build cache take. Raises `FailedFault` where Docker does not say it of one of them; OSError where nobody answers."""
    said = engine.get(_DF, timeout=LIMIT_S)
    images = rows(said, "Images", dict, _CALL)
    # Docker 29 leaves the size out where there is no image; one that leaves out the images says nothing of either.
    layers = 0 if "LayersSize" not in said and said["Images"] == [] else size(said, "LayersSize", _CALL)
    return Usage(layers, images, [_record(record) for record in rows(said, "BuildCache", dict, _CALL)])


def look(engine: Engine, *, logs_only: bool = False) -> dict[str, Any]:
    """Return {images, cache, logs}. Raises `FailedFault`; OSError where nobody answers."""
    used: dict[str, int] = {}
    logs = []
    for container in engine.containers():
        image = field(container, "Image", str, "GET /containers/{id}/json")
        used[image] = used.get(image, 0) + 1
        if (log := _log(container)) is not None:
            logs.append(log)
    if logs_only:
        return {"images": [], "cache": [], "logs": logs}
    said = usage(engine)
    images = (_image(engine, image, used) for image in said.images)
    return {"images": [image for image in images if image is not None], "cache": said.cache, "logs": logs}


def _epoch(said: dict[str, Any], key: str, call: str) -> int | None:
    """Return a time as epoch seconds, None for none and for Docker's zero time. Raises `FailedFault`: what has no time goes first."""
    if key in said and said[key] is None:
        return None
    text = field(said, key, str, call)
    found = _TIME.match(text)
    if not found:
        raise FailedFault(f"Docker's answer to {call} has {text!r:.60} as {key!r}, which is no time: look at 'docker version', then run this again")
    return None if found[1].startswith("0001-") else calendar.timegm(time.strptime(found[1], "%Y-%m-%dT%H:%M:%S"))


def _image(engine: Engine, image: dict[str, Any], used: dict[str, int]) -> dict[str, Any] | None:
    """Return what is judged of an image, None where it is gone since it was listed."""
    name = field(image, "Id", str, _CALL)
    if not name.startswith("sha256:"):
        raise FailedFault(
            f"Docker's answer to {_CALL} names image {name!r:.80} otherwise than by its digest: look at 'docker version', then run this again"
        )
    status, answer = engine.call("GET", f"/images/{name}/json")
    if status == 404:
        return None
    call = f"GET /images/{name}/json"
    if status != 200:
        raise FailedFault(f"Docker answered {status} to {call}: {(answer or {}).get('message', 'no message')}. Look at its log, then run this again")
    # Where Docker does not say when it was tagged, the image's own age counts.
    metadata = {"LastTagTime": None, **field(answer, "Metadata", dict, call)}
    # Both are -1 where Docker can't tell.
    taken, shared = field(image, "Size", int, _CALL), field({"SharedSize": -1, **image}, "SharedSize", int, _CALL)
    return {
        "id": name,
        "tags": sorted(tag for tag in rows(image, "RepoTags", str, _CALL) if tag != "<none>:<none>"),
        "digests": sorted(digest for digest in rows(image, "RepoDigests", str, _CALL) if not digest.startswith("<none>")),
        "created": field(image, "Created", int, _CALL),
        "last_tagged": _epoch(metadata, "LastTagTime", call),
        "size": taken,
        "unique": taken - shared if taken >= 0 and shared >= 0 else None,
        "containers": used.get(name, 0),
    }


def _record(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": field(record, "ID", str, _CALL),
        "size": size(record, "Size", _CALL),
        "last_used": _epoch(record, "LastUsedAt", _CALL),
        "in_use": field(record, "InUse", bool, _CALL),
        "shared": field(record, "Shared", bool, _CALL),
        "parents": _parents(record),
        "what": str(record.get("Type") or ""),
    }


def _parents(record: dict[str, Any]) -> list[str]:
    # Left out where there is none. From API 1.42 on Docker writes the key with a blank before it; before that there was only one.
    for key in ("Parents", " Parents"):
        if key in record:
            return sorted(rows(record, key, str, _CALL))
    parent = field({"Parent": "", **record}, "Parent", str, _CALL)
    return [parent] if parent else []


def _log(one: dict[str, Any]) -> dict[str, Any] | None:
    call = "GET /containers/{id}/json"
    options = field(field(one, "HostConfig", dict, call), "LogConfig", dict, call)
    path = field(one, "LogPath", str, call)
    if field(options, "Type", str, call) != "json-file" or not path:
        return None
    files = [os.stat(file) for file in [path, *glob.glob(f"{glob.escape(path)}.*")] if os.path.isfile(file)]
    # Null where it has no options. Left out it would seem to have no limit of its own, and be cut.
    limits = {} if "Config" in options and options["Config"] is None else field(options, "Config", dict, call)
    return {
        "id": field(one, "Id", str, call),
        "container": field(one, "Name", str, call).lstrip("/"),
        "path": path,
        "size": sum(file.st_size for file in files),
        "written": max((int(file.st_mtime) for file in files), default=None),
        "rotates": "max-size" in limits,
    }
