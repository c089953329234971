"""storage.persistent_paths: the data of a named container move to the place or the volume that the policy names; its compose file mounts them there.

Rules:
- One step a container: each stops alone, and has its own receipt and way back. A container that the policy doesn't name is not touched.
- The destination is a mount that is there or that an earlier step of the plan makes. A named volume lies in Docker's root, which has to be off the
  boot disk by then.
- What the container's own files say is the role's to judge, on the machine; what evidence tells against a move is told before.
- How large the data are is known of volumes and of the writable layer. Of a bind it is not: the role measures it before it changes anything.
- What drifts is D236's own judgement of where the data land, so that a plan and its check can't disagree.
"""

from __future__ import annotations

import math

from controlplane.domain.capabilities.proposal import Capability, Draft, Outlook, Proposal
from controlplane.domain.capabilities.root_bounds import mount_of
from controlplane.domain.checks.case import Case
from controlplane.domain.checks.durability import is_durable_postgres
from controlplane.domain.checks.landing import Landing, is_at_or_below, land
from controlplane.domain.checks.persistence import elsewhere_than_declared
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.evidence_shapes import Container, ContainerMount
from controlplane.domain.plan import Bound, Change, Downtime, Mend
from controlplane.domain.services import FilesService, PostgresService, RedisService, Service

ID = "storage.persistent_paths"
_STOP_LIMIT_S = 60
# Bare start, then the comparison of what was copied while it ran (seconds a gigabyte, measured on two cores).
_START_S, _S_PER_GB = 15, 10
_MARGIN, _RESERVE = 1.05, 64 << 20


class _CannotError(Exception):
    """Why one service is left alone, and what a person does about it."""


def _propose(desired: DesiredHost, reader: Reader, outlook: Outlook) -> Proposal:
    drafts: list[Draft] = []
    refusals: list[str] = []
    for name, service in sorted(desired.services.items()) if not outlook.docker_comes else ():
        try:
            draft = _decide(desired, name, service, reader, outlook)
        except Unobserved as doubt:
            refusals.append(f"could not be observed: {doubt}")
        except _CannotError as reason:
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
        # On which disk that lies is docker.data_root's matter.
        return None
    _refuse_what_is_not_ours(container, service, mount)
    _refuse_what_others_use(landing, name, reader)
    _refuse_place(desired, service, reader, outlook)
    now = _told(mount, service.data)
    place = f"{service.place}" if service.place is not None else f"volume {service.volume}"
    stack = next((held for held in desired.stacks if held.project == container["compose_project"]), None)
    override = stack is not None and stack.edit == "override"
    size = _size(container, mount, reader)
    file = f"{'the override file beside the' if override else 'the'} compose file of {container['compose_project']}"
    changes = [
        Change(kind="move", target=f"{service.data} of {name}", before=now, after=place),
        Change(
            kind="file",
            target=file,
            before=f"{container['compose_service']} mounts {now}",
            after=f"{place} at {service.data}, and the project's name is pinned",
        ),
        Change(
            kind="recreate",
            target=f"container {name}",
            before=f"{service.data} in {now}",
            after=f"{service.data} in {place}, by Compose, from the changed file, once",
        ),
        Change(kind="retire", target=f"{now} of {name}", before="in use", after="kept unchanged until a purge of its own"),
    ]
    return Draft(
        mends=_mends(name, service, reader),
        changes=tuple(changes),
        downtime=Downtime(services=(name,), estimate_s=_stop_limit(container) + _START_S + math.ceil((size or 0) / 1000**3 * _S_PER_GB)),
        undo=_undo(mount),
        bounds=_bounds(desired, name, service, size, outlook),
        if_short=f"Make room on the disk of {place}, or name a larger one (policy.yml, hosts.{desired.host}.services.{name}), then plan again",
        variables={
            "persistent_paths_container": name,
            "persistent_paths_kind": service.kind,
            "persistent_paths_data": service.data,
            "persistent_paths_place": service.place or "",
            "persistent_paths_volume": service.volume or "",
            "persistent_paths_mount": (mount_of(service.place, desired) or "") if service.place else "",
            "persistent_paths_proof": list(service.proof or ()) if isinstance(service, FilesService) else [],
            "persistent_paths_override": override,
            "persistent_paths_port": _port(service, name, reader),
            "persistent_paths_auth": service.auth.model_dump(exclude_none=True, include={"password_env", "user"}) if service.auth else {},
        },
    )


def _told(mount: ContainerMount | None, data: str) -> str:
    """Return how the change records name where the data lie, without what differs from one container to the next."""
    if mount is None:
        return "its writable layer"
    if mount["type"] == "volume":
        where = "an anonymous volume" if mount["anonymous"] else f"volume {mount['name']}"
    else:
        where = mount["host_path"] or mount["source"]
    below = data.removeprefix(mount["destination"].rstrip("/"))
    return f"{where}, {below.lstrip('/')} in it" if below else where


def _undo(mount: ContainerMount | None) -> str:
    back = "put the compose file back byte for byte, and move the data back with everything that was written since, proven"
    if mount is None or mount["anonymous"]:
        return f"{back}; as that is a fresh place each time, the service stops for the whole copy"
    return back


