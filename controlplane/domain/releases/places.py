"""Whether what a project mounts may lie where it lies, by the policy of the host.

Rules:
- A writable bind is data: its source is no directory of the system's, nor one that holds the project's own files. Where the host's tier keeps data
  on a disk or on exports it lies below one of them, unless the policy accepts or governs that path of that container.
- A bind that is only read may be of the system's files, but of no device, socket or pseudo file: reading does not keep those from acting.
- A named volume lies in Docker's root, which the policy of a host with a data disk then has to name. One that is there already lies where its own
  options say: only the host can tell that, and there it is judged as a bind of that place.
- On a host whose data stay on the boot disk D236 calls data drift that the policy names nowhere, and then the host is not ready: production refuses
  them, staging tells of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import Fault
from controlplane.domain.paths import check_place, is_below
from controlplane.domain.releases.compose_view import Bind, ComposeView, NamedVolume, ServiceView
from controlplane.domain.releases.values import EnvironmentName

# Of these a container has more than the reading of a file.
_ACTING = ("/dev", "/run", "/var/run", "/proc/sys", "/proc/sysrq-trigger")


class Kept(NamedTuple):
    """One mount of a service: the names that its containers may have, the path inside, the path of the host where it lies (None: in Docker's root,
    wherever that is), the volume's name in Docker, if it is one, and whether it is only read."""

    containers: frozenset[str]
    target: str
    source: str | None
    volume: str | None
    read_only: bool


def names_of(project: str, service: str, container: str | None) -> frozenset[str]:
    """Return the names that the containers of a service may have."""
    return frozenset([container] if container else [f"{project}-{service}-{number}" for number in range(1, 10)])


def place_faults(view: ComposeView, desired: DesiredHost, environment: EnvironmentName) -> Iterator[Fault]:
    """Yield every mount of a project that the host's policy forbids, with the compose file and line."""
    for service, mount, kept in _mounted(view):
        if why := why_not(kept, view.dir, desired, environment):
            yield Fault(mount.file, mount.line, f"services.{service.name}.volumes", f"{kept.source or kept.volume} {why}")


def volume_doubt(view: ComposeView, desired: DesiredHost) -> str:
    """Say why named volumes would lie on the boot disk of a host that keeps its data elsewhere, empty where nothing speaks for it."""
    named = sorted({volume.name for service in view.services for volume in service.volumes})
    if not named or desired.data != "disk" or desired.docker.data_root is not None:
        return ""
    return f"{', '.join(named)} would lie on the boot disk of {desired.host}: name docker.data_root in its policy, or bind a directory below a mount"


def why_not(kept: Kept, project_dir: str, desired: DesiredHost, environment: EnvironmentName) -> str:
    """Return why a mount may not lie where it lies, as a message goes on behind its name; empty where it may."""
    if kept.source is not None and (why := _of_the_path(kept.source, kept, project_dir)):
        return why
    if kept.read_only or not _on_boot(kept, desired):
        return ""
    mounts = ", ".join(_mounts(desired))
    if desired.data in ("disk", "nfs") and kept.source is not None:
        return f"would lie on the boot disk of {desired.host}: bind a directory below {mounts or 'a mount (the policy names none)'}"
    # Of a disk's host that is `volume_doubt`, once for all of them.
    if desired.data == "disk" or environment == "staging":
        return ""
    return (
        f"would lie on the boot disk of {desired.host}, and the policy names it nowhere, so that the host would not be ready (D236): "
        f"{f'bind a directory below {mounts}, ' if mounts else ''}mount it read-only, or name {kept.target} of {min(kept.containers)} under "
        f"boot_accepted, with why (policy.yml, hosts.{desired.host})"
    )


def unnamed_on_boot(kept: Kept, desired: DesiredHost) -> bool:
    """Say whether a mount lies on the boot disk and the policy names it nowhere: what D236 calls drift."""
    return not kept.read_only and _on_boot(kept, desired)


def unnamed_of(view: ComposeView, desired: DesiredHost) -> tuple[str, ...]:
    """Return which mounts of a project would lie on the boot disk without the policy's leave: service and the path inside, sorted."""
    return tuple(sorted({f"{service.name} {kept.target}" for service, _, kept in _mounted(view) if unnamed_on_boot(kept, desired)}))


def _mounted(view: ComposeView) -> Iterator[tuple[ServiceView, Bind | NamedVolume, Kept]]:
    for service in view.services:
        names = names_of(view.project, service.name, service.container)
        for bind in service.binds:
            yield service, bind, Kept(names, bind.target, bind.source, bind.named, bind.read_only)
        for volume in service.volumes:
            yield service, volume, Kept(names, volume.target, None, volume.name, volume.read_only)


def _of_the_path(source: str, kept: Kept, project_dir: str) -> str:
    """Return what is wrong with a path of the host, on whatever disk it lies."""
    if project_dir == source or is_below(project_dir, source):
        return "holds the project's own files, its secrets among them: bind a directory below it, or another"
    if kept.read_only:
        acting = next((tree for tree in _ACTING if source == tree or is_below(source, tree)), None)
        return f"lies in {acting}, where reading is acting: take it out" if acting else ""
    try:
        check_place(source)
    except ValueError as error:
        return str(error).removeprefix(repr(source)).removeprefix(source).strip()
    return ""


def _on_boot(kept: Kept, desired: DesiredHost) -> bool:
    """Say whether a mount would lie on the boot disk without the policy's leave."""
    mounts = _mounts(desired)
    if kept.source is not None:
        off = any(is_below(kept.source, mount) for mount in mounts)
    else:
        root = desired.docker.data_root
        off = root is not None and any(root == mount or is_below(root, mount) for mount in mounts)
    return not off and not _is_named(kept, desired)


def _mounts(desired: DesiredHost) -> list[str]:
    return [disk.mount for disk in desired.disks] + [nfs.mount for nfs in desired.nfs if nfs.mode == "rw"]


def _is_named(kept: Kept, desired: DesiredHost) -> bool:
    """Say whether the policy accepts or governs that path of that container; of a service, where its data shall stay on the boot disk."""
    governed = [(one.container, one.path) for one in desired.boot_accepted] + [(one.container, one.path) for one in desired.write_surfaces]
    if any(container in kept.containers and (kept.target == path or is_below(kept.target, path)) for container, path in governed):
        return True
    if desired.data in ("disk", "nfs"):
        return False
    return any(
        name in kept.containers
        and (kept.target == one.data or is_below(kept.target, one.data) or is_below(one.data, kept.target))
        and (kept.volume == one.volume if one.volume is not None else kept.source == one.place)
        for name, one in desired.services.items()
    )
