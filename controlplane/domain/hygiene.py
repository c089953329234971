"""What of Docker's store is removed to come back to a budget: a pure choice, made here for a plan and on the machine by its timer in the same way.

Rules:
- Never: an image of any container, running or not; one that is protected; one of the last `keep` releases of a stack, or of a release that is half
  deployed; any volume. Of a repository of whose stacks fewer releases are on record, none of the newest `keep` by age.
- Images without a tag go first, then the longest not tagged; of the build cache the longest not used, and a record never before those made from it.
- No more than it takes. What is counted as freed is what no other image shares; the build cache may hold it still. One that shares all stays.
- A log is cut where its container has no limit of its own; one that rotates keeps itself.

roles/target_run/files/controlplane_target/hygiene_judge.py is its twin; a test holds both to the same answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from controlplane.domain.evidence_shapes.docker import CacheRecord, ContainerLog, RecordedRelease, StoredImage
from controlplane.domain.policy import LogLimits

_HUB = ("docker.io/library/", "docker.io/")
# Docker takes them, too, for a name on its own registry.
_MORE_OF_HUB = ("library/", "index.docker.io/", "index.docker.io/library/")


class Doomed(NamedTuple):
    """One thing to remove: `kind` is image, cache or log; `last_used` in epoch seconds, None where nobody knows: of a log when it was last written.

    `container` is the id of a log's container.
    """

    kind: str
    id: str
    name: str
    size: int
    last_used: int | None
    container: str = ""


def doomed_images(
    images: Sequence[StoredImage], *, over: int, keep: int, protect: Sequence[str], releases: Sequence[RecordedRelease]
) -> list[Doomed]:
    """Return the images that have to go so that `over` bytes are freed, or all that may. `releases` are what the host has on record, newest first."""
    spared = spared_images(images, keep=keep, protect=protect, releases=releases)
    free = [image for image in images if image["id"] not in spared]
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


def spared_images(images: Sequence[StoredImage], *, keep: int, protect: Sequence[str], releases: Sequence[RecordedRelease]) -> dict[str, str]:
    """Return the images that must not go, whatever it takes: by id, why."""
    newest, released = _newest(images, keep, kept_by_age(images, releases, keep)), _released(images, releases, keep)
    found: dict[str, str] = {}
    for image in images:
        if image["containers"]:
            found[image["id"]] = "a container was made of it"
        elif (pattern := _protecting(image, protect)) is not None:
            found[image["id"]] = f"{pattern} protects it"
        elif image["id"] in released:
            found[image["id"]] = "it is of a release that is kept"
        elif image["id"] in newest:
            found[image["id"]] = f"it is among the newest {keep} of its repository"
    return found


def _protecting(image: StoredImage, protect: Sequence[str]) -> str | None:
    """Return the pattern that protects an image, None where none does."""
    if not protect:
        return None
    names = [spelt for name in (*image["tags"], *image["digests"]) for spelt in _spellings(name)]
    return next((pattern for pattern in protect if any(fnmatchcase(name, pattern) for name in names)), None)


def kept_by_age(images: Sequence[StoredImage], releases: Sequence[RecordedRelease], keep: int) -> list[str]:
    """Return the repositories of which the newest by age stay: no stack has them, or one of so few releases on record that they don't tell."""
    by_stack: dict[str, list[RecordedRelease]] = {}
    for release in releases:
        by_stack.setdefault(release["project"], []).append(release)
    known: dict[str, bool] = {}
    for held in by_stack.values():
        is_enough = len({release["manifest"] for release in held if not release["open"]}) >= keep
        for repository in {_repository(pin) for release in held for pin in release["images"]}:
            known[repository] = is_enough and known.get(repository, True)
    return sorted({repository for image in images for repository in _repositories(image) if not known.get(repository)})


def _released(images: Sequence[StoredImage], releases: Sequence[RecordedRelease], keep: int) -> set[str]:
    """Return the images of the last releases of each stack, and of one that is half deployed since."""
    manifests: dict[str, set[str]] = {}
    pins: set[str] = set()
    for release in releases:
        held = manifests.setdefault(release["project"], set())
        if release["open"]:
            stays = not held
        else:
            if len(held) < max(keep, 1):
                held.add(release["manifest"])
            stays = bool(keep) and release["manifest"] in held
        if stays:
            pins.update(_short(pin) for pin in release["images"])
    return {image["id"] for image in images if any(_short(name) in pins for name in image["digests"])}


def _newest(images: Sequence[StoredImage], keep: int, repositories: Sequence[str]) -> set[str]:
    found: set[str] = set()
    counted = dict.fromkeys(repositories, 0)
    for image in sorted(images, key=lambda image: (image["created"], image["last_tagged"] or 0, image["id"]), reverse=True):
        for repository in _repositories(image):
            if counted.get(repository, keep) < keep:
                counted[repository] += 1
                found.add(image["id"])
    return found


def _repositories(image: StoredImage) -> set[str]:
    return {*(_short(tag).rpartition(":")[0] for tag in image["tags"]), *(_repository(name) for name in image["digests"])}


def _repository(pin: str) -> str:
    return _short(pin).partition("@")[0]


def _short(name: str) -> str:
    """Return an image's name as Docker writes it, which leaves its own registry out."""
    return next((name[len(prefix) :] for prefix in _HUB if name.startswith(prefix)), name)


def _spellings(name: str) -> tuple[str, ...]:
    """Return every way to write an image's name: whoever protects it may write Docker's own registry out, or leave it out."""
    short = _short(name)
    host, separator, _ = short.partition("/")
    if not separator:
        return (short, *(f"{prefix}{short}" for prefix in (*_HUB, *_MORE_OF_HUB)))
    # As Docker itself tells a registry from a name on its own one.
    if "." in host or ":" in host or host == "localhost":
        return (short,)
    return (short, f"docker.io/{short}", f"index.docker.io/{short}")


def doomed_cache(records: Sequence[CacheRecord], *, over: int) -> list[Doomed]:
    """Return the records of the build cache that have to go so that `over` bytes are freed, or all that may."""
    by_id = {record["id"]: record for record in records}
    # By id, how many of those that are left were made from it.
    made = Counter(parent for record in by_id.values() for parent in set(record["parents"]))
    free = [(record["last_used"] or 0, record["id"]) for record in by_id.values() if not made[record["id"]] and _may_go(record)]
    heapify(free)
    found: list[Doomed] = []
    freed = 0
    while free and freed < over:
        record = by_id[heappop(free)[1]]
        found.append(Doomed("cache", record["id"], record["what"], record["size"], record["last_used"]))
        freed += record["size"]
        for parent in set(record["parents"]):
            made[parent] -= 1
            if not made[parent] and parent in by_id and _may_go(by_id[parent]):
                heappush(free, (by_id[parent]["last_used"] or 0, parent))
    return found


def _may_go(record: CacheRecord) -> bool:
    return not record["in_use"] and not record["shared"]


def log_limit(limits: LogLimits | None) -> int | None:
    """Return the bytes that a container's log may take, None where the policy does not ask."""
    return None if limits is None else limits.max_size * limits.max_files


def doomed_logs(logs: Sequence[ContainerLog], *, limit: int | None) -> list[Doomed]:
    """Return the logs over the limit of containers that do not limit them themselves."""
    if limit is None:
        return []
    return [
        Doomed("log", log["path"], log["container"], log["size"], log.get("written"), log.get("id") or "")
        for log in logs
        if not log["rotates"] and log["size"] > limit
    ]
