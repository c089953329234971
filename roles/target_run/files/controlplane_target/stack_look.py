"""The look at one release on one host, before anything is touched: all that speaks against it, and what it would change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from . import (
    redis_guard,
    redis_rest,
    stack_containers,
    stack_env,
    stack_files,
    stack_images,
    stack_judge,
    stack_names,
    stack_places,
    stack_view,
    stack_volumes,
)
from .docker_engine import Engine
from .faults import RefusedFault
from .files import read_bytes
from .redis_server import inspected
from .stack_containers import Container, of_project
from .stack_request import ENV_FILE, Request
from .stack_view import View
from .state import Home, Run


class Look(NamedTuple):
    """`images` are by service, `absent` those that have to be pulled, `found` what speaks against the release, `changes` what it would change.

    `doubts` is what only the pull can tell.
    """

    config: dict[str, Any]
    images: dict[str, str]
    absent: list[str]
    found: list[str]
    changes: list[dict[str, str]]
    doubts: list[str]


def look(engine: Engine, request: Request, key: str) -> Look:
    """Return what there is to say of the release. Raises `OSError` where Docker does not answer."""
    containers = engine.containers()
    found = [*stack_env.steering(request.env), *stack_files.of_the_folder(request)]
    try:
        unpinned = stack_view.reading(replace(request.as_told, files=request.as_told.files[:-1]), request.contents, key)
        view = stack_view.reading(request.as_told, request.contents, key)
    except RefusedFault as fault:
        told = str(fault).removesuffix(". Nothing was changed.")
        return Look({}, {}, [], [*stack_names.of_the_name(request, None), *found, told], [], [])
    config, images = view.config, stack_judge.wanted_images(view.config, request)
    absent = sorted({name for name in images.values() if name and stack_images.local(engine, name) is None})
    ungiven, doubts = stack_images.asked_of_registries(engine, absent)
    found += [
        *stack_names.of_the_name(request, str(config.get("name"))),
        *stack_judge.of_the_manifest(unpinned.config, request),
        *of_the_view(engine, view, request),
        *stack_containers.in_the_way(containers, config, request),
        *_external(engine, config),
        *_of_redis(engine, of_project(containers, request.project), config, images),
        *of_the_images(engine, config, images),
        *ungiven,
    ]
    own = of_project(containers, request.project)
    changes = [*_of_files(request), *_of_services(engine, own, config, images)]
    return Look(config, images, absent, list(dict.fromkeys(found)), changes, doubts)


def of_the_view(engine: Engine, view: View, request: Request) -> list[str]:
    """Return what speaks against the stack as Compose reads it, and as the paths of this host are now."""
    unset = [f"Compose finds no value for {', '.join(view.unset)}: set it in the environment file, or give it a default in the compose file"]
    binds = stack_places.of_the_binds([*stack_judge.binds(view.config), *stack_volumes.binds(engine, view.config)], request.places)
    unplanned = stack_places.unplanned(stack_judge.written(view.config), request.places)
    volumes = stack_volumes.against(engine, view.config, request.volumes)
    return [*(unset if view.unset else []), *stack_judge.of_the_stack(view.config), *binds, *unplanned, *volumes]


def of_the_images(engine: Engine, config: dict[str, Any], images: dict[str, str]) -> list[str]:
    """Return what speaks against those of the images that are here."""
    found, services = [], stack_judge.services_of(config)
    for service, name in images.items():
        image = stack_images.local(engine, name) if name else None
        if not name:
            found.append(f"{service} has no image, in the manifest or in the compose files")
        elif image is not None:
            found += stack_judge.of_the_image(service, services[service], image)
    return found


def _of_redis(engine: Engine, own: list[Container], config: dict[str, Any], images: dict[str, str]) -> list[str]:
    """Return which Redis of the stack would lose keys if it were made anew as the release has it, or be started again as it is."""
    found, services = [], stack_judge.services_of(config)
    for server in redis_rest.servers([one.inspection for one in own]):
        service = next(one.service for one in own if one.id == server.inspection["Id"])
        wanted = services.get(service)
        if wanted is not None:
            words = _words(wanted, (stack_images.local(engine, images.get(service, "")) or {}).get("Config") or {})
            found.append(redis_rest.lost_by_start(server, words or redis_rest.words_of(server.inspection)))
    return [told for told in found if told is not None]


def _words(service: dict[str, Any], image: dict[str, Any]) -> list[str]:
    """Return what a service starts with: its own words over its image's, as Compose has it. Empty where the image is not here yet and they are its own."""
    entrypoint, command = service.get("entrypoint"), service.get("command")
    if entrypoint is not None:
        return [*entrypoint, *(command or [])]
    first = list(image.get("Entrypoint") or [])
    return [*first, *(command if command is not None else image.get("Cmd") or [])] if image or command is not None else []


def open_elsewhere(home: Home, project: str, run: Run, phases: tuple[str, ...]) -> list[str]:
    """Return which other runs of the project are open, or keep a Redis of it down: what the host settles of them would be in this one's way."""
    kept = redis_guard.keeping(home, lambda other: _project_of(other) == project)
    return kept + [
        f"run {other.key} of {project} is open at {other.phase}: end it first ({other.folder}/undo)"
        for other in home.runs()
        if other.key != run.key and other.phase in phases and other.state.get("project") == project
    ]


def _project_of(kept: Run) -> str | None:
    """Return the project of a container that a run keeps down."""
    if stack := kept.state.get("stack"):
        return str(stack["project"])
    held = inspected(kept.state["guard"]["id"]) or {"Config": {}}
    return (held["Config"].get("Labels") or {}).get("com.docker.compose.project")


def _external(engine: Engine, config: dict[str, Any]) -> list[str]:
    found = []
    for kind in ("volumes", "networks"):
        if not (wanted := stack_judge.external(config, kind)):
            continue
        held = engine.get(f"/{kind}")
        there = {str(one["Name"]) for one in (held.get("Volumes") or [] if kind == "volumes" else held)}
        one = kind.removesuffix("s")
        found += [f"the stack shares the {one} {name}, which is not there: docker {one} create {name}" for name in wanted if name not in there]
    return found


def _of_files(request: Request) -> list[dict[str, str]]:
    """Return the changes of files; of the environment file no byte is told."""
    changes = []
    for name in stack_files.unwritten(request):
        path = f"{request.folder}/{name}"
        before = read_bytes(Path(path))
        if name == ENV_FILE:
            shown = ("absent\n" if before is None else "another one, or not root's alone\n", f"the one of {request.environment}, for root alone\n")
        else:
            shown = ((before or b"").decode("utf-8", "replace"), request.contents[name].decode("utf-8", "replace"))
        changes.append({"kind": "file", "target": path, "before": shown[0], "after": shown[1]})
    return changes


def _of_services(engine: Engine, own: list[Container], config: dict[str, Any], images: dict[str, str]) -> list[dict[str, str]]:
    """Return which services start, run another image, or end."""
    runs: dict[str, list[str]] = {}
    for one in own:
        image = stack_images.local(engine, one.image) or {}
        pinned = images.get(one.service, "")
        same = "@" in pinned and stack_images.is_digest(image, pinned)
        runs.setdefault(one.service, []).append(pinned if same else one.asked_for)
    changes = []
    for service, name in images.items():
        before = ", ".join(sorted(set(runs.get(service, []))))
        if before != name:
            changes.append({"kind": "service", "target": service, "before": before or "absent", "after": name})
    ends = stack_judge.ending(runs, config)
    return changes + [{"kind": "service", "target": service, "before": ", ".join(sorted(set(runs[service]))), "after": "absent"} for service in ends]
