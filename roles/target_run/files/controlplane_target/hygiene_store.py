"""What of Docker's store could be cleared, as the collector's store.py reports it."""

from __future__ import annotations

import calendar
import glob
import os
import re
import time
from typing import Any

from .docker_engine import Engine

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)")


def look(engine: Engine, *, logs_only: bool = False) -> dict[str, Any]:
    """Return {images, cache, logs}."""
    used: dict[str, int] = {}
    logs = []
    for container in engine.containers():
        used[container["Image"]] = used.get(container["Image"], 0) + 1
        if (log := _log(container)) is not None:
            logs.append(log)
    if logs_only:
        return {"images": [], "cache": [], "logs": logs}
    said = engine.get("/system/df?type=image&type=build-cache", timeout=300)
    return {
        "images": [_image(engine, image, used) for image in said.get("Images") or []],
        "cache": [_record(record) for record in said.get("BuildCache") or []],
        "logs": logs,
    }


def _epoch(text: Any) -> int | None:
    found = _TIME.match(str(text or ""))
    if not found or found[1].startswith("0001-"):
        return None
    return calendar.timegm(time.strptime(found[1], "%Y-%m-%dT%H:%M:%S"))


def _image(engine: Engine, image: dict[str, Any], used: dict[str, int]) -> dict[str, Any]:
    shared = int(image.get("SharedSize", -1))
    status, answer = engine.call("GET", f"/images/{image['Id']}/json")
    tagged = (answer.get("Metadata") or {}).get("LastTagTime") if status == 200 else None
    return {
        "id": image["Id"],
        "tags": sorted(tag for tag in image.get("RepoTags") or [] if tag != "<none>:<none>"),
        "digests": sorted(name for name in image.get("RepoDigests") or [] if not name.startswith("<none>")),
        "created": int(image["Created"]),
        "last_tagged": _epoch(tagged),
        "size": int(image["Size"]),
        "unique": int(image["Size"]) - shared if shared >= 0 else None,
        "containers": used.get(image["Id"], 0),
    }


def _record(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": record["ID"],
        "size": int(record["Size"]),
        "last_used": _epoch(record.get("LastUsedAt")),
        "in_use": bool(record["InUse"]),
        "shared": bool(record["Shared"]),
        "parents": sorted(record.get("Parents") or ([record["Parent"]] if record.get("Parent") else [])),
        "what": str(record.get("Type") or ""),
    }


def _log(one: dict[str, Any]) -> dict[str, Any] | None:
    path, options = str(one.get("LogPath") or ""), one["HostConfig"]["LogConfig"]
    if options.get("Type") != "json-file" or not path:
        return None
    sizes = [os.stat(file).st_size for file in [path, *glob.glob(f"{glob.escape(path)}.*")] if os.path.isfile(file)]
    return {"container": one["Name"].lstrip("/"), "path": path, "size": sum(sizes), "rotates": "max-size" in (options.get("Config") or {})}
