"""Draft a policy from what machines show; every guess carries a comment that says what it rests on.

Rules:
- What could not be observed is said and never guessed.
- Names and paths from machines are data: what a policy would refuse is left out with a comment, and no comment holds a
  control character.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from controlplane.domain.docker_presence import is_without_docker
from controlplane.domain.evidence import Evidence, Reader, Unobserved
from controlplane.domain.evidence_shapes.docker import Container, ContainerMount
from controlplane.domain.lineage import Lineage
from controlplane.domain.names import CONTAINER, PROJECT
from controlplane.domain.paths import check_path, check_place, is_below, overlap
from controlplane.domain.suggest_disk import DataDisk, data_disks, plain, said, shown

HEAD = """\
# Drafted from live machines by `controlplane policy suggest`. Each guess says what it rests on: read them, correct them,
# then run `controlplane policy check`.
version: 1
defaults:
  thresholds: {root_used_warn: 80%, root_used_fail: 90%, disk_used_warn: 80%, images: 15GB, build_cache: 10GB, volumes: 30GB,
               tmp_file: 10MB, writable_layer: 500MB}
tiers:
  boot-only: {data: boot}
  data-disk: {data: disk}
"""
# Image, or container, name part -> kind and where its image keeps data.
KNOWN = {"postgres": ("postgres", "/var/lib/postgresql"), "redis": ("redis", "/data"), "valkey": ("redis", "/data"), "minio": ("minio", "/data")}


def suggest_policy(evidence: Sequence[Evidence]) -> str:
    """Return the text of a policy.yml for these hosts, one entry each, sorted by name."""
    lines: list[str] = []
    for one in sorted(evidence, key=lambda each: each.host):
        lines += ["", *("  " + line if line else "" for line in _host(one))]
    return HEAD + ("hosts:" + "\n".join(lines) + "\n" if lines else "hosts: {}\n")


def _host(evidence: Evidence) -> Iterator[str]:
    reader = Reader(evidence)
    lineage = Lineage(reader)
    yield f"{evidence.host}:"
    try:
        disks = data_disks(reader, lineage)
        unseen = None
    except Unobserved as doubt:
        disks, unseen = [], doubt
    if unseen:
        yield f"  # Which disks there are could not be seen ({shown(str(unseen))}); boot-only is only a placeholder."
        yield "  tier: boot-only"
    elif disks:
        yield "  tier: data-disk"
        yield "  disks:"
        for disk in disks:
            yield from (f"    {line}" for line in disk.lines())
    else:
        yield "  tier: boot-only   # no disk beside the boot disk was seen"
    taken: list[str] = []
    try:
        if is_without_docker(reader):
            yield "  # Docker is not installed."
            return
        yield from (f"  {line}" for line in _docker(reader, disks, taken))
        yield from (f"  {line}" for line in _containers(reader, lineage, disks, taken))
    except Unobserved as doubt:
        yield f"  # Docker could not be seen ({shown(str(doubt))}); add docker, services and stacks by hand."


def _docker(reader: Reader, disks: list[DataDisk], taken: list[str]) -> Iterator[str]:
    if not disks:
        return
    mount = disks[0].mount
    root, config = reader.docker_info["root"], reader.docker_config
    mounts = [disk.mount for disk in disks]
    yield "docker:"
    for key, now, name in (("data_root", root, "docker"), ("containerd_root", config["containerd_root"], "containerd")):
        if now is not None and any(is_below(now, each) for each in mounts) and _is_place(now):
            taken.append(now)
            yield f"  {key}: {plain(now)}   # as it is"
        else:
            taken.append(f"{mount}/{name}")
            yield f"  {key}: {plain(f'{mount}/{name}')}   # guessed; now {shown(now or 'not seen')}"
    yield "  log: {max_size: 10MB, max_files: 3}   # guessed; json-file logs grow without bound otherwise"


def _containers(reader: Reader, lineage: Lineage, disks: list[DataDisk], taken: list[str]) -> Iterator[str]:
    services: list[str] = []
    accepted: list[str] = []
    stacks: dict[str, str] = {}
    for container in sorted(reader.containers, key=lambda each: each["name"]):
        name, project, folder = container["name"], container["compose_project"], container["compose_dir"]
        if project and folder and re.fullmatch(PROJECT, project) and _is_path(folder):
            stacks.setdefault(project, folder)
        if not re.fullmatch(CONTAINER, name, re.ASCII):
            services.append(f"# {said(name)} has a name that a policy can't hold; it was left out")
            continue
        if disks:
            services += _service(container, disks, taken)
        else:
            accepted += _accepted(container, lineage)
    if any(not line.startswith("#") for line in services):
        yield "services:"
    yield from (f"  {line}" for line in services)
    if stacks:
        yield "stacks:"
        yield from (f"  - {{project: {plain(project)}, dir: {plain(folder)}}}" for project, folder in sorted(stacks.items()))
    if any(line.startswith("- ") for line in accepted):
        yield "boot_accepted:   # found on the boot disk; decide for each whether it may stay"
    yield from (f"  {line}" for line in accepted)


def _service(container: Container, disks: list[DataDisk], taken: list[str]) -> Iterator[str]:
    kept = [mount for mount in container["mounts"] if mount["rw"] and mount["type"] in ("bind", "volume") and _is_data(mount)]
    name = container["name"]
    kind, home = next((found for part, found in KNOWN.items() if part in container["image"].lower() or part in name.lower()), ("files", ""))
    if not kept:
        if kind != "files":
            yield f"# {name} looks like {kind} (image {said(container['image'])}) but keeps nothing outside its writable layer: give it a place"
        return
    chosen = next((mount for mount in kept if home and (mount["destination"] == home or is_below(mount["destination"], home))), kept[0])
    yield f"{name}:   # kind from its image {said(container['image'])}"
    yield f"  kind: {kind}"
    yield f"  data: {plain(chosen['destination'])}"
    yield f"  {_home(container, chosen, disks, taken)}"
    if kind == "postgres":
        yield "  durability: {fsync: true, full_page_writes: true}"
    if kind == "redis":
        yield "  durability: {appendonly: true, appendfsync: everysec}   # guessed; correct it if this Redis is only a cache"
    for other in kept:
        if other is not chosen:
            yield f"  # it also writes {said(other['destination'])}; one service entry covers one path"


def _home(container: Container, mount: ContainerMount, disks: list[DataDisk], taken: list[str]) -> str:
    if mount["type"] == "volume" and not mount["anonymous"] and mount["name"] and re.fullmatch(CONTAINER, mount["name"], re.ASCII):
        return f"volume: {plain(mount['name'])}   # as it is; it lies in docker.data_root"
    now = mount["host_path"] or mount["source"]
    below = any(is_below(now, disk.mount) for disk in disks)
    if mount["type"] == "bind" and below and _is_place(now) and not any(overlap(now, each) for each in taken):
        taken.append(now)
        return f"place: {plain(now)}   # as it is"
    wanted = f"{disks[0].mount}/{container['compose_project'] or 'services'}/{container['name']}"
    if not _is_place(wanted):
        wanted = f"{disks[0].mount}/services/{container['name']}"
    taken.append(wanted)
    why = "an anonymous volume" if mount["anonymous"] else said(now)
    return f"place: {plain(wanted)}   # guessed; now {why}"


def _accepted(container: Container, lineage: Lineage) -> Iterator[str]:
    for mount in container["mounts"]:
        if not (mount["rw"] and mount["type"] in ("bind", "volume") and _is_data(mount)):
            continue
        now = mount["host_path"]
        try:
            if now is None or not lineage.lies_on_boot(now):
                continue
        except Unobserved as doubt:
            yield f"# {container['name']}:{said(mount['destination'])} could not be followed to its disk ({shown(str(doubt))})"
            continue
        place = f"container: {plain(container['name'])}, path: {plain(mount['destination'])}"
        yield f"- {{{place}, reason: drafted from what was found; decide}}"


def _is_data(mount: ContainerMount) -> bool:
    # Sockets and views of the system are no data.
    return _is_path(mount["destination"]) and not mount["source"].startswith(("/run/", "/var/run/", "/proc", "/sys", "/dev"))


def _is_path(text: str) -> bool:
    try:
        check_path(text)
    except ValueError:
        return False
    return "{{" not in text and "{%" not in text and "{#" not in text


def _is_place(text: str) -> bool:
    try:
        check_place(text)
    except ValueError:
        return False
    return True
