"""What is mounted below a service's data: each mount there takes a part of the data elsewhere, whatever the data's own path lies on.

Rules:
- The container's own mounts count, and those mounts of the host that a bind or volume brings along.
- What is mounted read-only holds nothing that the service writes.
- Memory loses what it holds, and an anonymous volume is left behind with its container: neither is a place for data.
- The rest lies where the tier keeps data: on a declared mount, off the boot disk; on a boot tier on the boot disk as well.
- `boot_accepted` for the mount's path, or for one between it and the data, lets it lie on the boot disk. It excuses nothing else.

Links within the data, such as a linked pg_wal, are not part of the evidence. Where PostgreSQL's tablespaces lie is, and a move's plan asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from controlplane.domain.checks.case import Case
from controlplane.domain.checks.landing import covering, is_at_or_below, land_mount, whereabouts
from controlplane.domain.evidence import Unobserved
from controlplane.domain.evidence_shapes.docker import Container, ContainerMount
from controlplane.domain.lineage import Place

_MEMORY = "lies in memory"
Ask = Callable[[], str]


def faults_below(case: Case, container: Container, data: str) -> list[str]:
    """Return what is wrong with each mount below a container's data path. Raises `Unobserved`; what is known by then is part of the message."""
    found, doubts = [], []
    for path, ask in _asked(case, container, data):
        try:
            fault = ask()
        except Unobserved as doubt:
            doubts.append(str(doubt))
            continue
        found += [f"{path} {fault}"] if fault else []
    if doubts:
        raise Unobserved("; ".join([*doubts, *(f"known so far: {fault}" for fault in found)]))
    return found


def _asked(case: Case, container: Container, data: str) -> Iterator[tuple[str, Ask]]:
    own = [mount for mount in container["mounts"] if _is_below(mount["destination"], data)]
    memory = [at for at in container["tmpfs"] if _is_below(at, data)]
    yield from ((at, lambda: _MEMORY) for at in memory)
    yield from ((mount["destination"], partial(_of_container, case, container, mount, data)) for mount in own if mount["rw"])
    home = covering(container, data)
    over = [*memory, *(mount["destination"] for mount in own)]
    for mount, at in [*([(home, data)] if home else []), *((mount, mount["destination"]) for mount in own)]:
        for path, mountpoint in _brought_along(case, mount, at) if mount["rw"] else ():
            # What the container itself mounts lies over what a bind brings along.
            if not any(_is_below(other, at) and is_at_or_below(path, other) for other in over):
                yield path, partial(_of_host, case, mountpoint, accepted=_is_accepted(case, container, path, data))


def _of_container(case: Case, container: Container, mount: ContainerMount, data: str) -> str:
    landing = land_mount(case, container, mount, mount["destination"])
    where = whereabouts(landing)
    accepted = _is_accepted(case, container, mount["destination"], data)
    fault = _fault(case, landing.place, where, accepted=accepted, on_host=landing.host_path is not None)
    if not fault and mount["anonymous"]:
        return f"lies in {where}, which is left behind with its container"
    return fault


def _brought_along(case: Case, mount: ContainerMount, at: str) -> Iterator[tuple[str, str]]:
    """Yield each of the host's own mounts below what a container's mount shows at `at`: its path in the container, and on the host."""
    base = mount["host_path"]
    if base is None:
        return
    source = base.rstrip("/") + at.removeprefix(mount["destination"].rstrip("/")) or "/"
    seen = case.reader.paths.get(source)
    real = seen["real"] if seen else source
    below = real.rstrip("/") + "/"
    for mountpoint in sorted({here for one in case.reader.mounts if (here := one["mount"]).startswith(below) and here != real}):
        yield at.rstrip("/") + mountpoint.removeprefix(real.rstrip("/")), mountpoint


def _of_host(case: Case, mountpoint: str, *, accepted: bool) -> str:
    top = case.lineage.top_mount(mountpoint)
    if top is not None and "ro" in top["options"]:
        return ""
    return _fault(case, case.lineage.of_mount(mountpoint), f"{mountpoint}, a mount of its own", accepted=accepted, on_host=True)


def _fault(case: Case, place: Place, where: str, *, accepted: bool, on_host: bool) -> str:
    """Return why data may not lie at this place, empty if they may. `on_host`: a path of the host leads to them."""
    home = case.desired.data
    if place.kind == "memory":
        return _MEMORY
    shared = place.disks & case.lineage.boot_disks()
    if home is None or (shared and (home == "boot" or accepted)):
        return ""
    if shared:
        return f"lies in {where} on boot disk {', '.join(case.lineage.names(shared))}"
    if home == "disk" and place.kind != "disk":
        return f"lies on {place.fstype}, not on a disk of this host"
    return "" if on_host and _is_declared(case, place) else f"lies in {where}, not on a declared mount"


def _is_accepted(case: Case, container: Container, path: str, data: str) -> bool:
    # One that covers the data itself can't be meant: the service says where they belong.
    accepted = [one.path for one in case.desired.boot_accepted if one.container == container["name"]]
    return any(is_at_or_below(path, one) and _is_below(one, data) for one in accepted)


def _is_declared(case: Case, place: Place) -> bool:
    """Say whether it is the filesystem of a declared mount, seen there or through a bind mount of the host."""
    homes = [disk.mount for disk in case.desired.disks] + [export.mount for export in case.desired.nfs if export.mode == "rw"]
    devices = {top["dev"] for top in map(case.lineage.top_mount, homes) if top is not None}
    own = case.lineage.top_mount(place.mount)
    return own is not None and own["dev"] in devices


def _is_below(path: str, parent: str) -> bool:
    return path != parent and is_at_or_below(path, parent)
