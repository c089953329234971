"""Whether a plan brings Docker to a host: what fstab guards ahead, and what bootstrap installs, has to be the same answer."""

from __future__ import annotations

import json

from controlplane.domain.checks.baseline import is_half_done, is_installed
from controlplane.domain.desired import DesiredHost
from controlplane.domain.docker_presence import is_without_docker
from controlplane.domain.evidence import Reader, Unobserved


def named_packages(desired: DesiredHost) -> tuple[str, ...]:
    """Return the packages that the profile names for Docker, none where it has no Docker."""
    docker = desired.machine.profile.baseline.docker if desired.machine is not None else None
    return docker.packages if docker is not None else ()


def missing_of(names: tuple[str, ...], reader: Reader) -> tuple[str, ...]:
    """Return those that are not wholly installed, each once. Raises `Unobserved`."""
    seen = reader.packages if names else {}
    unseen = sorted(set(names) - seen.keys())
    if unseen:
        raise Unobserved(f"packages: {', '.join(unseen)} was not looked at")
    return tuple(dict.fromkeys(name for name in names if not is_installed(seen[name])))


def comes(desired: DesiredHost, reader: Reader) -> bool:
    """Say whether Docker's engine is still to come, or half of it came. Raises `Unobserved`."""
    if not missing_of(named_packages(desired), reader):
        return False
    return is_without_docker(reader) or (is_begun(desired, reader) and not answers(reader))


def is_begun(desired: DesiredHost, reader: Reader) -> bool:
    """Say whether dpkg has at least begun with one of the named packages."""
    return any(is_installed(reader.packages[name]) or is_half_done(reader.packages[name]) for name in named_packages(desired))


def answers(reader: Reader) -> bool:
    """Say whether a Docker daemon answers."""
    try:
        return bool(reader.docker_info)
    except Unobserved:
        return False


def is_configured(desired: DesiredHost, reader: Reader) -> bool:
    """Say whether daemon.json holds the declared data-root already, so that a Docker that was never started will start there. Raises `Unobserved`."""
    text = reader.docker_config["daemon_json"]
    try:
        held = json.loads(text) if text and text.strip() else {}
    except ValueError:
        return False
    return isinstance(held, dict) and desired.docker.data_root in (None, held.get("data-root"))
