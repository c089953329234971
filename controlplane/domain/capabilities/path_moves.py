"""One path of a container that is to lie elsewhere, whoever asks for it: what it is, and each doubt that leaves it alone.

Rules:
- The destination is a mount that is there or that an earlier step of the plan makes. A named volume lies in Docker's root, which has to be off the
  boot disk by then.
- What the container's own files say is the role's to judge, on the machine; what evidence tells against a move is told before.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from itertools import product
from typing import Any

from controlplane.domain.capabilities.proposal import Outlook
from controlplane.domain.capabilities.root_bounds import mount_of
from controlplane.domain.checks.landing import Landing, is_at_or_below
from controlplane.domain.checks.restart import lost_by_restart
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.evidence_shapes.docker import Container, ContainerMount
from controlplane.domain.plan import Mend


class CannotError(Exception):
    """Why one path is left alone, and what a person does about it."""


@dataclass(frozen=True)
class Moving:
    """One path of a container, where it lands now, and the place or the volume that it shall have.

    `has` is None where it has to move; where it lies at its place already, it is the owner and the mode that the place has, and those alone change.
    """

    container: Container
    landing: Landing
    kind: str
    data: str
    place: str | None
    volume: str | None = None
    proof: tuple[str, ...] = ()
    owner: str = ""
    mode: str = ""
    has: str | None = None
    mends: tuple[Mend, ...] = ()

    @property
    def name(self) -> str:
        """The container's name."""
        return self.container["name"]

    @property
    def destination(self) -> str:
        """How messages and change records name where it goes."""
        return self.place or f"volume {self.volume}"

    @property
    def declared(self) -> str:
        """Owner and mode that its place shall have, as far as they are declared."""
        return " ".join(filter(None, (self.owner, self.mode)))

    def variables(self, desired: DesiredHost) -> dict[str, Any]:
        """Return it as a role's variable has it."""
        return {
            "kind": self.kind,
            "data": self.data,
            "place": self.place or "",
            "volume": self.volume or "",
            "mount": (mount_of(self.place, desired) or "") if self.place else "",
            "proof": list(self.proof),
            "owner": self.owner,
            "mode": self.mode,
        }


def is_apart(one: Moving, other: Moving) -> bool:
    """Say whether two paths may move together: none of what they are or become lies within what the other is or becomes."""
    pairs = [((one.data,), (other.data,)), (_sides(one), _sides(other))]
    return not any(is_at_or_below(a, b) or is_at_or_below(b, a) for ours, theirs in pairs for a, b in product(ours, theirs))


def _sides(moving: Moving) -> tuple[str, ...]:
    # All that lies in the writable layer lands in one folder of the host.
    source = moving.landing.host_path if moving.landing.mount is not None and moving.has is None else None
    return tuple(filter(None, (source, moving.place)))


def is_overridden(desired: DesiredHost, container: Container) -> bool:
    """Say whether changes of a container's stack go into an override file."""
    return any(stack.project == container["compose_project"] and stack.edit == "override" for stack in desired.stacks)


def refuse(moving: Moving, desired: DesiredHost, reader: Reader, outlook: Outlook) -> None:
    """Raise `CannotError` or `Unobserved` where evidence speaks against a move."""
    if moving.has is not None:
        return
    _refuse_what_is_not_ours(moving)
    _refuse_what_others_use(moving, reader)
    _refuse_place(moving, desired, reader, outlook)
    if lost := lost_by_restart(reader, only=moving.name):
        raise CannotError(lost[0].partition(": ")[2])
    stop_timeout(moving.container)
    size_of(moving, reader)


def stop_timeout(container: Container) -> int | None:
    """Return how long a container may take to stop by its own word (seconds). Raises `Unobserved`."""
    if "stop_timeout_s" not in container:
        raise Unobserved(f"{container['name']}: its stop timeout was not collected")
    return container["stop_timeout_s"]


def size_of(moving: Moving, reader: Reader) -> int | None:
    """Return the bytes that are moved at most, None where they were not measured within the limits. Raises `Unobserved`."""
    mount = moving.landing.mount
    if mount is None:
        written = moving.container["writable_bytes"]
        if written is None or written < 0:
            raise Unobserved(f"{moving.name}: Docker did not tell the size of its writable layer")
        return written
    size = reader.docker_usage["volume_bytes"].get(mount["name"] or "") if mount["type"] == "volume" else None
    if size is not None and size >= 0:
        return size
    # Docker keeps no account of what it does not keep itself.
    try:
        return reader.sources.get(moving.landing.host_path or "")
    except Unobserved:
        return None


def _refuse_what_is_not_ours(moving: Moving) -> None:
    container, mount = moving.container, moving.landing.mount
    if not container["running"]:
        raise CannotError("it does not run, and what is moved is proven by the service itself: start it")
    if not container["compose_project"] or not container["compose_service"] or not container["compose_files"]:
        raise CannotError(f"Compose did not make it, so nobody here can make it anew as it was. By hand: {_by_hand(moving)}")
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


def _by_hand(moving: Moving) -> str:
    """Return the commands that move the path of a container which Compose did not make, as the role tells them (path_refuse.py)."""
    kind, source = ("bind", moving.place) if moving.place else ("volume", moving.volume)
    # Creating a volume prints its name as well; one that is there already stays.
    into = shlex.quote(moving.place) if moving.place else f"\"$(docker volume inspect -f '{{{{.Mountpoint}}}}' $(docker volume create {source}))\""
    make = f"mkdir -p {into} && " if moving.place else ""
    # What 'docker cp -a' writes on the host belongs to whoever calls it (moby, archive.CopyTo); an archive keeps the owners.
    return (
        f"docker stop {moving.name} && {make}docker cp {shlex.quote(f'{moving.name}:{moving.data}/.')} - | tar -xp --numeric-owner -C {into}; "
        f"then run its image again with the same options and --mount {shlex.quote(f'type={kind},source={source},target={moving.data}')}"
    )


def _refuse_what_others_use(moving: Moving, reader: Reader) -> None:
    path, name = moving.landing.host_path, moving.name
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
