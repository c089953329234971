"""What lies on a host's disks, and where the policy wants each thing.

Rules:
- A thing lies right only if its disks are known, are those of its declared place, and its path is the declared one.
- What shares a disk with `/` on a tier that keeps data elsewhere lies wrong, whatever else is declared.
- Where nothing says where a thing belongs, it lies neither right nor wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from controlplane.domain.amounts import show_bytes
from controlplane.domain.board import Resident, Standing
from controlplane.domain.board_disks import boot_leaves, declared_leaves
from controlplane.domain.checks.case import Case
from controlplane.domain.checks.landing import Landing, is_at_or_below, land, land_mount, whereabouts
from controlplane.domain.checks.persistence import elsewhere_than_declared
from controlplane.domain.checks.write_surfaces import is_bound
from controlplane.domain.evidence import Unobserved
from controlplane.domain.evidence_shapes.docker import Container
from controlplane.domain.evidence_shapes.runs import Retired
from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.lineage import Place
from controlplane.domain.services import Service, WriteSurface


@dataclass(frozen=True)
class Home:
    """Where something belongs; `disks` are empty where the host does not show them."""

    path: str
    disks: frozenset[str]
    named: str


@dataclass(frozen=True)
class Laid:
    """One thing with the leaf disks that it lies on; `names` is how a person calls these."""

    resident: Resident
    disks: frozenset[str] = frozenset()
    home: Home | None = None
    names: str = "no disk"

    @property
    def is_misplaced(self) -> bool:
        """Whether it lies on a disk that is not its own."""
        return self.resident.standing == "wrong-disk"


def things_of(case: Case, findings: Sequence[Finding]) -> Iterator[Laid]:
    """Yield what lies on the host: Docker's roots, services, write surfaces, unlisted data that drifts, retired data."""
    try:
        containers: Mapping[str, Container] | None = case.containers
        if not case.without_docker:
            yield _told("Docker's root", partial(_data_root, case))
            yield from _containerd(case)
    except Unobserved as unseen:
        containers = None
        yield _untold("Docker and its containers", str(unseen))
    for name, service in case.desired.services.items():
        yield _told(f"{name} data", partial(_service, case, containers, name, service))
    for surface in case.desired.write_surfaces:
        yield _told(f"{surface.container} writes", partial(_surface, case, containers, surface))
    for finding in findings:
        if finding.verdict is Verdict.DRIFTED and finding.surface.startswith("unlisted:") and containers is not None:
            yield _told("unlisted data", partial(_unlisted, case, containers, finding.surface))
    yield from _retired(case)


def _told(what: str, ask: Callable[[], Laid]) -> Laid:
    try:
        laid = ask()
    except Unobserved as unseen:
        return _untold(what, str(unseen))
    return Laid(laid.resident.model_copy(update={"what": what}), laid.disks, laid.home, laid.names)


def _untold(what: str, why: str) -> Laid:
    return Laid(Resident(what=what, path=None, standing="unknown", note=why), names="nobody can tell where")


def _data_root(case: Case) -> Laid:
    return _root(case, case.reader.docker_info["root"], case.desired.docker.data_root)


def _containerd(case: Case) -> Iterator[Laid]:
    wanted = case.desired.docker.containerd_root
    if wanted is not None or case.reader.docker_info["containerd_image_store"]:
        yield _told("containerd's root", partial(_containerd_root, case, wanted))


def _containerd_root(case: Case, wanted: str | None) -> Laid:
    actual = case.reader.docker_config["containerd_root"]
    if not actual:
        raise Unobserved("containerd did not say which root it uses")
    return _root(case, actual, wanted)


def _root(case: Case, actual: str, wanted: str | None) -> Laid:
    place = case.lineage.of_path(actual)
    at_path = wanted is None or actual == wanted or case.reader.paths[actual]["real"] == wanted
    return _lay(case, actual, place, home=_home(case, wanted), at_path=at_path)


def _service(case: Case, containers: Mapping[str, Container] | None, name: str, service: Service) -> Laid:
    landing = land(case, _container(containers, name), service.data)
    wanted = service.place or (case.desired.docker.data_root if service.volume else None)
    home = _home(case, wanted)
    if home is not None and service.volume is not None:
        home = Home(f"volume {service.volume}", home.disks, home.named)
    return _lay(case, whereabouts(landing), landing.place, home=home, at_path=not elsewhere_than_declared(case, landing, service))