def _refuse_what_is_not_ours(container: Container, service: Service, mount: ContainerMount | None) -> None:
    name = container["name"]
    place = service.place or f"volume {service.volume}"
    if not container["running"]:
        raise _CannotError("it does not run, and what is moved is proven by the service itself: start it")
    if not container["compose_project"] or not container["compose_service"] or not container["compose_files"]:
        kind, source = ("bind", service.place) if service.place else ("volume", service.volume)
        into = service.place or f"$(docker volume inspect -f '{{{{.Mountpoint}}}}' $(docker volume create {service.volume}))"
        raise _CannotError(
            f"Compose did not make it, so nobody here can make it anew as it was. By hand: docker stop {name}; "
            f"docker cp -a {name}:{service.data}/. {into}/; then run its image again with the same "
            f"options and --mount type={kind},source={source},target={service.data}"
        )
    if mount is not None and (mount["type"] not in ("bind", "volume") or mount["host_path"] is None):
        raise _CannotError(f"{service.data} lies on a mount of type {mount['type']}, not in a directory of this host: move it to {place} by hand")
    below = sorted([seen["destination"] for seen in container["mounts"]] + container["tmpfs"])
    below = [at for at in below if at != service.data and is_at_or_below(at, service.data)]
    if below:
        raise _CannotError(f"{', '.join(below)} is mounted below {service.data}: give it a place of its own first")
    if any(is_at_or_below(service.data, at) for at in container["tmpfs"]):
        raise _CannotError(f"{service.data} lies in memory: take its tmpfs out of the compose file first")


def _refuse_what_others_use(landing: Landing, name: str, reader: Reader) -> None:
    path = landing.host_path
    if landing.mount is None or path is None:
        return
    seen = reader.paths.get(path)
    if seen is not None and seen["real"] != path:
        raise _CannotError(f"{path}, where its data lie, leads to {seen['real']} by a symbolic link: name the real path in the compose file")
    others = sorted(other["name"] for other in reader.containers if other["name"] != name for mount in other["mounts"] if _shows(mount, path))
    if others:
        raise _CannotError(f"{', '.join(dict.fromkeys(others))} also mounts {path}, whose data would stay behind: give each a place of its own")


def _shows(mount: ContainerMount, path: str) -> bool:
    """Say whether a mount of another container shows the same data. A read-only one of a folder above, such as a backup's, keeps none there."""
    at = mount["host_path"]
    return at is not None and (is_at_or_below(at, path) or (is_at_or_below(path, at) and mount["rw"]))


def _refuse_place(desired: DesiredHost, service: Service, reader: Reader, outlook: Outlook) -> None:
    place = service.place or outlook.docker_root or reader.docker_info["root"]
    declared = mount_of(place, desired)
    if service.volume is not None and desired.data == "disk" and declared is None:
        raise _CannotError(
            f"volume {service.volume} would lie in Docker's root {place}, which is on no declared mount: docker.data_root has to move that first"
        )
    if declared in outlook.missing:
        raise _CannotError(f"{place} lies on {declared}, which can't be provided: {outlook.missing[declared]}")
    if declared is not None and declared not in outlook.mounts:
        raise _CannotError(f"{place} lies on {declared}, which is not mounted")


def _mends(name: str, service: Service, reader: Reader) -> tuple[Mend, ...]:
    # Settings that drift as well are not mended by a move.
    settled = not isinstance(service, PostgresService) or is_durable_postgres(reader, name)
    return (Mend(check="D236", surface=f"service:{name}"),) if settled else ()


def _stop_limit(container: Container) -> int:
    if "stop_timeout_s" not in container:
        raise Unobserved(f"the stop timeout of {container['name']} was not collected")
    return max(_STOP_LIMIT_S, container["stop_timeout_s"] or 0)


def _size(container: Container, mount: ContainerMount | None, reader: Reader) -> int | None:
    """Return the bytes that are moved at most, None where nobody knows."""
    if mount is None:
        written = container["writable_bytes"]
        if written is None or written < 0:
            raise Unobserved(f"Docker did not tell the size of {container['name']}'s writable layer")
        return written
    if mount["type"] != "volume":
        return None
    size = reader.docker_usage["volume_bytes"].get(mount["name"] or "")
    return size if size is not None and size >= 0 else None


def _bounds(desired: DesiredHost, name: str, service: Service, size: int | None, outlook: Outlook) -> tuple[Bound, ...]:
    place = service.place or desired.docker.data_root
    declared = mount_of(place, desired) if place else None
    coming = outlook.mounts.get(declared) if declared else None
    if size is None or declared is None or coming is None:
        return ()
    needed = int(size * _MARGIN) + _RESERVE
    if coming.live and not coming.made_new:
        return (Bound(host=desired.host, what=f"free bytes on {declared}, for {name}", measure="free_bytes", of=declared, at_least=needed),)
    return (
        Bound(host=desired.host, what=f"size of {coming.device}, for {name}", measure="disk_bytes", of=coming.device, at_least=int(needed / 0.92)),
    )


def _port(service: Service, name: str, reader: Reader) -> int:
    if not isinstance(service, RedisService):
        return 6379
    state = reader.redis.get(name)
    return int((state["running"].get("port") if state else None) or 6379) or 6379


CAPABILITY = Capability(id=ID, role="persistent_paths", propose=_propose, mounts=False)
