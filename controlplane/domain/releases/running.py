"""Whether what runs of a stack is what a manifest says.

Rules:
- What counts is the digest of the image that the container was made from, as the engine knows it; a tag or a label names nothing.
- Running is not enough: a container whose health check has not passed is not there yet, and one without a health check never is.
- What somebody ran once, beside the services, is no part of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controlplane.domain.evidence import Unobserved
from controlplane.domain.evidence_shapes.docker import Container


def services_of(project: str, containers: Sequence[Container]) -> dict[str, list[Container]]:
    """Return the containers of a compose project by service, sorted."""
    found: dict[str, list[Container]] = {}
    for container in sorted(containers, key=lambda one: one["name"]):
        if container["compose_project"] == project and container["compose_service"] and not container.get("compose_oneoff"):
            found.setdefault(container["compose_service"], []).append(container)
    return found


def digests_of(container: Container) -> tuple[str, ...]:
    """Return the digests (sha256:…) of the image that a container runs. Raises `Unobserved` where the evidence is older than that question."""
    if "image_digests" not in container:
        raise Unobserved(f"the digest of {container['name']}'s image was not collected")
    return tuple(held.rpartition("@")[2] for held in container["image_digests"])


def running_faults(project: str, images: Mapping[str, str], containers: Sequence[Container]) -> tuple[str, ...]:
    """Return what differs from the images (by compose service, pinned) of a stack; empty where all run, healthy.

    Raises `Unobserved`.
    """
    running = services_of(project, containers)
    told: list[str] = []
    for service, image in sorted(images.items()):
        digest = image.rpartition("@")[2]
        held = running.get(service, [])
        if not held:
            told.append(f"{service}: no container of {project} runs it")
        for container in held:
            if digest not in digests_of(container):
                seen = ", ".join(digests_of(container)) or f"{container['image']}, which came from no registry"
                told.append(f"{service}: {container['name']} runs {seen}, not {digest}")
            elif not container["running"]:
                told.append(f"{service}: {container['name']} is {container['state']}, not running")
            elif container.get("health") != "healthy":
                told.append(f"{service}: {container['name']} is {container.get('health') or 'without a health check'}, not healthy")
    return tuple(told)
