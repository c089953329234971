"""Whether what a project mounts may lie where it lies, by the policy of the host.

Rules:
- A writable bind is data: its source is no directory of the system's, nor one that holds the project's own files. Where the host's tier keeps data
  on a disk or on exports it lies below one of them, unless the policy accepts or governs that path of that container.
- A bind that is only read may be of the system's files, but of no device, socket or pseudo file: reading does not keep those from acting.
- A named volume lies in Docker's root, which the policy of a host with a data disk then has to name.
"""

from __future__ import annotations

from collections.abc import Iterator

from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import Fault
from controlplane.domain.paths import check_place, is_below
from controlplane.domain.releases.compose_view import Bind, ComposeView, ServiceView

# Of these a container has more than the reading of a file.
_ACTING = ("/dev", "/run", "/var/run", "/proc/sys", "/proc/sysrq-trigger")


def place_faults(view: ComposeView, desired: DesiredHost) -> Iterator[Fault]:
    """Yield every mount of a project that the host's policy forbids, with the compose file and line."""
    for service in view.services:
        for bind in service.binds:
            why = _why_not(view, service, bind, desired)
            if why:
                yield Fault(bind.file, bind.line, f"services.{service.name}.volumes", f"{bind.source} {why}")


def volume_doubt(view: ComposeView, desired: DesiredHost) -> str:
    """Say why named volumes would lie on the boot disk of a host that keeps its data elsewhere, empty where nothing speaks for it."""
    named = sorted({volume.name for service in view.services for volume in service.volumes})
    if not named or desired.data != "disk" or desired.docker.data_root is not None:
        return ""
    return f"{', '.join(named)} would lie on the boot disk of {desired.host}: name docker.data_root in its policy, or bind a directory below a mount"


def _why_not(view: ComposeView, service: ServiceView, bind: Bind, desired: DesiredHost) -> str:
    if view.dir == bind.source or is_below(view.dir, bind.source):
        return "holds the project's own files, its secrets among them: bind a directory below it, or another"
    if bind.read_only:
        acting = next((tree for tree in _ACTING if bind.source == tree or is_below(bind.source, tree)), None)
        return f"lies in {acting}, where reading is acting: take it out" if acting else ""
    try:
        check_place(bind.source)
    except ValueError as error:
        return str(error).removeprefix(repr(bind.source)).removeprefix(bind.source).strip()
    if desired.data not in ("disk", "nfs") or _is_accepted(view, service, bind, desired):
        return ""
    mounts = [disk.mount for disk in desired.disks] + [nfs.mount for nfs in desired.nfs if nfs.mode == "rw"]
    if any(is_below(bind.source, mount) for mount in mounts):
        return ""
    return f"would lie on the boot disk of {desired.host}: bind a directory below {', '.join(mounts) or 'a mount (the policy names none)'}"


def _is_accepted(view: ComposeView, service: ServiceView, bind: Bind, desired: DesiredHost) -> bool:
    names = {service.container} if service.container else {f"{view.project}-{service.name}-{number}" for number in range(1, 10)}
    governed = [(one.container, one.path) for one in desired.boot_accepted] + [(one.container, one.path) for one in desired.write_surfaces]
    return any(container in names and (bind.target == path or is_below(bind.target, path)) for container, path in governed)
