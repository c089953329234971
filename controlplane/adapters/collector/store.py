"""What of Docker's store could be cleared: images, build cache, logs; and what was released here. Read where a policy asks for it."""

from __future__ import annotations

import calendar
import glob
import json
import os
import re
import time
from typing import Any

from .engine import Engine
from .state import BASE
from .supervise import ProbeError
from .tools import slurp, slurp_or_none

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)")
# A release's role, what its journal says while it is half deployed, and how many of a stack are told, newest first.
_ROLE, _OPEN, _MOST_RELEASES = "compose_stack", ("writing", "deploying", "undoing", "failed"), 50


def epoch(text: Any) -> int | None:
    """Return a time as Docker writes it as epoch seconds, None for none and for its zero time."""
    found = _TIME.match(str(text or ""))
    if not found or found[1].startswith("0001-"):
        return None
    return calendar.timegm(time.strptime(found[1], "%Y-%m-%dT%H:%M:%S"))


def image_record(image: dict[str, Any], used: dict[str, int], tagged: int | None) -> dict[str, Any]:
    """Return what is judged of one image of `/system/df`."""
    shared = int(image.get("SharedSize", -1))
    return {
        "id": image["Id"],
        "tags": sorted(tag for tag in image.get("RepoTags") or [] if tag != "<none>:<none>"),
        "digests": sorted(name for name in image.get("RepoDigests") or [] if not name.startswith("<none>")),
        "created": int(image["Created"]),
        "last_tagged": tagged,
        "size": int(image["Size"]),
        "unique": int(image["Size"]) - shared if shared >= 0 else None,
        "containers": used.get(image["Id"], 0),
    }


def cache_record(record: dict[str, Any]) -> dict[str, Any]:
    """Return what is judged of one record of the build cache."""
    return {
        "id": record["ID"],
        "size": int(record["Size"]),
        "last_used": epoch(record.get("LastUsedAt")),
        "in_use": bool(record["InUse"]),
        "shared": bool(record["Shared"]),
        # From API 1.42 on Docker writes the key with a blank before it; before that there was only one.
        "parents": sorted(record.get("Parents") or record.get(" Parents") or ([record["Parent"]] if record.get("Parent") else [])),
        "what": str(record.get("Type") or ""),
    }


def log_record(one: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a container's log takes, None where it keeps none as a file."""
    path, options = str(one.get("LogPath") or ""), one["HostConfig"]["LogConfig"]
    if options.get("Type") != "json-file" or not path:
        return None
    files = [os.stat(file) for file in [path, *glob.glob(f"{glob.escape(path)}.*")] if os.path.isfile(file)]
    return {
        "id": one["Id"],
        "container": one["Name"].lstrip("/"),
        "path": path,
        "size": sum(file.st_size for file in files),
        "written": max((int(file.st_mtime) for file in files), default=None),
        "rotates": "max-size" in (options.get("Config") or {}),
    }


def recorded_releases() -> list[dict[str, Any]]:
    """Return what the host has on record of releases, as the target's hygiene_releases.py tells its timer."""
    found: dict[str, dict[str, Any]] = {}
    for name in sorted(os.listdir(BASE)) if os.path.isdir(BASE) else []:
        text = slurp_or_none(f"{BASE}/{name}/state.json")
        if text is not None:
            state = _parsed(f"{BASE}/{name}/state.json", text)
            if state.get("role") == _ROLE and state.get("images") and state.get("phase") in ("done", *_OPEN):
                found[name] = _release(state, state.get("finished_at") or max((state.get("phase_at") or {}).values(), default=0))
    for path in sorted(glob.glob(f"{BASE}/releases/*.json")):
        record = _parsed(path, slurp(path))
        if record["run"] not in found:
            found[record["run"]] = _release({**record, "phase": "done"}, epoch(record["at"]))
    newest = sorted(found.items(), key=lambda one: (one[1]["at"], one[0]), reverse=True)
    counted: dict[str, int] = {}
    told = []
    for _, release in newest:
        counted[release["project"]] = counted.get(release["project"], 0) + 1
        if release["open"] or counted[release["project"]] <= _MOST_RELEASES:
            told.append(release)
    return told


def _parsed(path: str, text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise ProbeError(f"{path} is no journal: {error}") from None


def _release(state: dict[str, Any], at: Any) -> dict[str, Any]:
    images = sorted(set(state["images"].values()))
    return {"project": state["project"], "manifest": state["manifest"], "images": images, "at": int(at), "open": state["phase"] in _OPEN}


def docker_store(asked: dict[str, Any], _seen: dict[str, Any]) -> dict[str, Any]:
    """Return the store; empty where nobody asked, because Docker works for it."""
    if not asked.get("store"):
        return {"images": [], "cache": [], "logs": [], "releases": []}
    engine = Engine()
    told = engine.get("/system/df?type=image&type=build-cache")
    used: dict[str, int] = {}
    logs = []
    for container in engine.get("/containers/json?all=1"):
        used[container["ImageID"]] = used.get(container["ImageID"], 0) + 1
        logs.append(log_record(engine.get(f"/containers/{container['Id']}/json")))
    images = []
    # An empty list may come as null; one that is left out is not nothing.
    for image in told["Images"] or []:
        if not str(image.get("Id", "")).startswith("sha256:"):
            raise ProbeError("Docker named an image otherwise than by its digest")
        tagged = (engine.get(f"/images/{image['Id']}/json").get("Metadata") or {}).get("LastTagTime")
        images.append(image_record(image, used, epoch(tagged)))
    return {
        "images": sorted(images, key=lambda image: str(image["id"])),
        "cache": sorted((cache_record(record) for record in told["BuildCache"] or []), key=lambda record: str(record["id"])),
        "logs": sorted((log for log in logs if log is not None), key=lambda log: str(log["container"])),
        "releases": recorded_releases(),
    }
