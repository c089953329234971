"""The images of a stack: which are here, which a registry would give, and their pull while everything runs.

Rules:
- An image is asked for by its digest; one that the compose files name otherwise is only pulled where it is not here at all.
- A pull changes nothing that runs, so one that fails is a refusal: it names what was pulled, what was not, and why.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from . import command
from .docker_engine import Engine
from .faults import RefusedFault

_HUB = ("docker.io/library/", "docker.io/")
_NEEDS_LOGIN = ("unauthorized", "denied", "no basic auth", "authentication required")


def local(engine: Engine, name: str) -> dict[str, Any] | None:
    """Return what Docker says of an image, None where it is not here."""
    status, answer = engine.call("GET", f"/images/{quote(name, safe='/:@')}/json")
    return dict(answer) if status == 200 else None


def why_not_given(engine: Engine, name: str) -> str | None:
    """Return why the image's registry would not give it, None where it would or only a login says."""
    try:
        status, answer = engine.call("GET", f"/distribution/{quote(name, safe='/:@')}/json")
    except (OSError, ValueError) as fault:
        return f"its registry does not answer ({fault})"
    said = str((answer or {}).get("message") or status)
    # Docker's own login is the command's, not the daemon's: the pull, which changes nothing either, tries it.
    if status == 200 or status in (401, 403) or any(word in said for word in _NEEDS_LOGIN):
        return None
    return f"its registry has no such image ({said})" if status == 404 else f"its registry does not answer ({said})"


def of_the_registry(engine: Engine, names: Iterable[str]) -> list[str]:
    """Return what speaks against a pull of those images."""
    found = ((name, why_not_given(engine, name)) for name in sorted(set(names)) if local(engine, name) is None)
    return [f"{name} is not here and can't be pulled: {why}" for name, why in found if why]


def pull(engine: Engine, names: Iterable[str]) -> list[str]:
    """Pull those images that are not here; return which those were. Raises `RefusedFault`."""
    pulled: list[str] = []
    for name in sorted(set(names)):
        if local(engine, name) is not None:
            continue
        said = command.run(["docker", "pull", "--quiet", name])
        if said.code != 0:
            raise RefusedFault(_told(engine, name, said.err.strip() or said.out.strip(), pulled))
        pulled.append(name)
    return pulled


def _told(engine: Engine, name: str, why: str, pulled: list[str]) -> str:
    root = str(engine.info()["DockerRootDir"])
    held = os.statvfs(root)
    free, nodes = held.f_bavail * held.f_frsize, held.f_favail
    full = f" {root} has {free} bytes and {nodes} inodes left: make room there (docker.hygiene)." if "no space left" in why else ""
    kept = f" Pulled before that, and left: {', '.join(pulled)}." if pulled else ""
    return f"{name} could not be pulled: {why[-400:]}.{full}{kept} What runs was not touched. Nothing was changed. Mend that, then run this again."


def is_digest(image: dict[str, Any], pinned: str) -> bool:
    """Say whether an image that is here is the pinned one, by what its registry called it."""
    return _short(pinned) in {_short(str(one)) for one in image.get("RepoDigests") or []}


def _short(name: str) -> str:
    return next((name[len(prefix) :] for prefix in _HUB if name.startswith(prefix)), name)
