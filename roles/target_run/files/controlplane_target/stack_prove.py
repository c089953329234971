"""Whether a release runs: the manifest's images, healthy, in the containers that its deployment made, from the files that it wrote."""

from __future__ import annotations

from typing import Any

from . import stack_files, stack_images, stack_watch
from .docker_engine import Engine
from .files import read_json
from .stack_containers import by_service, of_project
from .stack_request import ENV_FILE, Request, digests
from .state import Home


def lacking(home: Home, engine: Engine, request: Request) -> list[str]:
    """Return what is not as the release has it."""
    record = read_json(stack_files.record_of(home, request.project)) or {}
    containers = of_project(engine.containers(), request.project)
    found = [f"{request.folder}/{name} is not the release's" for name in stack_files.unwritten(request)]
    files = digests(request.contents)
    wanted = {
        "manifest": request.manifest,
        "env_digest": request.env_digest,
        "env_sha256": files.pop(ENV_FILE),
        "files": files,
        "order": request.order,
    }
    if {key: record.get(key) for key in wanted} != wanted:
        found.append("it was not deployed from these files to its end")
    elif record["containers"] != by_service(containers):
        found.append("its containers are not those that were deployed")
    for service, pinned in request.images.items():
        own = [one for one in containers if one.service == service]
        if not own:
            found.append(f"{service} has no container")
        for one in own:
            image = stack_images.local(engine, one.image) or {}
            if not stack_images.is_digest(image, pinned):
                names = ", ".join(str(name) for name in image.get("RepoDigests") or []) or one.image
                found.append(f"{one.name} runs {names}, not {pinned}")
    return found + stack_watch.states(containers)


def is_starting(engine: Engine, project: str) -> bool:
    """Say whether a container of the project has not had the time to say that it is healthy."""
    return any((one.inspection["State"].get("Health") or {}).get("Status") == "starting" for one in of_project(engine.containers(), project))


def told(engine: Engine, request: Request) -> dict[str, Any]:
    """Return {service: the digests that Docker says it runs} of the released services."""
    found: dict[str, Any] = {}
    for one in of_project(engine.containers(), request.project):
        if one.service in request.images:
            found[one.service] = sorted((stack_images.local(engine, one.image) or {}).get("RepoDigests") or [])
    return found
