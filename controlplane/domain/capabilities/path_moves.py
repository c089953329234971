"""What a move of one path of a container to its place takes, whoever asks for it: change records, refusals, downtime, room.

Rules:
- The destination is a mount that is there or that an earlier step of the plan makes. A named volume lies in Docker's root, which has to be off the
  boot disk by then.
- How large the data are is known of volumes and of the writable layer. Of a bind it is not: the role measures it before it changes anything.
- What the container's own files say is the role's to judge, on the machine; what evidence tells against a move is told before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.domain.capabilities.proposal import Draft, Outlook
from controlplane.domain.capabilities.root_bounds import mount_of
from controlplane.domain.checks.landing import Landing, is_at_or_below
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.evidence_shapes import Container, ContainerMount
from controlplane.domain.plan import Bound, Change, Downtime, Mend

_STOP_LIMIT_S = 60
# Bare start, then the comparison of what was copied while it ran (seconds a gigabyte, measured on two cores).
_START_S, _S_PER_GB = 15, 10
_MARGIN, _RESERVE = 1.05, 64 << 20


class CannotError(Exception):
    """Why one path is left alone, and what a person does about it."""


@dataclass(frozen=True)
class Moving:
    """One path of a container, where it lands now, and the place or the volume that it shall have."""

    container: Container
    landing: Landing
    data: str
    place: str | None
    volume: str | None = None

    @property
    def destination(self) -> str:
        """How messages and change records name where it goes."""
        return self.place or f"volume {self.volume}"


def draft_of(
    moving: Moving,
    asked: tuple[DesiredHost, Reader, Outlook],
    *,
    mends: tuple[Mend, ...],
    variables: Mapping[str, Any],
    more: tuple[Change, ...] = (),
) -> Draft:
    """Return the step that moves it; `variables` are the role's own, `more` what it changes besides. Raises `CannotError`, `Unobserved`."""
    desired, reader, outlook = asked
    container, name, mount = moving.container, moving.container["name"], moving.landing.mount
    _refuse_what_is_not_ours(moving)
    _refuse_what_others_use(moving, reader)
    _refuse_place(moving, desired, reader, outlook)
    now, size = _told(mount, moving.data), _size(container, mount, reader)
    file = f"{'the override file beside the' if is_overridden(desired, container) else 'the'} compose file of {container['compose_project']}"
    changes = [
        Change(kind="move", target=f"{moving.data} of {name}", before=now, after=moving.destination),
        Change(
            kind="file",
            target=file,
            before=f"{container['compose_service']} mounts {now}",
            after=f"{moving.destination} at {moving.data}, and the project's name is pinned",
        ),
        Change(
            kind="recreate",
            target=f"container {name}",
            before=f"{moving.data} in {now}",
            after=f"{moving.data} in {moving.destination}, by Compose, from the changed file, once",
        ),
        Change(kind="retire", target=f"{now} of {name}", before="in use", after="kept unchanged until a purge of its own"),
        *more,
    ]
    return Draft(
        mends=mends,
        changes=tuple(changes),
        downtime=Downtime(services=(name,), estimate_s=_stop_limit(container) + _START_S + math.ceil((size or 0) / 1000**3 * _S_PER_GB)),
        undo=_undo(mount),
        bounds=_bounds(moving, desired, size, outlook),
        if_short=f"Make room on the disk of {moving.destination}, or name a larger one (policy.yml, hosts.{desired.host}), then plan again",
        variables=dict(variables),
    )


def is_overridden(desired: DesiredHost, container: Container) -> bool:
    """Say whether changes of a container's stack go into an override file."""
    return any(stack.project == container["compose_project"] and stack.edit == "override" for stack in desired.stacks)


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


def _undo(mount: ContainerMount | None) -> str:
    back = "put the compose file back byte for byte, and move the data back with everything that was written since, proven"
    if mount is None or mount["anonymous"]:
        return f"{back}; as that is a fresh place each time, the service stops for the whole copy"
    return back


