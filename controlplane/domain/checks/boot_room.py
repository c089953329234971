"""What takes the room of the boot filesystem, as far as evidence has it, and what frees each part of it.

Rules:
- Only what lies on the filesystem of `/` is named: what Docker keeps on a data disk, or a /tmp in memory, frees nothing there.
- Ways are named, none is promised: each plan says itself what it takes and what it refuses, such as old data that are too young for their purge.
- What could not be observed is told as such. How full `/` is stands without it.
- Without a policy there is nothing to plan by: what a plan would free is then a person's as well.
- Evidence never has all of it (journals, packages, homes): how a person finds and frees the rest is always told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from controlplane.domain.amounts import show_bytes
from controlplane.domain.checks.case import Case, fill_of
from controlplane.domain.evidence import Unobserved
from controlplane.domain.hygiene import doomed_logs, log_limit
from controlplane.domain.paths import is_below

# A thousandth of the filesystem: freeing less helps nobody.
_SHARE = 1000
# Below these a step's own journal and the tools that it lays down may find no room.
_BYTES, _INODES = 64_000_000, 1000
_MOST_PATHS = 3

OnRoot = Callable[[str], bool]


class Taker(NamedTuple):
    """One thing on the boot filesystem: what it is, its bytes, and what frees them."""

    what: str
    size: int
    way: str


def room_on_boot(case: Case) -> str:
    """Return, as sentences, what is seen on the boot filesystem and what frees it, the largest first. Raises `Unobserved` without its usage."""
    least = case.reader.usage["/"]["size"] // _SHARE
    found: list[Taker] = []
    doubts: list[str] = []
    for look in (_retired, _docker, _logs, _layers, _tmp):
        try:
            found += [one for one in look(case, _on_root(case)) if one.size >= least]
        except Unobserved as doubt:
            doubts.append(str(doubt))
    found.sort(key=lambda one: (-one.size, one.what))
    parts = [f"{one.what}, {show_bytes(one.size)}: {one.way}" for one in found] or ["nothing large"]
    unseen = f". Not seen: {'; '.join(dict.fromkeys(doubts))}" if doubts else ""
    return f"Seen on it: {'; '.join(parts)}{unseen}. {_by_hand(case)}"


def _by_hand(case: Case) -> str:
    """Return how a person finds and frees what no evidence has; first of all where a step would find no room to begin."""
    usage, fill = case.reader.usage["/"], fill_of(case.reader.usage, "/")
    listed = "du -x --inodes -t 10000 /" if fill.inodes > fill.used else "du -axh -t 100M /"
    tight = usage["free"] < _BYTES or (usage["inodes"] > 0 and usage["inodes_free"] < _INODES)
    first = "A step keeps its journal there and may find no room now: begin by hand" if tight else "The rest by hand"
    return f"{first}, on the machine: {listed} lists what is large; journalctl --vacuum-size=100M and apt-get clean free journals and packages"


def _plan(case: Case, capability: str) -> str:
    return "by hand" if case.general else f"controlplane plan --host {case.desired.host} --capability {capability}"


def _on_root(case: Case) -> OnRoot:
    """Return whether a path lies on the filesystem of `/`: by where the host found it, else by the mount table."""
    reader, lineage = case.reader, case.lineage
    root = lineage.top_mount("/")
    if root is None:
        raise Unobserved("what is mounted at / is not in the mount table")

    def lies_there(path: str) -> bool:
        place = reader.paths.get(path)
        above = (one["mount"] for one in reader.mounts if path == one["mount"] or is_below(path, one["mount"]))
        mount = lineage.top_mount(place["mount"] if place is not None else max(above, key=len, default="/"))
        return mount is not None and mount["dev"] == root["dev"]

    return lies_there


def _retired(case: Case, on_root: OnRoot) -> Iterator[Taker]:
    left = [one for one in case.reader.target_state["retired"] if (one["exists"] or one["purging"]) and on_root(one["path"])]
    if left:
        paths = [one["path"] for one in left]
        more = f" and {len(paths) - _MOST_PATHS} more" if len(paths) > _MOST_PATHS else ""
        yield Taker(f"retired {', '.join(paths[:_MOST_PATHS])}{more}", sum(one["size"] for one in left), _plan(case, "storage.purge"))


def _docker(case: Case, on_root: OnRoot) -> Iterator[Taker]:
    """Yield what Docker says it uses: a store over its budget is cleared, a root that is to lie elsewhere moves, the rest is a person's."""
    if case.without_docker:
        return
    wanted, used, info, limits = case.desired.docker, case.reader.docker_usage, case.reader.docker_info, case.desired.thresholds
    volumes = (info["root"], wanted.data_root)
    images = (case.reader.docker_config["containerd_root"], wanted.containerd_root) if info["containerd_image_store"] else volumes
    for what, size, limit, (root, home) in (
        ("images", used["images"], limits.images, images),
        ("build cache", used["build_cache"], limits.build_cache, images),
        # Volumes are never cleared by anything here.
        ("volumes", used["volumes"], None, volumes),
    ):
        if not root or not on_root(root):
            continue
        if wanted.hygiene is not None and limit is not None and size > limit:
            way = _plan(case, "docker.hygiene")
        elif home not in (None, root):
            way = f"controlplane plan --host {case.desired.host} moves it to {home}"
        else:
            way = "docker system df -v on the machine"
        yield Taker(f"Docker's {what}", size, way)


def _logs(case: Case, on_root: OnRoot) -> Iterator[Taker]:
    # Without hygiene nobody asks Docker for them.
    if case.desired.docker.hygiene is None or case.without_docker:
        return
    doomed = doomed_logs(case.reader.docker_store["logs"], limit=log_limit(case.desired.docker.log))
    yield Taker("container logs over their limit", sum(one.size for one in doomed if on_root(one.id)), _plan(case, "docker.hygiene"))


def _layers(case: Case, on_root: OnRoot) -> Iterator[Taker]:
    if case.without_docker:
        return
    info = case.reader.docker_info
    root = case.reader.docker_config["containerd_root"] if info["containerd_image_store"] else info["root"]
    if root and on_root(root):
        size = sum(one["writable_bytes"] or 0 for one in case.containers.values())
        yield Taker("writable layers of containers", size, "docker ps -as on the machine")


def _tmp(case: Case, on_root: OnRoot) -> Iterator[Taker]:
    limit = case.desired.thresholds.tmp_file
    files = [one for one in case.reader.tmp["files"] if on_root(one["path"])]
    yield Taker("large files in /tmp and /var/tmp", sum(one["size"] for one in files if one["size"] > limit), _plan(case, "storage.tmp_files"))
    yield Taker("smaller files in /tmp and /var/tmp", sum(one["size"] for one in files if one["size"] <= limit), "by hand")
