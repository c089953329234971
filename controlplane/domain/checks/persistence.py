"""D236: each container's data lies off the boot disk and survives a crash."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from controlplane.domain.checks.case import Answer, Case, Check, Named, Question, all_or, drifted, met, unknown
from controlplane.domain.checks.durability import judge_postgres, judge_redis, running_and_persisted
from controlplane.domain.checks.landing import Landing, covering, is_at_or_below, land, land_mount, whereabouts
from controlplane.domain.checks.nested import faults_below
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Unobserved
from controlplane.domain.evidence_shapes.docker import Container, ContainerMount
from controlplane.domain.finding import Verdict
from controlplane.domain.services import PostgresService, RedisService, Service


def _questions(desired: DesiredHost, general: bool) -> Iterator[Question]:
    """Judge `service:CONTAINER`, `redis:CONTAINER` and `unlisted:CONTAINER:PATH`.

    Description: what a named container keeps lies at its place or in its volume, off the boot disk where the tier has a data disk; what is mounted
    below its data lies on a declared mount too. PostgreSQL runs with fsync and full page writes, Redis with the declared append-only settings,
    running *and* persisted. No other container keeps writable data on the boot disk.
    Drift: data, or a part of them, elsewhere, on a boot disk, in the writable layer or in memory (high); a named container that isn't there (high);
    a durability setting that differs while running (high) or only once it is restarted (high); unlisted writable data on the boot disk (medium).
    Unknown: the containers, the disks under a path, or the running or persisted settings could not be observed; a named database that doesn't run.
    Rationale: data in a writable layer goes with the container, data on the boot disk fills it, and a setting that only runs is gone after a restart.
    """
    for name, service in sorted(desired.services.items()):
        yield Question(f"service:{name}", partial(_service, name=name, service=service))
        if isinstance(service, RedisService):
            yield Question(f"redis:{name}", partial(_redis, name=name, service=service))
    if general:
        yield Question("service:*", running_and_persisted)
    yield Question("unlisted:*", _unlisted)


def _service(case: Case, *, name: str, service: Service) -> Answer:
    container = case.containers.get(name)
    if container is None:
        return _no_container(case, name)
    answer = _placement(case, container, service)
    answer = _joined(answer, partial(_below, case, container, service, answer.reason))
    return _joined(answer, partial(judge_postgres, case, container, service)) if isinstance(service, PostgresService) else answer


def _joined(answer: Answer, ask: Callable[[], Answer]) -> Answer:
    """Return both answers as one. Doubt comes first, but what is known already must not be lost to the reader."""
    try:
        other = ask()
    except Unobserved as doubt:
        if answer.verdict is Verdict.MET:
            raise
        raise Unobserved(f"{doubt}; known so far: {answer.reason}") from None
    if Verdict.MET in (answer.verdict, other.verdict):
        return other if answer.verdict is Verdict.MET else answer
    return answer._replace(reason=f"{answer.reason}; {other.reason}")


def _below(case: Case, container: Container, service: Service, otherwise: str) -> Answer:
    faults = faults_below(case, container, service.data)
    return drifted("; ".join(faults), "high") if faults else met(otherwise)


def _redis(case: Case, *, name: str, service: RedisService) -> Answer:
    container = case.containers.get(name)
    return _no_container(case, name) if container is None else judge_redis(case, container, service)


def _no_container(case: Case, name: str) -> Answer:
    return drifted("Docker is not installed" if case.without_docker else f"there is no container {name}", "high")


def _placement(case: Case, container: Container, service: Service) -> Answer:
    landing = land(case, container, service.data)
    fault = misplaced(case, landing, service)
    if fault:
        return drifted(f"{service.data} {fault}", "high")
    return met(f"{service.data} lies in {whereabouts(landing)}{on_boot_disk(case, landing)}")


def on_boot_disk(case: Case, landing: Landing) -> str:
    """Name the boot disks that something lies on, as a message goes on; empty where it lies on none. Raises `Unobserved`."""
    shared = landing.place.disks & case.lineage.boot_disks()
    return f" on boot disk {', '.join(case.lineage.names(shared))}" if shared else ""


def misplaced(case: Case, landing: Landing, service: Service) -> str:
    """Return what is wrong with where a service's data land: not in a mount, not at the declared place or volume, or on the boot disk.

    Empty where nothing is. Raises `Unobserved`.
    """
    home, on_boot = case.desired.data, on_boot_disk(case, landing)
    if landing.place.kind == "memory":
        return "lies in memory"
    if landing.mount is None:
        return f"lies in the container's writable layer{on_boot}"
    wrong = elsewhere_than_declared(case, landing, service)
    if wrong or (on_boot and home in ("disk", "nfs")):
        return f"lies in {whereabouts(landing)}{on_boot}" + (f", {wrong}" if wrong else "")
    if home == "disk" and landing.place.kind != "disk":
        return f"lies on {landing.place.fstype}, not on a disk of this host"
    return "" if landing.mount["rw"] else "is mounted read-only"


def elsewhere_than_declared(case: Case, landing: Landing, service: Service) -> str:
    """Say where a service's data should lie, empty where they do: on which disk that is makes no difference here. Raises `Unobserved`."""
    mount, at = landing.mount, landing.host_path
    if service.volume is not None and (mount is None or mount["type"] != "volume" or mount["name"] != service.volume or mount["anonymous"]):
        return f"declared is volume {service.volume}"
    if service.place is None or at == service.place:
        return ""
    known = case.reader.paths.get(at or "")
    wanted = case.reader.paths.get(service.place)
    if wanted is None:
        raise Unobserved(f"{service.place} was not looked at")
    same = known is not None and known["exists"] and wanted["exists"] and known["real"] == wanted["real"]
    return "" if same else f"declared is {service.place}"


def _unlisted(case: Case) -> Sequence[Named]:
    """Name every writable mount on the boot disk that neither the policy nor `boot_accepted` knows."""
    found = [
        Named(f"unlisted:{name}:{mount['destination']}", answer)
        for name, container in case.containers.items()
        for mount in container["mounts"]
        if mount["rw"] and not _is_listed(case.desired, container, mount)
        for answer in [_on_boot(case, container, mount)]
        if answer is not None
    ]
    return all_or("unlisted:*", found, "no container keeps unlisted writable data on the boot disk")


def _on_boot(case: Case, container: Container, mount: ContainerMount) -> Answer | None:
    destination = mount["destination"]
    try:
        landing = land_mount(case, container, mount, destination)
        shared = landing.place.disks & case.lineage.boot_disks()
        if not shared:
            return None
        disks = ", ".join(case.lineage.names(shared))
    except Unobserved as doubt:
        return unknown(str(doubt))
    return drifted(f"{destination} is writable and lies in {whereabouts(landing)} on boot disk {disks}, which the policy doesn't name", "medium")


def _is_listed(desired: DesiredHost, container: Container, mount: ContainerMount) -> bool:
    name, destination = container["name"], mount["destination"]
    service = desired.services.get(name)
    if service is not None and (is_at_or_below(destination, service.data) or covering(container, service.data) == mount):
        return True
    governed = [(surface.container, surface.path) for surface in desired.write_surfaces]
    governed += [(accepted.container, accepted.path) for accepted in desired.boot_accepted]
    return any(owner == name and is_at_or_below(destination, path) for owner, path in governed)


CHECK = Check("D236", "persistence", "high", _questions)