def _surface(case: Case, containers: Mapping[str, Container] | None, surface: WriteSurface) -> Laid:
    landing = land(case, _container(containers, surface.container), surface.path)
    wanted = case.reader.paths.get(surface.place)
    at_path = wanted is not None and is_bound(case, landing, surface, wanted)
    return _lay(case, _shown(landing, surface.path), landing.place, home=_home(case, surface.place), at_path=at_path)


def _shown(landing: Landing, path: str) -> str:
    return whereabouts(landing) if landing.mount else f"{path} in the container's writable layer"


def _container(containers: Mapping[str, Container] | None, name: str) -> Container:
    found = (containers or {}).get(name)
    if found is None:
        raise Unobserved("its container was not observed" if containers is None else f"there is no container {name}")
    return found


def _unlisted(case: Case, containers: Mapping[str, Container], surface: str) -> Laid:
    _, name, path = surface.split(":", 2)
    container = _container(containers, name)
    mount = next((one for one in container["mounts"] if one["destination"] == path), None)
    if mount is None:
        raise Unobserved(f"{name} has no mount at {path}")
    landing = land_mount(case, container, mount, path)
    said = Resident(what="", path=whereabouts(landing), standing="wrong-disk", note=f"{name}, {path}: the policy names it nowhere")
    return Laid(said, landing.place.disks, None, _names(case, landing.place))


def _retired(case: Case) -> Iterator[Laid]:
    try:
        found = [one for one in case.reader.target_state["retired"] if one["exists"]]
    except Unobserved as unseen:
        yield _untold("retired data", str(unseen))
        return
    for one in found:
        yield _told("retired data", partial(_retired_one, case, one))


def _retired_one(case: Case, one: Retired) -> Laid:
    note = f"{show_bytes(one['size'])}, replaced by {one['replaced_by']}"
    said = Resident(what="", path=one["path"], standing="retired", note=note)
    try:
        place = case.lineage.of_path(one["path"])
    except Unobserved as unseen:
        return Laid(said.model_copy(update={"note": f"{note}; on which disk is not known: {unseen}"}))
    return Laid(said, place.disks, None, _names(case, place))


def _home(case: Case, path: str | None) -> Home | None:
    """Return where the policy wants `path`: on the declared disk that it lies below, on an export, or on the boot disk."""
    if path is None:
        return None
    for disk in case.desired.disks:
        if is_at_or_below(path, disk.mount):
            leaves = declared_leaves(case, disk)
            names = ", ".join(case.lineage.names(leaves))
            return Home(path, leaves, f"{names} ({disk.label})" if names else f"{disk.label}, which the host does not show")
    for export in case.desired.nfs:
        if is_at_or_below(path, export.mount):
            return Home(path, frozenset(), export.source)
    boot = boot_leaves(case)
    return Home(path, boot, f"boot disk {', '.join(case.lineage.names(boot))}") if case.desired.data == "boot" and boot else None


def _lay(case: Case, path: str, place: Place, *, home: Home | None, at_path: bool) -> Laid:
    standing = _standing(case, place, home=home, at_path=at_path)
    astray = standing in ("wrong-disk", "wrong-path")
    belongs_on = (home.named if home else "a disk of its own: the policy names none for it") if astray else None
    belongs_at = home.path if astray and home else None
    note = None if place.kind == "disk" else f"in memory ({place.fstype})" if place.kind == "memory" else f"on {place.source} ({place.fstype})"
    said = Resident(what="", path=path, standing=standing, belongs_on=belongs_on, belongs_at=belongs_at, note=note)
    return Laid(said, place.disks, home, _names(case, place))


def _standing(case: Case, place: Place, *, home: Home | None, at_path: bool) -> Standing:
    data = case.desired.data
    if place.kind == "memory" and data is not None:
        return "wrong-disk"
    if data in ("disk", "nfs") and place.disks & boot_leaves(case):
        return "wrong-disk"
    if home is None:
        return "no-policy" if data != "disk" or place.kind == "disk" else "wrong-disk"
    on_its_own = place.source == home.named if not home.disks and place.kind == "remote" else place.disks == home.disks and bool(home.disks)
    if not on_its_own:
        return "wrong-disk"
    return "right" if at_path else "wrong-path"


def _names(case: Case, place: Place) -> str:
    return ", ".join(case.lineage.names(place.disks)) or ("memory" if place.kind == "memory" else place.source)