def _refuse_what_is_not_ours(moving: Moving) -> None:
    container, mount, name = moving.container, moving.landing.mount, moving.container["name"]
    if not container["running"]:
        raise CannotError("it does not run, and what is moved is proven by the service itself: start it")
    if not container["compose_project"] or not container["compose_service"] or not container["compose_files"]:
        kind, source = ("bind", moving.place) if moving.place else ("volume", moving.volume)
        into = moving.place or f"$(docker volume inspect -f '{{{{.Mountpoint}}}}' $(docker volume create {moving.volume}))"
        raise CannotError(
            f"Compose did not make it, so nobody here can make it anew as it was. By hand: docker stop {name}; "
            f"docker cp -a {name}:{moving.data}/. {into}/; then run its image again with the same "
            f"options and --mount type={kind},source={source},target={moving.data}"
        )
    if mount is not None and (mount["type"] not in ("bind", "volume") or mount["host_path"] is None):
        raise CannotError(
            f"{moving.data} lies on a mount of type {mount['type']}, not in a directory of this host: move it to {moving.destination} by hand"
        )
    below = sorted([seen["destination"] for seen in container["mounts"]] + container["tmpfs"])
    below = [at for at in below if at != moving.data and is_at_or_below(at, moving.data)]
    if below:
        raise CannotError(f"{', '.join(below)} is mounted below {moving.data}: give it a place of its own first")
    if any(is_at_or_below(moving.data, at) for at in container["tmpfs"]):
        raise CannotError(f"{moving.data} lies in memory: take its tmpfs out of the compose file first")


def _refuse_what_others_use(moving: Moving, reader: Reader) -> None:
    path, name = moving.landing.host_path, moving.container["name"]
    if moving.landing.mount is None or path is None:
        return
    seen = reader.paths.get(path)
    if seen is not None and seen["real"] != path:
        raise CannotError(f"{path}, where its data lie, leads to {seen['real']} by a symbolic link: name the real path in the compose file")
    others = sorted(other["name"] for other in reader.containers if other["name"] != name for mount in other["mounts"] if _shows(mount, path))
    if others:
        raise CannotError(f"{', '.join(dict.fromkeys(others))} also mounts {path}, whose data would stay behind: give each a place of its own")


def _shows(mount: ContainerMount, path: str) -> bool:
    """Say whether a mount of another container shows the same data. A read-only one of a folder above, such as a backup's, keeps none there."""
    at = mount["host_path"]
    return at is not None and (is_at_or_below(at, path) or (is_at_or_below(path, at) and mount["rw"]))


def _refuse_place(moving: Moving, desired: DesiredHost, reader: Reader, outlook: Outlook) -> None:
    place = moving.place or outlook.docker_root or reader.docker_info["root"]
    declared = mount_of(place, desired)
    if moving.volume is not None and desired.data == "disk" and declared is None:
        raise CannotError(
            f"volume {moving.volume} would lie in Docker's root {place}, which is on no declared mount: docker.data_root has to move that first"
        )
    if declared in outlook.missing:
        raise CannotError(f"{place} lies on {declared}, which can't be provided: {outlook.missing[declared]}")
    if declared is not None and declared not in outlook.mounts:
        raise CannotError(f"{place} lies on {declared}, which is not mounted")


def _stop_limit(container: Container) -> int:
    if "stop_timeout_s" not in container:
        raise Unobserved(f"the stop timeout of {container['name']} was not collected")
    return max(_STOP_LIMIT_S, container["stop_timeout_s"] or 0)


def _size(container: Container, mount: ContainerMount | None, reader: Reader) -> int | None:
    """Return the bytes that are moved at most, None where nobody knows."""
    if mount is None:
        written = container["writable_bytes"]
        if written is None or written < 0:
            raise Unobserved(f"Docker did not tell the size of {container['name']}'s writable layer")
        return written
    if mount["type"] != "volume":
        return None
    size = reader.docker_usage["volume_bytes"].get(mount["name"] or "")
    return size if size is not None and size >= 0 else None


def _bounds(moving: Moving, desired: DesiredHost, size: int | None, outlook: Outlook) -> tuple[Bound, ...]:
    place, name = moving.place or desired.docker.data_root, moving.container["name"]
    declared = mount_of(place, desired) if place else None
    coming = outlook.mounts.get(declared) if declared else None
    if size is None or declared is None or coming is None:
        return ()
    needed = int(size * _MARGIN) + _RESERVE
    if coming.live and not coming.made_new:
        return (Bound(host=desired.host, what=f"free bytes on {declared}, for {name}", measure="free_bytes", of=declared, at_least=needed),)
    return (
        Bound(host=desired.host, what=f"size of {coming.device}, for {name}", measure="disk_bytes", of=coming.device, at_least=int(needed / 0.92)),
    )
