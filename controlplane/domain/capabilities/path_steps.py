"""The step that moves paths of one container together: change records, downtime, room, the way back.

Rules:
- One step a container: it stops once, and Compose makes it anew once, whatever number of its paths moves.
- How large the data are Docker tells of its volumes and of the writable layer, the collector of a bind. What it could not measure within its limits
  has no bound, and the downtime is not known then: the role measures it before anything stops.
- A path that has its place, whose owner or mode alone differ, goes along; where there is no other, nothing stops.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from controlplane.domain.capabilities.path_moves import Moving, is_overridden, size_of, stop_timeout
from controlplane.domain.capabilities.proposal import Draft, Outlook
from controlplane.domain.capabilities.root_bounds import mount_of, room_bound
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader
from controlplane.domain.evidence_shapes.docker import ContainerMount
from controlplane.domain.plan import Bound, Change, Downtime

_STOP_LIMIT_S = 60
# Bare start, then the comparison of what was copied while it ran (seconds a gigabyte, measured on two cores).
_START_S, _S_PER_GB = 15, 10
_MARGIN, _RESERVE = 1.05, 64 << 20


def draft_of(paths: Sequence[Moving], asked: tuple[DesiredHost, Reader, Outlook], *, variables: Mapping[str, Any]) -> Draft:
    """Return the step for these paths of one container, none of which is refused; `variables` are the role's own."""
    desired, reader, outlook = asked
    moving = [path for path in paths if path.has is None]
    mends = tuple(mend for path in paths for mend in path.mends)
    attributes = [Change(kind="attribute", target=path.destination, before=path.has, after=path.declared) for path in paths if path.declared]
    if not moving:
        undo = "give the place the owner and the mode that it had"
        return Draft(mends=mends, changes=tuple(attributes), undo=undo, variables=dict(variables))
    names = " and ".join(dict.fromkeys(path.destination for path in moving))
    return Draft(
        mends=mends,
        changes=(*_changes(moving, desired), *attributes),
        downtime=_downtime(moving, reader),
        undo=_undo(moving),
        room=_room(moving, desired, reader, outlook),
        if_short=f"Make room on the disk of {names}, or name a larger one (policy.yml, hosts.{desired.host}), then plan again",
        variables=dict(variables),
    )


def _changes(moving: Sequence[Moving], desired: DesiredHost) -> list[Change]:
    container = moving[0].container
    name, service, project = container["name"], container["compose_service"], container["compose_project"]
    file = f"{'the override file beside the' if is_overridden(desired, container) else 'the'} compose file of {project}"
    now = {path.data: _told(path.landing.mount, path.data) for path in moving}
    moves = [Change(kind="move", target=f"{path.data} of {name}", before=now[path.data], after=path.destination) for path in moving]
    files = [
        Change(
            kind="file",
            target=file,
            before=f"{service} mounts {now[path.data]}",
            after=f"{path.destination} at {path.data}, and the project's name is pinned",
        )
        for path in moving
    ]
    anew = Change(
        kind="recreate",
        target=f"container {name}",
        before=", ".join(f"{path.data} in {now[path.data]}" for path in moving),
        after=", ".join(f"{path.data} in {path.destination}" for path in moving) + ", by Compose, from the changed file, once",
    )
    retired = [
        Change(kind="retire", target=f"{where} of {name}", before="in use", after="kept unchanged until a purge of its own")
        for where in dict.fromkeys(now.values())
    ]
    return [*moves, *files, anew, *retired]


def _told(mount: ContainerMount | None, data: str) -> str:
    """Return how the change records name where the data lie, without what differs from one container to the next."""
    if mount is None:
        return "its writable layer"
    if mount["type"] == "volume":
        where = "an anonymous volume" if mount["anonymous"] else f"volume {mount['name']}"
    else:
        where = mount["host_path"] or mount["source"]
    below = data.removeprefix(mount["destination"].rstrip("/"))
    return f"{where}, {below.lstrip('/')} in it" if below else where


def _undo(moving: Sequence[Moving]) -> str:
    back = "put the compose file back byte for byte, and move the data back with everything that was written since, proven"
    if any(path.landing.mount is None or path.landing.mount["anonymous"] for path in moving):
        return f"{back}; as that is a fresh place each time, the service stops for the whole copy"
    return back


def _downtime(moving: Sequence[Moving], reader: Reader) -> Downtime:
    container, sizes = moving[0].container, _sizes(moving, reader).values()
    known = [size for size in sizes if size is not None]
    stop = max(_STOP_LIMIT_S, stop_timeout(container) or 0)
    estimate = stop + _START_S + math.ceil(sum(known) / 1000**3 * _S_PER_GB)
    return Downtime(services=(container["name"],), estimate_s=estimate if len(known) == len(sizes) else None)


def _sizes(moving: Sequence[Moving], reader: Reader) -> dict[str, int | None]:
    """Return the bytes of each source, once, however many of the paths lie in it: of a volume and of the writable layer as a whole."""
    return {_source(path): size_of(path, reader) for path in moving}


def _source(path: Moving) -> str:
    mount = path.landing.mount
    if mount is None:
        return "its writable layer"
    is_docker_own = mount["type"] == "volume" and mount["host_path"] == mount["source"]
    return f"volume {mount['name']}" if is_docker_own else path.landing.host_path or mount["source"]


def _room(moving: Sequence[Moving], desired: DesiredHost, reader: Reader, outlook: Outlook) -> tuple[Bound, ...]:
    onto: dict[str, list[Moving]] = {}
    for path in moving:
        place = path.place or desired.docker.data_root
        if declared := (mount_of(place, desired) if place else None):
            onto.setdefault(declared, []).append(path)
    bounds, name = [], moving[0].name
    for declared, paths in onto.items():
        sizes = [size for size in _sizes(paths, reader).values() if size is not None]
        coming = outlook.mounts.get(declared)
        if not sizes or coming is None:
            continue
        needed = int(sum(sizes) * _MARGIN) + _RESERVE
        bounds.append(room_bound(desired.host, declared, coming, needed, name))
    return tuple(bounds)
