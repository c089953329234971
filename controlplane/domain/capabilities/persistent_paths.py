"""storage.persistent_paths: the data of a named container move to the place or the volume that the policy names; its compose file mounts them there.

Rules:
- One step a container: each stops alone and once, and has its own receipt and way back. A container that the policy doesn't name is not touched.
- The container's write surfaces that are not as declared go along, whether or not their own capability is asked for: it would stop the same container
  again. What evidence tells against one of them leaves that one alone, for storage.write_surfaces to say why.
- What drifts is D236's own judgement of where the data land, so that a plan and its check can't disagree. Data at their place or in their volume that
  D236 has fault with all the same are mended by no move from here: by docker.data_root where they lie in its root, else by a person who is told.
- A PostgreSQL that is seen to keep data outside of what moves is refused in the role's own words.
"""

from __future__ import annotations

from collections.abc import Iterator

from controlplane.domain.capabilities.path_moves import CannotError, Moving, is_overridden, refuse
from controlplane.domain.capabilities.path_steps import draft_of
from controlplane.domain.capabilities.proposal import Capability, Draft, Outlook, Proposal, about
from controlplane.domain.capabilities.root_bounds import mount_of
from controlplane.domain.capabilities.surface_paths import drifting, together
from controlplane.domain.checks.case import Case
from controlplane.domain.checks.durability import is_durable_postgres
from controlplane.domain.checks.landing import Landing, is_at_or_below, land
from controlplane.domain.checks.persistence import elsewhere_than_declared, misplaced, on_boot_disk
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.paths import is_below
from controlplane.domain.plan import Mend
from controlplane.domain.services import FilesService, PostgresService, RedisService, Service

ID = "storage.persistent_paths"


def _propose(desired: DesiredHost, reader: Reader, outlook: Outlook) -> Proposal:
    drafts: list[Draft] = []
    refusals: list[str] = []
    for name, service in sorted(desired.services.items()) if not outlook.docker_comes else ():
        try:
            draft = _decide(desired, name, service, reader, outlook)
        except Unobserved as doubt:
            refusals.append(f"could not be observed: {about(name, doubt)}")
        except CannotError as reason:
            refusals.append(f"{name}: {reason}")
        else:
            drafts += [draft] if draft is not None else []
    return Proposal(drafts=tuple(drafts), refusals=tuple(refusals))


def _decide(desired: DesiredHost, name: str, service: Service, reader: Reader, outlook: Outlook) -> Draft | None:
    container = next((seen for seen in reader.containers if seen["name"] == name), None)
    if container is None:
        raise Unobserved(f"{name}: there is no container of this name")
    case = Case(desired, reader.evidence)
    landing = land(case, container, service.data)
    mount = landing.mount
    if mount is not None and not elsewhere_than_declared(case, landing, service):
        _refuse_what_no_move_mends(case, landing, service, outlook)
        return None
    data = Moving(
        container,
        landing,
        service.kind,
        service.data,
        service.place,
        service.volume,
        tuple(service.proof or ()) if isinstance(service, FilesService) else (),
        mends=_mends(name, service, reader),
    )
    asked = (desired, reader, outlook)
    refuse(data, *asked)
    if isinstance(service, PostgresService):
        _refuse_what_lies_outside(name, service.data, reader)
    paths, _ = together([data], _surfaces(name, *asked))
    variables = {
        "persistent_paths_container": name,
        "persistent_paths_paths": [path.variables(desired) for path in paths],
        "persistent_paths_override": is_overridden(desired, container),
        "persistent_paths_port": _port(service, name, reader),
        "persistent_paths_auth": service.auth.model_dump(exclude_none=True, include={"password_env", "user"}) if service.auth else {},
    }
    return draft_of(paths, asked, variables=variables)


def _refuse_what_no_move_mends(case: Case, landing: Landing, service: Service, outlook: Outlook) -> None:
    """Raise `CannotError` where data that lie as declared are not as D236 wants them, and no other step of a plan mends that."""
    fault, desired, at = misplaced(case, landing, service), case.desired, landing.host_path
    if not fault:
        return
    if at is not None and on_boot_disk(case, landing):
        if is_at_or_below(at, case.reader.docker_info["root"]) and desired.docker.data_root is not None:
            return  # on which disk Docker's root lies is docker.data_root's matter
        declared = mount_of(at, desired)
        if declared in outlook.missing:
            raise CannotError(f"{service.data} {fault}: {at} lies on {declared}, which can't be provided: {outlook.missing[declared]}")
        if declared in outlook.mounts and not outlook.mounts[declared].live:
            return  # whether the disk is mounted over what lies there is storage.data_disk's
    if landing.mount is not None and not landing.mount["rw"]:
        raise CannotError(f"{service.data} {fault}, and nobody here changes how a mount is mounted: mount it writable in its compose file")
    where = f", at {at}, which no move of Docker's root takes along" if service.volume is not None and at is not None else ""
    raise CannotError(
        f"{service.data} {fault}{where}: name another place for it, or a volume that is not there yet "
        f"(policy.yml, hosts.{desired.host}.services), then plan again"
    )


def _refuse_what_lies_outside(name: str, data: str, reader: Reader) -> None:
    """Raise `CannotError` where a PostgreSQL is seen to keep data outside of what moves. What it did not tell the role asks it."""
    state = reader.postgres.get(name)
    if state is None:
        return
    found, directory, spaces = [], state["data_directory"], state.get("tablespaces", {})
    if directory and not is_at_or_below(directory, data):
        found.append(f"PostgreSQL keeps its data in {directory}, not in {data}: name that in the policy (services.{name}.data)")
    outside = [f"{space} at {place}" for space, place in sorted(spaces.items()) if not is_below(place, data)]
    if outside:
        found.append(f"tablespaces lie outside {data}: {', '.join(outside)}. Give each a mount of its own, or move its tables to pg_default")
    if found:
        raise CannotError("; ".join(found))


def _surfaces(name: str, desired: DesiredHost, reader: Reader, outlook: Outlook) -> Iterator[Moving]:
    """Yield the container's surfaces that drift and that nothing speaks against."""
    for surface in sorted((one for one in desired.write_surfaces if one.container == name), key=lambda one: one.path):
        try:
            path = drifting(desired, surface, reader)
            if path is not None:
                refuse(path, desired, reader, outlook)
                yield path
        except (Unobserved, CannotError):
            continue


def _mends(name: str, service: Service, reader: Reader) -> tuple[Mend, ...]:
    # Settings that drift as well are not mended by a move.
    settled = not isinstance(service, PostgresService) or is_durable_postgres(reader, name)
    return (Mend(check="D236", surface=f"service:{name}"),) if settled else ()


def _port(service: Service, name: str, reader: Reader) -> int:
    if not isinstance(service, RedisService):
        return 6379
    state = reader.redis.get(name)
    return int((state["running"].get("port") if state else None) or 6379) or 6379


CAPABILITY = Capability(id=ID, role="persistent_paths", propose=_propose, mounts=False)
