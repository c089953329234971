"""The host paths on which judgements rest: those asked for, and those that the host itself turned out to use."""

from __future__ import annotations

import os
from typing import Any

from .mounts import mount_table, places_of

ALWAYS = ("/", "/tmp", "/var/tmp", "/var/lib/docker", "/var/lib/containerd", "/var/lib/controlplane")  # noqa: S108 - looked at, never written


def covering(container: dict[str, Any], path: str) -> dict[str, Any] | None:
    """Return the mount of a container that a path of it lies in, None where it has none there."""
    inside = os.path.normpath(path)
    covers = [m for m in container["mounts"] if inside == m["destination"] or inside.startswith(m["destination"].rstrip("/") + "/")]
    return max(covers, key=lambda m: len(m["destination"]), default=None)


def landing(container: dict[str, Any], path: str) -> str | None:
    """Return the host path of a container's path, through the mount that covers it, else its writable layer; None where it is not on a host path."""
    inside, best = os.path.normpath(path), covering(container, path)
    tmpfs = [t for t in container["tmpfs"] if inside == t or inside.startswith(t.rstrip("/") + "/")]
    if tmpfs and (best is None or max(map(len, tmpfs)) > len(best["destination"])):
        return None
    base, below = (best["host_path"], best["destination"]) if best else (container["upper_dir"], "/")
    if base is None:
        return None
    rest = os.path.relpath(inside, below)
    return str(base) if rest == "." else os.path.join(base, rest)


def discovered(asked: dict[str, Any], seen: dict[str, Any]) -> set[str]:
    """Return the host paths that Docker, the loop devices and the asked containers lead to."""
    found: set[str | None] = set()
    for device in (seen.get("block") or {}).values():
        found.add(device["loop_file"])
    found.add((seen.get("docker_info") or {}).get("root"))
    found.add((seen.get("docker_config") or {}).get("containerd_root"))
    for volume in seen.get("docker_volumes") or []:
        found.update((volume["mountpoint"], volume["options"].get("device")))
    wanted = [(name, service["data"]) for name, service in asked.get("services", {}).items() if service.get("data")]
    wanted += [(surface["container"], surface["path"]) for surface in asked.get("write_surfaces", [])]
    for container in seen.get("docker_containers") or []:
        found.update((container["upper_dir"], container["compose_dir"], *container["compose_files"]))
        found.update(mount["host_path"] for mount in container["mounts"])
        found.update(landing(container, path) for name, path in wanted if name == container["name"])
    return {path for path in found if path and path.startswith("/") and "\0" not in path}


def overlaid(mountpoints: set[str]) -> set[str]:
    """Return the directories that the overlays at these mountpoints name as their layers."""
    found: set[str] = set()
    for mount in mount_table():
        if mount["fstype"] == "overlay" and mount["mount"] in mountpoints:
            for name, _, value in (option.partition("=") for option in mount["super_options"]):
                if name in ("upperdir", "lowerdir", "lowerdir+", "datadir+"):
                    found.update(layer for layer in value.split(":") if layer.startswith("/"))
    return found


def paths(asked: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    """Return the place of every path that was asked for or discovered, and of the layers of overlays that they lie on."""
    found = places_of({*ALWAYS, *asked.get("paths", []), *asked.get("mounts", []), *discovered(asked, seen)})
    layers = overlaid({place["mount"] for place in found.values()})
    return {**places_of(layers), **found}
