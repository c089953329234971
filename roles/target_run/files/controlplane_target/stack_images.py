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
from .stack_login import LoginUnknown, header_for, registry_of

_HUB = ("docker.io/library/", "docker.io/")
_NEEDS_LOGIN = ("unauthorized", "denied", "no basic auth", "authentication required")


def local(engine: Engine, name: str) -> dict[str, Any] | None:
    """Return what Docker says of an image, None where it is not here."""
    status, answer = engine.call("GET", f"/images/{quote(name, safe='/:@')}/json")
    return dict(answer) if status == 200 else None


def asked_of_registries(engine: Engine, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return what speaks against a pull of those images that are not here, and what only the pull can tell of the others."""
    found: list[str] = []
    doubts: list[str] = []
    for name in sorted(set(names)):
        if local(engine, name) is None:
            try:
                why = why_not_given(engine, name)
            except LoginUnknown as doubt:
                doubts.append(f"whether the registry gives {name} only its pull will tell: {doubt}")
            else:
                found += [f"{name} is not here and can't be pulled: {why}"] if why else []
    return found, doubts


def why_not_given(engine: Engine, name: str) -> str | None:
    """Return why the image's registry would not give it, None where it would. Raises `LoginUnknown` where it asks for a login that can't be read."""
    asked = f"/distribution/{quote(name, safe='/:@')}/json"
    try:
        status, answer = engine.call("GET", asked)
        login = header_for(name) if _wants_login(status, answer) else None
        if login is not None:
            status, answer = engine.call("GET", asked, more={"X-Registry-Auth": login})
    except (OSError, ValueError) as fault:
        return f"its registry does not answer ({fault})"
    said = str((answer or {}).get("message") or status)
    if status == 200:
        return None
    if _wants_login(status, answer):
        what = "and root has none there on this host" if login is None else "and root's is not good for it"
        return f"its registry asks for a login, {what}: docker login {registry_of(name)}"
    return f"its registry has no such image ({said})" if status == 404 else f"its registry does not answer ({said})"


def _wants_login(status: int, answer: Any) -> bool:
    said = str((answer or {}).get("message") or "")
    return status in (401, 403) or (status != 200 and any(word in said for word in _NEEDS_LOGIN))


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
