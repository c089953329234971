"""The containers of a Compose project on this host: who they are, what they run, and what of them stands in a release's way."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .stack_judge import services_of
from .stack_request import Request

LABEL = "com.docker.compose."
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")


class Container(NamedTuple):
    """One container that Compose made; `demand` is how it was: healthy, running, or nothing that could be demanded of it."""

    id: str
    name: str
    service: str
    image: str
    asked_for: str
    demand: str
    inspection: dict[str, Any]


def of_project(containers: Sequence[Mapping[str, Any]], project: str) -> list[Container]:
    """Return the project's containers, those that a person ran once left out."""
    found = []
    for held in containers:
        labels = _labels(held)
        if labels.get(f"{LABEL}project") != project or str(labels.get(f"{LABEL}oneoff") or "").lower() == "true":
            continue
        state = held["State"]
        health = (state.get("Health") or {}).get("Status")
        demand = "nothing" if not state["Running"] or state.get("Restarting") or health == "unhealthy" else "healthy" if health else "running"
        found.append(
            Container(
                str(held["Id"]),
                str(held["Name"]).lstrip("/"),
                str(labels.get(f"{LABEL}service") or ""),
                str(held["Image"]),
                str(held["Config"]["Image"]),
                demand,
                dict(held),
            )
        )
    return sorted(found, key=lambda one: (one.service, one.name))


def ran_once(containers: Sequence[Mapping[str, Any]], project: str) -> list[str]:
    """Return the names of the containers of a project that a person ran once (`docker compose run`), whether they have ended or not."""
    found = [(held, _labels(held)) for held in containers]
    own = [held for held, labels in found if labels.get(f"{LABEL}project") == project and str(labels.get(f"{LABEL}oneoff") or "").lower() == "true"]
    return sorted(str(held["Name"]).lstrip("/") for held in own)


def by_service(containers: Sequence[Container]) -> dict[str, list[str]]:
    """Return the ids of each service's containers, sorted."""
    services = sorted({one.service for one in containers})
    return {service: sorted(one.id for one in containers if one.service == service) for service in services}


def in_the_way(containers: Sequence[Mapping[str, Any]], config: Mapping[str, Any], request: Request) -> list[str]:
    """Return which containers of this host speak against bringing the stack up."""
    own = of_project(containers, request.project)
    found = []
    for one in own:
        folder = str(_labels(one.inspection).get(f"{LABEL}project.working_dir") or "")
        if folder != request.folder:
            found.append(
                f"{one.name} of project {request.project} runs from {folder or 'no folder'}, not from {request.folder}: move its stack there first"
            )
        found += [
            f"{one.name} has data in an anonymous volume at {path}, which no file of the release names: move them first (storage.persistent_paths)"
            for path in anonymous_mounts(one)
        ]
    return [*found, *_of_others(containers, own, config, request)]


def _of_others(containers: Sequence[Mapping[str, Any]], own: Sequence[Container], config: Mapping[str, Any], request: Request) -> list[str]:
    names = {str(service["container_name"]): name for name, service in services_of(config).items() if service.get("container_name")}
    ids, found = {one.id: one.name for one in own}, []
    known = {**{f"container:{number}": name for number, name in ids.items()}, **{f"container:{name}": name for name in ids.values()}}
    for held in containers:
        name, labels = str(held["Name"]).lstrip("/"), _labels(held)
        if held["Id"] in ids:
            continue
        project = str(labels.get(f"{LABEL}project") or "")
        if project and project != request.project and labels.get(f"{LABEL}project.working_dir") == request.folder:
            found.append(
                f"{name} of project {project} runs from {request.folder}: under the name {request.project} it would be another project, with empty volumes"
            )
        elif name in names:
            found.append(f"{names[name]} is to be called {name}, and another container has that name: remove or rename it")
        shared = [known[mode] for key in ("NetworkMode", "PidMode", "IpcMode") if (mode := str(held["HostConfig"].get(key) or "")) in known]
        found += [f"{name} lives in the namespaces of {one}, and would be left in dead ones" for one in sorted(set(shared))]
    return found


def anonymous_mounts(container: Container) -> list[str]:
    """Return where a container has anonymous volumes."""
    mounts = container.inspection.get("Mounts") or []
    return [str(one["Destination"]) for one in mounts if one.get("Type") == "volume" and _ANONYMOUS.fullmatch(str(one.get("Name") or ""))]


def _labels(held: Mapping[str, Any]) -> dict[str, Any]:
    return dict(held["Config"].get("Labels") or {})
