"""What of Docker's store is removed to come back to a budget: a pure choice, made here by the machine's timer, and for a plan by the program in the same way.

Rules:
- Never: an image of any container, running or not; one that is protected; one of the newest `keep` of a repository; any volume.
- Images without a tag go first, then the longest not tagged; of the build cache the longest not used, and a record never before those made from it.
- No more than it takes. What is counted as freed is what no other image shares; the build cache may hold it still. One that shares all stays.
- A log is cut where its container has no limit of its own; one that rotates keeps itself.

controlplane/domain/hygiene.py is its twin; a test holds both to the same answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple


class Doomed(NamedTuple):
    """One thing to remove: `kind` is image, cache or log; `last_used` in epoch seconds, None where nobody knows."""

    kind: str
    id: str
    name: str
    size: int
    last_used: int | None


def doomed_images(images: Sequence[dict[str, Any]], *, over: int, keep: int, protect: Sequence[str]) -> list[Doomed]:
    """Return the images that have to go so that `over` bytes are freed, or all that may."""
    kept = _newest(images, keep)
    free = [
        image
        for image in images
        if not image["containers"]
        and image["id"] not in kept
        and not any(fnmatchcase(name, pattern) for name in (*image["tags"], *image["digests"]) for pattern in protect)
    ]
    free.sort(key=lambda image: (bool(image["tags"]), image["last_tagged"] or image["created"], image["id"]))
    found, freed = [], 0
    for image in free:
        if freed >= over:
            break
        size = image["unique"]
        if not size:
            # Others have all that it has: it would go, and nothing be freed.
            continue
        found.append(Doomed("image", image["id"], " ".join(image["tags"]) or "untagged", size, image["last_tagged"] or image["created"]))
        freed += size
    return found


def _newest(images: Sequence[dict[str, Any]], keep: int) -> set[str]:
    by_repository: dict[str, list[dict[str, Any]]] = {}
    for image in images:
        for repository in {*(tag.rpartition(":")[0] for tag in image["tags"]), *(name.partition("@")[0] for name in image["digests"])}:
            by_repository.setdefault(repository, []).append(image)
    newest = (
        sorted(held, key=lambda image: (image["created"], image["last_tagged"] or 0, image["id"]), reverse=True)[:keep]
        for held in by_repository.values()
    )
    return {image["id"] for held in newest for image in held}


def doomed_cache(records: Sequence[dict[str, Any]], *, over: int) -> list[Doomed]:
    """Return the records of the build cache that have to go so that `over` bytes are freed, or all that may."""
    left = {record["id"]: record for record in records}
    found: list[Doomed] = []
    freed = 0
    while freed < over:
        parents = {parent for record in left.values() for parent in record["parents"]}
        free = [record for record in left.values() if record["id"] not in parents and not record["in_use"] and not record["shared"]]
        if not free:
            break
        record = min(free, key=lambda one: (one["last_used"] or 0, one["id"]))
        found.append(Doomed("cache", record["id"], record["what"], record["size"], record["last_used"]))
        freed += record["size"]
        del left[record["id"]]
    return found


def doomed_logs(logs: Sequence[dict[str, Any]], *, limit: int | None) -> list[Doomed]:
    """Return the logs over the limit of containers that do not limit them themselves."""
    if limit is None:
        return []
    return [Doomed("log", log["path"], log["container"], log["size"], None) for log in logs if not log["rotates"] and log["size"] > limit]
