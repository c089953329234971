"""What speaks against a stack as Compose reads it, and against the images that it would run. Pure.

Rules:
- All reasons are collected, so that one visit mends them all.
- A service that nobody can tell healthy, or that stays down after a reboot, is no service. An image's HEALTHCHECK counts as one.
- An anonymous volume is a new one after the next `down`: data in it are lost (docker/compose#7444). An image's VOLUME that nothing is mounted at is one.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .stack_request import Request

# "any" is how a policy below `deploy` says it. Docker starts what has on-failure only where it failed, not with itself.
_COMING_BACK = ("always", "unless-stopped", "any")


class Bind(NamedTuple):
    """A path of this host that a stack uses; `user` is how a message names who does, `is_writable` whether data may be written there."""

    source: str
    user: str
    is_writable: bool


def of_the_stack(config: Mapping[str, Any]) -> list[str]:
    """Return what speaks against the stack, without a look at its images."""
    found = []
    for name, service in services_of(config).items():
        if service.get("build"):
            found.append(f"{name} has a build, and what is built on this host is no release: take it out")
        if _restart(service) not in _COMING_BACK:
            found.append(f"{name} has {_restart_named(service)}, so it stays down after a reboot: write 'restart: unless-stopped'")
        if _is_unwatched(service):
            found.append(_no_healthcheck(name))
        found += [
            f"{name} has an anonymous volume at {mount['target']}, which the next 'down' leaves behind with its data: give it a name or a place"
            for mount in service.get("volumes") or []
            if mount.get("type") == "volume" and not mount.get("source")
        ]
    return found


def of_the_manifest(config: Mapping[str, Any], request: Request) -> list[str]:
    """Return what of the manifest fits no service; the reading is one without the file that pins its images, which would make a service of each."""
    unknown = [service for service in request.images if service not in services_of(config)]
    return [f"the manifest has an image for {service}, and the compose files have no such service" for service in unknown]


def of_the_image(service: str, held: Mapping[str, Any], image: Mapping[str, Any]) -> list[str]:
    """Return what speaks against running that image as that service; `held` is the service as Compose reads it."""
    config, found = image.get("Config") or {}, []
    test = list((config.get("Healthcheck") or {}).get("Test") or [])
    if not _has_healthcheck(held) and not _is_unwatched(held) and test[:1] in ([], ["NONE"]):
        found.append(_no_healthcheck(service))
    mounted = {posixpath.normpath(str(mount["target"])) for mount in held.get("volumes") or []}
    mounted |= {posixpath.normpath(str(mount).partition(":")[0]) for mount in held.get("tmpfs") or []}
    bare = sorted({posixpath.normpath(str(path)) for path in config.get("Volumes") or {}} - mounted)
    found += [
        f"the image of {service} declares a volume at {path}, and nothing is mounted there: it would be an anonymous one, which the next 'down' leaves behind"
        for path in bare
    ]
    return found


def services_of(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the services of a reading, by name."""
    return {str(name): dict(service) for name, service in sorted((config.get("services") or {}).items())}


def binds(config: Mapping[str, Any]) -> list[Bind]:
    """Return each path of the host that the stack uses, once for each user."""
    found = []
    for name, service in services_of(config).items():
        found += [
            Bind(str(mount["source"]), name, not mount.get("read_only")) for mount in service.get("volumes") or [] if mount.get("type") == "bind"
        ]
    for name, volume in (config.get("volumes") or {}).items():
        options = (volume or {}).get("driver_opts") or {}
        if "bind" in str(options.get("o") or "").split(",") and str(options.get("device") or "").startswith("/"):
            # Its own folder is empty: the data lie at the device (docker/compose#2957).
            found.append(Bind(posixpath.normpath(str(options["device"])), f"volume {name}", is_writable=True))
    for kind in ("configs", "secrets"):
        found += [
            Bind(str(one["file"]), f"{kind[:-1]} {name}", is_writable=False)
            for name, one in (config.get(kind) or {}).items()
            if (one or {}).get("file")
        ]
    return found


def written(config: Mapping[str, Any]) -> list[Bind]:
    """Return each path of the host to which a service may write, by itself or through a volume that it mounts."""
    services = services_of(config)
    mounts = [mount for service in services.values() for mount in service.get("volumes") or [] if mount.get("type") == "volume"]
    users = {*services, *(f"volume {mount.get('source')}" for mount in mounts)}
    return [bind for bind in binds(config) if bind.is_writable and bind.user in users]


def external(config: Mapping[str, Any], kind: str) -> list[str]:
    """Return the names of the `volumes` or `networks` that the stack expects to find."""
    return sorted(str((one or {}).get("name") or name) for name, one in (config.get(kind) or {}).items() if (one or {}).get("external"))


def wanted_images(config: Mapping[str, Any], request: Request) -> dict[str, str]:
    """Return the image of each service: the manifest's, or the one that the compose files name."""
    return {name: request.images.get(name) or str(service.get("image") or "") for name, service in services_of(config).items()}


def ending(names: Iterable[str], config: Mapping[str, Any]) -> list[str]:
    """Return those services that run now and are no part of the stack any more."""
    return sorted(set(names) - set(services_of(config)))


def _restart(service: Mapping[str, Any]) -> str:
    """Return the restart policy as Compose gives it to Docker: the one below `deploy` counts."""
    deployed = (service.get("deploy") or {}).get("restart_policy")
    if deployed is not None:
        return "no" if deployed.get("condition") == "none" else str(deployed.get("condition") or "any")
    return str(service.get("restart") or "")


def _restart_named(service: Mapping[str, Any]) -> str:
    policy = _restart(service)
    return "no restart policy" if policy in ("", "no") else f"the restart policy {policy}"


def _has_healthcheck(service: Mapping[str, Any]) -> bool:
    return bool((service.get("healthcheck") or {}).get("test"))


def _is_unwatched(service: Mapping[str, Any]) -> bool:
    """Say whether the service switches off whatever its image would check."""
    check = service.get("healthcheck") or {}
    return bool(check.get("disable")) or list(check.get("test") or [])[:1] == ["NONE"]


def _no_healthcheck(service: str) -> str:
    return f"{service} has no healthcheck, so nobody could tell whether it works: give it one, or its image a HEALTHCHECK"
