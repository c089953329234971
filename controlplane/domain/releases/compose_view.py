"""What the compose files of one environment would do on one machine, judged without Docker.

Rules:
- What is judged is what Compose would make of all files together: later files over earlier ones, lists joined, mounts by their target.
- What is not understood is a fault that says so. Nothing is skipped in silence, so a view is of the whole project or there is none.
- The project's name is written out and is the environment's: a renamed folder would be a new project, with empty volumes.
- Released services are there, and one network reaches all of them.
- Whatever a variable decides is decided by the contract's value; `deciding` names these, and the real environment file has to give the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Annotated

from controlplane.domain.errors import Fault
from controlplane.domain.names import AsTuple
from controlplane.domain.releases.compose_keys import check_keys, check_references, check_top, why_of_the_host
from controlplane.domain.releases.compose_mounts import Behind, Mount, mounts_of, volumes_behind
from controlplane.domain.releases.compose_networks import Answers, answers_of, networks_behind, networks_of
from controlplane.domain.releases.compose_said import Asked, ComposeFile, Judging, Said, given
from controlplane.domain.releases.compose_service import container_of, judge_service, needs, stops_in, stops_with
from controlplane.domain.values import Value


class Bind(Value):
    """A directory or file of the machine in a container. `volume` is the named volume that binds it by its key, `named` by its name in Docker;
    None where the service itself binds it."""

    source: str
    target: str
    read_only: bool
    volume: str | None = None
    named: str | None = None
    file: str
    line: int


class NamedVolume(Value):
    """A volume in a container, by its key in the compose files and its name in Docker; what is in it lies in Docker's root, unless it is there
    already and its own options say otherwise, which only the host can tell."""

    key: str
    name: str
    target: str
    read_only: bool
    external: bool = False
    file: str = ""
    line: int = 0


class ServiceView(Value):
    """One service. `image` is the one that the files pin, None where it is released; `networks` are by their keys, `answers` says what it is called
    by in each; `after` are the services that start before it, `stops_with` those with which Compose stops it, where it makes one of them anew;
    `stop_s` the seconds that it may take to stop."""

    name: str
    image: str | None
    container: str | None
    networks: Annotated[tuple[str, ...], AsTuple]
    answers: Annotated[tuple[Answers, ...], AsTuple] = ()
    binds: Annotated[tuple[Bind, ...], AsTuple] = ()
    volumes: Annotated[tuple[NamedVolume, ...], AsTuple] = ()
    after: Annotated[tuple[str, ...], AsTuple] = ()
    stops_with: Annotated[tuple[str, ...], AsTuple] = ()
    stop_s: int = 10

    @property
    def reads(self) -> tuple[str, ...]:
        """Return the sources of binds and the named volumes to which it does not write, wherever it has them."""
        mounts = [*((bind.source, bind.read_only) for bind in self.binds), *((one.name, one.read_only) for one in self.volumes)]
        written = {name for name, read_only in mounts if not read_only}
        return tuple(sorted({name for name, _ in mounts} - written))


class ComposeView(Value):
    """A whole project: its services in the order in which they start."""

    project: str
    dir: str
    services: Annotated[tuple[ServiceView, ...], AsTuple]
    deciding: Annotated[tuple[str, ...], AsTuple] = ()

    def binds(self) -> dict[str, tuple[Bind, ...]]:
        """Return the binds of each service that has any, sources absolute on the machine."""
        return {service.name: service.binds for service in self.services if service.binds}

    def volumes(self) -> dict[str, tuple[NamedVolume, ...]]:
        """Return the named volumes of each service that has any."""
        return {service.name: service.volumes for service in self.services if service.volumes}

    def places(self) -> tuple[str, ...]:
        """Return the paths of the machine that have to be there before anything starts, sorted."""
        return tuple(sorted({bind.source for service in self.services for bind in service.binds}))


def compose_view(files: Sequence[ComposeFile], asked: Asked) -> tuple[ComposeView | None, tuple[Fault, ...]]:
    """Return what the files would do, or None and every fault. `files` are in their order, and each could be read."""
    judging = Judging(asked)
    tops = judging.of_kind([Said(file.data, file.source, ()) for file in files], dict, "mapping")
    for top in tops:
        check_top(judging, top)
        check_references(judging, top)
    if tops:
        _judge_name(judging, tops)
    behind, networks = volumes_behind(judging, tops), networks_behind(judging, tops)
    _judge_sources(judging, tops)
    pieces = _services(judging, tops)
    services = {name: _service(judging, name, said, behind, networks) for name, said in pieces.items()}
    if tops:
        _judge_networks(judging, networks, services, pieces)
        _judge_together(judging, tops[-1], services, pieces)
    order = _ordered(judging, services, pieces)
    if judging.faults:
        return None, tuple(dict.fromkeys(judging.faults))
    view = ComposeView(
        project=asked.project, dir=asked.dir, services=tuple(services[name] for name in order), deciding=tuple(sorted(judging.deciding))
    )
    return view, ()


def _judge_name(judging: Judging, tops: Sequence[Said]) -> None:
    names = given(tops, "name")
    wanted = judging.asked.project
    if not names:
        judging.fault(tops[0], f"is missing, so the folder's name would make the project: write name: {wanted}", "name")
    # The last one counts, as with any other key.
    for said in names[-1:]:
        if said.value != wanted:
            judging.fault(said, f"is not the project of this environment: write name: {wanted}, as text and without variables")


def _judge_sources(judging: Judging, tops: Sequence[Said]) -> None:
    """Judge where configs and secrets come from: a file would have to be on the machine, and is not deployed."""
    known = {"configs": frozenset(["content", "environment", "labels", "name"]), "secrets": frozenset(["environment", "labels", "name"])}
    for section, fields in known.items():
        for said in judging.of_kind(given(tops, section), dict, "mapping"):
            for _, one in said.parts():
                if not isinstance(one.value, Mapping):
                    judging.fault(one, "says not where it comes from: write environment: NAME")
                    continue
                check_keys(judging, one, fields | {"file", "external"})
                for field in ("file", "external"):
                    for part in given([one], field):
                        judging.fault(part, "takes it from what is not deployed: write environment: NAME, and the value into .env")
                for part in given([one], "environment"):
                    if why := why_of_the_host(str(part.value)):
                        judging.fault(part, why)
                    elif part.value not in judging.asked.known:
                        judging.fault(part, "is not in the contract: declare it there")


def _services(judging: Judging, tops: Sequence[Said]) -> dict[str, list[Said]]:
    found: dict[str, list[Said]] = {}
    for section in judging.of_kind(given(tops, "services"), dict, "mapping"):
        for name, said in section.parts():
            if isinstance(said.value, Mapping):
                found.setdefault(str(name), []).append(said)
            else:
                judging.fault(said, "says nothing of the service: write its keys below it")
    return found


def _service(judging: Judging, name: str, pieces: Sequence[Said], behind: Mapping[str, Behind], named: Mapping[str, str]) -> ServiceView:
    image, container, networks = judge_service(judging, name, pieces), container_of(judging, pieces), networks_of(judging, pieces)
    binds: list[Bind] = []
    volumes: list[NamedVolume] = []
    for mount in mounts_of(judging, pieces):
        if mount.kind == "bind":
            binds.append(_bind(mount, mount.source, read_only=mount.read_only))
        elif mount.kind == "volume":
            volume = behind.get(mount.source)
            if volume is None:
                judging.fault(mount.said, f"mounts the volume {mount.source}, which is not declared: add it under volumes")
            elif volume.binds is not None:
                bind = _bind(mount, volume.binds, read_only=mount.read_only or volume.read_only)
                binds.append(bind.model_copy(update={"volume": mount.source, "named": volume.name}))
            else:
                said = mount.said
                volumes.append(
                    NamedVolume(
                        key=mount.source,
                        name=volume.name,
                        target=mount.target,
                        read_only=mount.read_only,
                        external=volume.external,
                        file=said.source.file,
                        line=said.source.line_of(said.place),
                    )
                )
    return ServiceView(
        name=name,
        image=image,
        container=container,
        networks=networks,
        answers=answers_of(judging, name, pieces, container=container, joined=networks, behind=named),
        binds=tuple(binds),
        volumes=tuple(volumes),
        after=tuple(needs(judging, pieces)),
        stops_with=stops_with(judging, pieces),
        stop_s=stops_in(judging, pieces),
    )


def _bind(mount: Mount, source: str, *, read_only: bool) -> Bind:
    said = mount.said
    return Bind(source=source, target=mount.target, read_only=read_only, file=said.source.file, line=said.source.line_of(said.place))


def _judge_networks(judging: Judging, declared: Mapping[str, str], services: Mapping[str, ServiceView], pieces: Mapping[str, Sequence[Said]]) -> None:
    for name, service in services.items():
        for network in service.networks:
            if network not in declared:
                judging.fault(pieces[name][-1], f"joins {network}, which is not declared: add it under networks", "networks")


def _judge_together(judging: Judging, last: Said, services: Mapping[str, ServiceView], pieces: Mapping[str, Sequence[Said]]) -> None:
    for name in judging.asked.images:
        if name not in services:
            judging.fault(last, f"has no service {name}, which is released: add it, or take it out of images", "services")
    released = [services[name] for name in judging.asked.images if name in services]
    shared = set(released[0].networks).intersection(*(one.networks for one in released[1:])) if released else set()
    if len(released) > 1 and not shared:
        told = "; ".join(f"{one.name}: {', '.join(one.networks) or 'none'}" for one in released)
        judging.fault(last, f"give the released services no network that all of them join ({told}): join them to one", "services")
    containers: dict[str, str] = {}
    for name, service in services.items():
        other = containers.setdefault(service.container, name) if service.container else name
        if other != name:
            judging.fault(pieces[name][-1], f"is the name of the container of {other}: give each its own", "container_name")


def _ordered(judging: Judging, services: Mapping[str, ServiceView], pieces: Mapping[str, Sequence[Said]]) -> tuple[str, ...]:
    graph: TopologicalSorter[str] = TopologicalSorter()
    for name, service in services.items():
        strange = [one for one in service.after if one not in services]
        for one in strange:
            judging.fault(pieces[name][-1], f"waits for {one}, and there is no such service: name one that is there", "depends_on")
        graph.add(name, *(one for one in service.after if one in services))
    try:
        return tuple(graph.static_order())
    except CycleError as error:
        ring = " → ".join(error.args[1])
        judging.fault(pieces[error.args[1][0]][-1], f"waits in a ring: {ring}. Take one of them out", "depends_on")
        return ()
