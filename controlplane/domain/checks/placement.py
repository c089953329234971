"""D235: Docker's roots lie where the host's tier says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from controlplane.domain.checks.case import Answer, Case, Check, Question, drifted, met
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Unobserved


def _questions(desired: DesiredHost, general: bool) -> Iterator[Question]:
    """Judge `docker.data_root` and `docker.containerd_root`.

    Description: the engine's data-root, and containerd's root where the image store is there, lie at the declared path; on a tier with data on a
    disk they share no disk with `/`. Without a policy the finding only says where they lie.
    Drift: a root at another path, on a boot disk, in memory or on another machine (high); Docker missing where a root is declared (medium).
    Unknown: Docker, containerd, the path or its disks could not be observed.
    Rationale: images, volumes and layers grow without bound, and on the boot disk they take the machine down with them.
    """
    if general or desired.data or desired.docker.data_root or desired.docker.containerd_root:
        yield Question("docker.data_root", _data_root)
    if desired.data == "disk" or desired.docker.containerd_root:
        yield Question("docker.containerd_root", _containerd_root)


def _data_root(case: Case) -> Answer:
    wanted = case.desired.docker.data_root
    if case.without_docker:
        return _missing(wanted)
    return _judge(case, "Docker's data-root", case.reader.docker_info["root"], wanted)


def _containerd_root(case: Case) -> Answer:
    wanted = case.desired.docker.containerd_root
    if case.without_docker:
        return _missing(wanted)
    holds_images = case.reader.docker_info["containerd_image_store"]
    actual = case.reader.docker_config["containerd_root"]
    if wanted is None and not holds_images:
        return met("containerd's root is not declared and holds no images")
    if not actual:
        raise Unobserved("containerd did not say which root it uses")
    return _judge(case, "containerd's root", actual, wanted)


def _missing(wanted: str | None) -> Answer:
    if wanted is None:
        return met("Docker is not installed")
    return drifted(f"Docker is not installed, so nothing uses {wanted} yet", "medium")


def _judge(case: Case, what: str, actual: str, wanted: str | None) -> Answer:
    if not actual:
        raise Unobserved(f"{what} has no name")
    place = case.lineage.of_path(actual)
    shared = place.disks & case.lineage.boot_disks()
    aside = partial(drifted, severity="high")
    if wanted is not None and actual != wanted and case.reader.paths[actual]["real"] != wanted:
        return aside(f"{what} is {actual}, declared is {wanted}" + (f"; it lies on boot disk {_names(case, shared)}" if shared else ""))
    if case.desired.data != "disk":
        why = f"tier {case.desired.tier} keeps data on {case.desired.data}" if case.desired.data else "no policy says where it belongs"
        return met(f"{what} {actual} lies on {'boot disk ' if shared else ''}{_names(case, place.disks) or place.fstype}; {why}")
    if shared:
        return aside(f"{what} {actual} lies on boot disk {_names(case, shared)}")
    if place.kind != "disk":
        return aside(f"{what} {actual} lies on {place.fstype}, not on a disk of this host")
    return met(f"{what} {actual} lies on {_names(case, place.disks)}")


def _names(case: Case, disks: frozenset[str]) -> str:
    return ", ".join(case.lineage.names(disks))


CHECK = Check("D235", "placement of Docker's roots", "high", _questions)
