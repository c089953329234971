"""Where a release's data lie on a host, by what Docker has there: what would be left behind, where volumes really are, and what others write to.

Rules:
- A named volume that is there already is taken by its name, whatever the compose files say of it: it is judged by where its own options put it, as a
  bind of that place would be.
- Where a service keeps its data stays: another folder or volume in the same place would let it begin without them.
- What another project writes to is nobody else's, whether it lies in a folder or in a volume.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping

from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader
from controlplane.domain.evidence_shapes.docker import Container, ContainerMount, Volume
from controlplane.domain.paths import is_below, overlap
from controlplane.domain.releases.places import Kept, names_of, why_not
from controlplane.domain.releases.wanted import ReleaseWanted, ServiceWanted


def volume_places(wanted: ReleaseWanted, reader: Reader) -> dict[str, str | None]:
    """Return where each named volume has its data on the host, or will have; None where no path of the host is known to hold them."""
    there, root = {volume["name"]: volume for volume in reader.volumes}, reader.docker_info["root"]
    will = {name: f"{root}/volumes/{name}/_data" for service in wanted.services.values() for name in service.volumes}
    will |= {name: source for service in wanted.services.values() for name, source in service.named.items()}
    return {name: _place_of(there[name]) if name in there else place for name, place in sorted(will.items())}


def _place_of(volume: Volume) -> str | None:
    """Return where a volume has its data, as its driver and its options say: its mountpoint is empty where they mount something there."""
    options = volume["options"]
    device, kind, words = options.get("device", ""), options.get("type", ""), options.get("o", "").split(",")
    if volume["driver"] != "local":
        return None
    if not device and not kind:
        return volume["mountpoint"]
    binds = "bind" in words or "rbind" in words or kind in ("bind", "none")
    return posixpath.normpath(device) if binds and device.startswith("/") else None


def misplaced(desired: DesiredHost, wanted: ReleaseWanted, reader: Reader) -> Iterator[str]:
    """Yield which volumes have their data where the policy does not allow them, or where the compose files do not say."""
    places = volume_places(wanted, reader)
    for name, service in sorted(wanted.services.items()):
        for volume, inside in sorted(service.volumes.items()):
            place, is_read = places[volume], volume in service.reads
            if place is None:
                yield from [] if is_read else [_unjudged(volume, f"{name}: {inside}", reader)]
                continue
            kept = Kept(names_of(wanted.project, name, service.container), inside, place, volume, is_read)
            if why := why_not(kept, wanted.dir, desired, wanted.environment):
                yield f"volume {volume} ({name}: {inside}) has its data in {place}, which {why}"
            elif place in reader.paths and not reader.paths[place]["exists"] and any(one["name"] == volume for one in reader.volumes):
                yield f"volume {volume} ({name}: {inside}) has its data in {place}, which is not there: bring its disk back, or make it"
        for volume, source in sorted(service.named.items()):
            place = places[volume]
            if place is None or real(place, reader) != real(source, reader):
                yield (
                    f"volume {volume} ({name}: {service.binds[source]}) is there already and has its data in {place or 'no directory of this host'}, "
                    f"not in {source}, as the compose files say, and Compose takes it as it is: give the volume another name there, or, once nothing "
                    f"uses it, docker volume rm {volume}, which leaves its directory alone"
                )


def _unjudged(name: str, where: str, reader: Reader) -> str:
    volume = next(one for one in reader.volumes if one["name"] == name)
    kind = volume["options"].get("type") or volume["driver"]
    return f"volume {name} ({where}) is of {kind}, so where its data lie can't be judged: bind a directory of the host in its place"


def taken(desired: DesiredHost, wanted: ReleaseWanted, container: Container, reader: Reader) -> Iterator[str]:
    """Yield which of the data to which the stack writes a running container of another project writes to, too."""
    if not container["running"] or container["compose_project"] == wanted.project:
        return
    # What has a whole disk, such as a backup, is no service that keeps its data there.
    whole = {"/", *(disk.mount for disk in desired.disks), *(nfs.mount for nfs in desired.nfs)}
    root = reader.docker_info["root"]
    volumes = {name: place for name, place in volume_places(wanted, reader).items() if name in wanted.written_volumes and place is not None}
    places = {real(source, reader) for source in wanted.written_sources}
    places |= {real(place, reader) for place in volumes.values() if not is_below(place, root)}
    # Of Docker's own folders others have a view, such as what shows all containers: only who writes into one of these is meant.
    own = {real(place, reader) for place in volumes.values() if is_below(place, root)}
    for mount in container["mounts"]:
        if not mount["rw"]:
            continue
        if mount["type"] == "volume" and mount["name"] in wanted.written_volumes:
            yield f"{container['name']} writes to volume {mount['name']}"
            continue
        theirs = real(mount["host_path"], reader) if mount["host_path"] else None
        if theirs is None:
            continue
        in_places = any(theirs == place or (theirs not in whole and overlap(theirs, place)) for place in places)
        if in_places or any(theirs == place or is_below(theirs, place) for place in own):
            yield f"{container['name']} writes to {mount['host_path']}"


def elsewhere(service: ServiceWanted, container: Container, reader: Reader) -> Iterator[str]:
    """Yield where a container of the service would have other data than now, what it only reads before and after left out."""
    for source, inside in [*service.binds.items(), *service.volumes.items()]:
        for mount in data(container):
            is_read_only = source in service.reads and not mount["rw"]
            if mount["destination"] == inside and not is_read_only and not is_source(mount, source, reader):
                yield f"{container['name']} has {called(mount)} at {inside}, and would get {_named(source)} there"


def data(container: Container) -> list[ContainerMount]:
    """Return the mounts of a container that hold data: what is in memory ends with it."""
    return [mount for mount in container["mounts"] if mount["type"] in ("bind", "volume")]


def is_source(mount: ContainerMount, source: str, reader: Reader) -> bool:
    """Say whether a mount has what a release names: a volume by its name in Docker, a folder by where it really lies."""
    if not source.startswith("/"):
        return mount["type"] == "volume" and mount["name"] == source
    return mount["host_path"] is not None and real(mount["host_path"], reader) == real(source, reader)


def called(mount: ContainerMount) -> str:
    """Return what a mount has, as messages name it."""
    return f"volume {mount['name']}" if mount["type"] == "volume" else mount["source"]


def real(path: str, reader: Reader) -> str:
    """Return where a path of the host really lies, as far as that was looked at."""
    return reader.paths[path]["real"] if path in reader.paths else path


def landing(name: str, places: Mapping[str, str | None]) -> str:
    """Return how a preview says where a volume has its data: in Docker's root, at a place of its own, or nowhere that is known."""
    place = places.get(name)
    root, found, _ = (place or "").partition(f"/volumes/{name}/_data")
    return f"volume {name} in {root}" if found else f"volume {name}, whose data lie in {place or 'no directory that is known'}"


def _named(source: str) -> str:
    return source if source.startswith("/") else f"volume {source}"
