"""Remove one thing of Docker's store, as a plan or the timer named it.

Rules:
- An image goes only while no container, running or not, was made from it, and while it has no tag but those that it was named by.
- By its id alone Docker removes only what has at most one tag and is of one repository. Any other goes name by name, digests as well, and each name only
  while it is that very image's. Gone it is once its id is.
- A log is cut to nothing in place: its container goes on writing to the same file.
"""

from __future__ import annotations

import glob
import json
import os
from typing import Any
from urllib.parse import quote

from .docker_engine import Engine, field, rows
from .faults import FailedFault


def remove(engine: Engine, item: dict[str, Any]) -> None:
    """Remove an item {kind, id, name}. Raises `FailedFault` where it is there still."""
    if item["kind"] == "log":
        try:
            _cut(str(item["id"]))
        except OSError as fault:
            raise FailedFault(f"the log of {item['name']} can't be cut: {fault}") from fault
    elif item["kind"] == "cache":
        _remove_record(engine, str(item["id"]))
    else:
        _remove_image(engine, str(item["id"]), str(item["name"]))


def _remove_record(engine: Engine, record: str) -> None:
    filters = quote(json.dumps({"id": {record: True}}))
    status, answer = engine.call("POST", f"/build/prune?all=1&filters={filters}", timeout=600)
    if status != 200:
        raise FailedFault(f"record {record} of the build cache can't be removed: {(answer or {}).get('message', status)}")
    if record not in rows(answer, "CachesDeleted", str, "POST /build/prune"):
        raise FailedFault(f"record {record} of the build cache can't be removed: it is in use by now")


def _remove_image(engine: Engine, image: str, name: str) -> None:
    held = _inspected(engine, image)
    if held is None:
        return
    tags, digests = _names(held, "RepoTags"), _names(held, "RepoDigests")
    if set(tags) - set(name.split(" ")):
        raise FailedFault(f"image {image[:19]} is called {' '.join(tags)} by now, not {name}, so it was left")
    # A name may be another image's by now; the id never is.
    for one in [*tags, *digests] if _has_several_references(tags, digests) else [image]:
        seen = _inspected(engine, one)
        if seen is None or seen["Id"] != image:
            continue
        if any(field(made, "Image", str, "GET /containers/{id}/json") == image for made in engine.containers()):
            raise FailedFault(f"a container was made of image {name} meanwhile, so it was left")
        status, answer = engine.call("DELETE", f"/images/{quote(one, safe='/:@')}?noprune=1", timeout=600)
        if status not in (200, 404):
            raise FailedFault(f"image {one} can't be removed: {(answer or {}).get('message', status)}")
    if (left := _inspected(engine, image)) is not None:
        names = [*_names(left, "RepoTags"), *_names(left, "RepoDigests")]
        raise FailedFault(f"image {name} ({image[:19]}) can't be removed: it is there still, as {' '.join(names) or 'untagged'}")


def _has_several_references(tags: list[str], digests: list[str]) -> bool:
    """Say whether Docker refuses to remove an image by its id alone: "image is referenced in multiple repositories"."""
    return len(tags) > 1 or len({*(tag.rpartition(":")[0] for tag in tags), *(digest.partition("@")[0] for digest in digests)}) > 1


def _inspected(engine: Engine, name: str) -> dict[str, Any] | None:
    """Return what Docker says of an image by its id or one of its names, None where there is none."""
    call = f"/images/{quote(name, safe='/:@')}/json"
    status, answer = engine.call("GET", call)
    if status == 404:
        return None
    if status != 200:
        raise FailedFault(f"image {name} can't be removed: Docker answered {status} to GET {call}: {(answer or {}).get('message', 'no message')}")
    field(answer, "Id", str, f"GET {call}")
    return dict(answer)


def _names(held: dict[str, Any], key: str) -> list[str]:
    return [name for name in rows(held, key, str, "GET /images/{id}/json") if not name.startswith("<none>")]


def _cut(path: str) -> None:
    for older in glob.glob(f"{glob.escape(path)}.*"):
        os.unlink(older)
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
