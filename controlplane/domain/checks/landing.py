"""Where a path inside a container really lands on the host, through that container's own mounts."""

from __future__ import annotations

from typing import NamedTuple

from controlplane.domain.checks.case import Case
from controlplane.domain.evidence import Unobserved
from controlplane.domain.evidence_shapes.docker import Container, ContainerMount
from controlplane.domain.lineage import MEMORY, REMOTE, Place


class Landing(NamedTuple):
    """`mount` is the container's mount that covers the path, None for its writable layer. `host_path` is None where no path of this host holds it."""

    mount: ContainerMount | None
    host_path: str | None
    place: Place


def is_at_or_below(path: str, parent: str) -> bool:
    """Say whether a normalised path is `parent` or lies below it."""
    return path == parent or path.startswith(parent.rstrip("/") + "/")


def covering(container: Container, path: str) -> ContainerMount | None:
    """Return the mount of a container that a path lies in, None if there is none. Memory that `tmpfs` puts over it is no such mount."""
    covers = [mount for mount in container["mounts"] if is_at_or_below(path, mount["destination"])]
    return max(covers, key=lambda mount: len(mount["destination"]), default=None)


def whereabouts(landing: Landing) -> str:
    """Return how a message names where something landed."""
    mount = landing.mount
    if mount is not None and mount["type"] == "volume":
        return f"{'anonymous ' if mount['anonymous'] else ''}volume {mount['name']}"
    return landing.host_path or landing.place.source


def land(case: Case, container: Container, path: str) -> Landing:
    """Follow a path of a container to the host. Raises `Unobserved` where it can't be followed."""
    best = covering(container, path)
    memory = max((len(at) for at in container["tmpfs"] if is_at_or_below(path, at)), default=0)
    if memory > (len(best["destination"]) if best else 0):
        return Landing(None, None, Place("memory", frozenset(), path, "tmpfs", "tmpfs"))
    if best is None:
        return _in_layer(case, container, path)
    return land_mount(case, container, best, path)


def land_mount(case: Case, container: Container, mount: ContainerMount, path: str) -> Landing:
    """Follow a path through one mount of its container."""
    if mount["host_path"] is None:
        return Landing(mount, None, _elsewhere(case, container, mount))
    base = mount["host_path"]
    landed = base.rstrip("/") + path.removeprefix(mount["destination"].rstrip("/")) if path != mount["destination"] else base
    known = landed if landed in case.reader.paths else base
    return Landing(mount, landed, case.lineage.of_path(known))


def _in_layer(case: Case, container: Container, path: str) -> Landing:
    upper = container["upper_dir"]
    # A layer whose directory isn't named still lies below the root of its store, whichever of the two that is.
    info = case.reader.docker_info
    root = upper or (case.reader.docker_config["containerd_root"] if info["containerd_image_store"] else info["root"])
    if not root:
        raise Unobserved(f"{container['name']}: {path} lies in its writable layer, whose directory is not known")
    return Landing(None, upper, case.lineage.of_path(root))


def _elsewhere(case: Case, container: Container, mount: ContainerMount) -> Place:
    """Tell memory from another machine for a mount that no host path holds; whatever else it is can't be told."""
    if mount["type"] == "tmpfs":
        return Place("memory", frozenset(), mount["destination"], "tmpfs", "tmpfs")
    volume = next((one for one in case.reader.volumes if one["name"] == mount["name"]), None) if mount["type"] == "volume" else None
    kind = volume["options"].get("type", "") if volume is not None and volume["driver"] == "local" else ""
    if kind in MEMORY:
        return Place("memory", frozenset(), mount["destination"], kind, kind)
    if kind in REMOTE and volume is not None:
        return Place("remote", frozenset(), mount["destination"], kind, volume["options"].get("device", ""))
    raise Unobserved(
        f"{container['name']}: where {mount['destination']} lands is not known ({mount['type']} {mount['name'] or mount['source'] or '?'})"
    )
