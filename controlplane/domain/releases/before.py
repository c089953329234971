"""What a plan of a release saw of a project on a host before it: the images of the containers that its changes name.

Rules:
- It is read from the changes that the plan shows, so that who approved it saw the same.
- A plan that does not name every service saw a release there already, and does not tell what each ran: then it is not known.
- What proves an image is its digest; one that came from no registry is told by its ID on that host. A tag proves nothing.
- As many containers of a service have to be there as before, as many of them have to run, none of these over and over anew, and healthy where they
  were; of one that did not run, only its image is asked.
- Whether one was healthy stands in the undo that the plan shows, with which nothing is compared: that comes and goes, and a plan has to fit still.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from controlplane.domain.evidence_shapes.docker import Container
from controlplane.domain.plan import Plan, Step
from controlplane.domain.releases.history import Deployment, OnHost
from controlplane.domain.releases.running import digests_of, services_of

_TOLD = re.compile(r"(?P<name>[^\s:;]+): (?P<image>[^\s,;]+)(?: \((?P<id>sha256:\w+)\))?, (?P<state>\w+)")
_HEALTHY = re.compile(rf"{_TOLD.pattern}, healthy\b")


class Was(NamedTuple):
    """One container before: `service` is empty for one that the plan removes, `id` is its image's where that has no digest."""

    service: str
    name: str
    image: str
    id: str | None
    state: str
    healthy: bool = False

    @property
    def told(self) -> str:
        """Return it as a person reads it."""
        return f"{self.service or self.name} {self.image}{f' ({self.id})' if self.id else ''}"


def told_of(container: Container) -> str:
    """Return how a change names a container: its image by digest, or by its ID where it has none."""
    held = container.get("image_digests")
    image = held[0] if held else f"{container['image']} ({container['image_id']})" if container["image_id"] else container["image"]
    return f"{container['name']}: {image}, {container['state']}"


def told_with_health(container: Container) -> str:
    """Return the same, and whether it is healthy."""
    return f"{told_of(container)}, healthy" if container.get("health") == "healthy" else told_of(container)


def was_before(step: Step) -> tuple[Was, ...] | None:
    """Return the containers that a step of a plan saw of its project; None where it does not tell."""
    project = str(step.variables["compose_stack_project"])
    starts = {f"{project} {service}": str(service) for service in step.variables["compose_stack_images"]}
    named = {one.target for one in step.changes if one.kind == "recreate"}
    if not starts.keys() <= named:
        return None
    found: list[Was] = []
    healthy = {said["name"] for said in _HEALTHY.finditer(step.undo)}
    for change in step.changes:
        if change.kind not in ("recreate", "delete") or change.before is None:
            continue
        for text in change.before.split("; "):
            said = _TOLD.fullmatch(text)
            if said is None:
                return None
            found.append(Was(starts.get(change.target, ""), **said.groupdict(), healthy=said["name"] in healthy))
    return tuple(found)


def before(deployment: Deployment, plan_of: Callable[[str], Plan]) -> tuple[Was, ...] | None:
    """Return the containers of its project that a host had before a deployment; None where its plan does not tell. Raises what `plan_of` does."""
    return was_before(next(step for step in plan_of(deployment.plan).steps if step.host == deployment.host))


def went_back_last(host: OnHost) -> Deployment | None:
    """Return the deployment of a host that was taken back last: where nothing stands, what was before it is there now."""
    return max((one for one in host.deployments if one.undone_seq is not None), key=lambda one: one.undone_seq or 0, default=None)


def faults_of_return(project: str, was: Sequence[Was], containers: Sequence[Container]) -> tuple[str, ...]:
    """Return what differs from how a project was before; empty where as many of the very images run again, or nothing is there where nothing was.

    Raises `Unobserved`.
    """
    running = services_of(project, containers)
    told = [f"{one.told}: no digest tells it, so nobody can prove that it is back" for one in was if _proof(one) is None]
    for service in sorted({one.service for one in was if one.service}):
        mine = [one for one in was if one.service == service]
        held = running.pop(service, [])
        told += _of_service(service, project, mine, held)
    left = [container for held in running.values() for container in held]
    for one in (one for one in was if not one.service):
        # Of what the release has no service for, the plan says the container's name, which Compose may give anew.
        back = next((container for container in left if container["name"] == one.name), None) or next(
            (container for container in left if _is(container, one)), None
        )
        if back is None:
            told.append(f"{one.name} is not there, which was before")
            continue
        left.remove(back)
        told += [fault for fault in (_other_image(back, [one]), *_down([one], [back])) if fault is not None]
    told += [f"{container['name']} is there ({container['state']}), which was not before" for container in left]
    return tuple(told)


def _proof(was: Was) -> str | None:
    return was.id or was.image.partition("@")[2] or None


def _is(container: Container, was: Was) -> bool:
    return container["image_id"] == was.id if was.id is not None else _proof(was) in digests_of(container)


def _of_service(service: str, project: str, was: Sequence[Was], held: Sequence[Container]) -> list[str]:
    if not held:
        return [f"{service}: no container of {project} runs it, which ran before"]
    told = [fault for container in held if (fault := _other_image(container, was)) is not None]
    if len(held) != len(was):
        told.append(f"{service}: {len(held)} container{'' if len(held) == 1 else 's'} of it now, and {len(was)} before")
    return [*told, *_down(was, held)]


def _other_image(container: Container, was: Sequence[Was]) -> str | None:
    # What can't be proven is said once, with what it was.
    provable = [one for one in was if _proof(one) is not None]
    if provable and not any(_is(container, one) for one in provable):
        return f"{told_of(container)}, and before it was {', '.join(dict.fromkeys(one.told for one in was))}"
    return None


def _down(was: Sequence[Was], held: Sequence[Container]) -> list[str]:
    """Return which containers do not run, where fewer do than did, and which are not healthy, where fewer are than were."""
    # One that dies and is started over and over is running and restarting at once.
    runs = [one for one in held if one["running"] and one["state"] == "running"]
    well = [one for one in runs if one.get("health") == "healthy"]
    told: list[str] = []
    if len(runs) < sum(one.state == "running" for one in was):
        told += [f"{one['name']} is {one['state']}, and ran before" for one in held if one not in runs]
    if len(well) < sum(one.healthy for one in was):
        told += [f"{one['name']} is {one.get('health') or 'without a health check'}, and was healthy before" for one in runs if one not in well]
    return told
