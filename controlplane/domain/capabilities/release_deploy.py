"""release.deploy: a compose stack runs the images that a manifest pins, from the compose and environment files of its release.

Rules:
- The verbs of releases alone plan it: they hold the gate. `plan`, `apply` and waves refuse it by name.
- What drifts is D249's own judgement, so that a plan and its check can't disagree.
- Only its own project is touched: containers of other projects, and volumes of any, stay as they are.
- Where a service keeps its data stays, and named volumes have theirs where the policy allows that (release_data.py); a mount that the release has no
  longer is shown.
- Where only images differ, the services with other images are replaced, and what goes with them stops as well: by depends_on with restart, by links,
  by a namespace. Where a file differs, Compose decides, so every service may be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from controlplane.domain.capabilities.proposal import Capability, Draft, Outlook, Proposal, about
from controlplane.domain.capabilities.release_data import called, data, elsewhere, is_source, misplaced, taken, volume_places
from controlplane.domain.checks.case import Case
from controlplane.domain.checks.release import is_of_deployment, judge, ordered, recorded
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.evidence_shapes.docker import Container
from controlplane.domain.evidence_shapes.services import ReleaseRecord, ReleaseSeen
from controlplane.domain.finding import Verdict
from controlplane.domain.plan import Change, Downtime, Mend
from controlplane.domain.releases.before import told_of, told_with_health
from controlplane.domain.releases.running import digests_of, services_of
from controlplane.domain.releases.wanted import ENV_FILE, IMAGES_FILE, ReleaseWanted

ID = "release.deploy"


class CannotError(Exception):
    """The stack can't be brought there; the message says why, and what to do."""


def _propose(desired: DesiredHost, reader: Reader, outlook: Outlook) -> Proposal:  # noqa: ARG001 - one signature for all capabilities
    drafts: list[Draft] = []
    refusals: list[str] = []
    for wanted in desired.releases:
        try:
            if judge(Case(desired, reader.evidence), wanted).verdict is not Verdict.MET:
                drafts.append(_draft(desired, wanted, reader))
        except Unobserved as doubt:
            refusals.append(f"could not be observed: {about(wanted.stack, doubt)}")
        except CannotError as reason:
            refusals.append(f"{wanted.stack}: {reason}")
    return Proposal(drafts=tuple(drafts), refusals=tuple(refusals))


def _draft(desired: DesiredHost, wanted: ReleaseWanted, reader: Reader) -> Draft:
    running = services_of(wanted.project, reader.containers)
    _refuse(desired, wanted, running, reader)
    seen = recorded(reader, wanted.project)
    files = tuple(_files(wanted, seen))
    replaced = tuple(_with_dependents(wanted, running, dict(_services(wanted, running, seen["record"], all_of_them=bool(files)))))
    stopping = tuple(sorted(one["name"] for service in running.values() for one in service if _stops(one, replaced, wanted) and one["running"]))
    return Draft(
        mends=(Mend(check="D249", surface=f"release:{wanted.stack}"),),
        changes=(
            *files,
            *_volumes(wanted, reader),
            *_unmounted(wanted, running, reader),
            *(change for _, change in replaced),
            *_removed(wanted, running),
        ),
        downtime=Downtime(services=stopping, estimate_s=_estimate(wanted, stopping, running)),
        undo=_undo(wanted, seen["record"], running),
        variables={
            "compose_stack_stack": wanted.stack,
            "compose_stack_environment": wanted.environment,
            "compose_stack_manifest": wanted.manifest,
            "compose_stack_manifest_name": wanted.manifest_name,
            "compose_stack_project": wanted.project,
            "compose_stack_dir": wanted.dir,
            "compose_stack_files": [{"name": one.name, "text": one.text} for one in wanted.compose],
            "compose_stack_images": dict(wanted.images),
            "compose_stack_env_digest": wanted.env_digest,
            "compose_stack_places": list(wanted.bind_sources),
            "compose_stack_volumes": {name: place for name, place in volume_places(wanted, reader).items() if place is not None},
            "compose_stack_wait_s": wanted.wait_s,
        },
    )


def _refuse(desired: DesiredHost, wanted: ReleaseWanted, running: Mapping[str, list[Container]], reader: Reader) -> None:
    """Raise `CannotError` for what evidence shows already; the role asks Compose itself before it changes anything."""
    others = sorted({one["compose_dir"] or "nowhere" for service in running.values() for one in service if one["compose_dir"] != wanted.dir})
    if others:
        raise CannotError(
            f"project {wanted.project} runs from {', '.join(others)}, not from {wanted.dir}: a renamed folder is another project, with empty "
            "volumes. Name the folder that it runs from in the policy's stacks"
        )
    if running and wanted.dir in reader.paths and not reader.paths[wanted.dir]["exists"]:
        raise CannotError(
            f"project {wanted.project} runs from {wanted.dir}, which is not there: it was renamed or removed, and with it the way back to what runs. "
            f"Move it back; or, to give its files up, make an empty {wanted.dir}"
        )
    away = sorted(
        f"{source} ({name}: {inside})"
        for name, service in wanted.services.items()
        for source, inside in service.binds.items()
        if source in reader.paths and not reader.paths[source]["exists"]
    )
    if away:
        raise CannotError(f"{', '.join(away)} is not there: Docker would make an empty folder on the boot disk. Make it, with its owner and mode")
    left = sorted({told for name, service in wanted.services.items() for one in running.get(name, []) for told in elsewhere(service, one, reader)})
    if left:
        raise CannotError(
            f"its data would be left behind: {'; '.join(left)}. Move them first (storage.persistent_paths), or keep the "
            "former folder or volume in the compose files"
        )
    if wrong := [*dict.fromkeys(misplaced(desired, wanted, reader))]:
        raise CannotError("; ".join(wrong))
    theirs = sorted({told for one in reader.containers for told in taken(desired, wanted, one, reader)})
    if theirs:
        raise CannotError(f"another project has the same data: {'; '.join(theirs)}. Two that write to them would destroy them: give each its own")


def _files(wanted: ReleaseWanted, seen: ReleaseSeen) -> Iterator[Change]:
    """Yield the files that will differ; the environment file is told by its keyed digest, the others by their SHA-256."""
    record, changed = seen["record"], seen["changed"]
    held = record["files"] if record is not None else {}
    for one in wanted.compose:
        after = _short(hashlib.sha256(one.text.encode()).hexdigest())
        before = _short(held[one.name]) if one.name in held else None
        if before != after or one.name in changed:
            yield Change(kind="file", target=f"{wanted.dir}/{one.name}", before=_by_hand(before, one.name, changed), after=after)
    if record is not None:
        yield from _left(wanted, record)
    before = record["env_digest"] if record is not None else None
    if before != wanted.env_digest or ENV_FILE in changed:
        yield Change(
            kind="file",
            target=f"{wanted.dir}/{ENV_FILE}",
            before=_by_hand(before and _short(before), ENV_FILE, changed),
            after=_short(wanted.env_digest),
        )


def _left(wanted: ReleaseWanted, record: ReleaseRecord) -> Iterator[Change]:
    """Yield the files that are read no longer, and the order of the others where that alone differs."""
    names = [one.name for one in wanted.compose]
    for name in sorted({*record["files"]} - {*names, IMAGES_FILE}):
        yield Change(kind="file", target=f"{record['dir']}/{name}", before=_short(record["files"][name]), after="stays, and is read no longer")
    order = ordered(record)
    if order is not None and order != names and sorted(order) == sorted(names):
        yield Change(kind="file", target=f"order of the files in {wanted.dir}", before=", ".join(order), after=", ".join(names))


def _by_hand(before: str | None, name: str, changed: list[str]) -> str | None:
    return f"{before}, changed by hand since" if before is not None and name in changed else before


def _short(digest: str) -> str:
    return digest.rpartition(":")[2][:12]


def _services(
    wanted: ReleaseWanted, running: Mapping[str, list[Container]], record: ReleaseRecord | None, *, all_of_them: bool
) -> Iterator[tuple[str, Change]]:
    """Yield each service that starts or is replaced."""
    for service, image in sorted(wanted.images.items()):
        held = running.get(service, [])
        digest = image.rpartition("@")[2]
        as_it_is = held and all(digest in digests_of(one) and one["running"] and one.get("health") == "healthy" for one in held)
        if as_it_is and is_of_deployment(record, service, held) and not all_of_them:
            continue
        before = "; ".join(told_of(one) for one in held) or None
        yield service, Change(kind="recreate", target=f"{wanted.project} {service}", before=before, after=image)


def _with_dependents(wanted: ReleaseWanted, running: Mapping[str, list[Container]], replaced: dict[str, Change]) -> Iterator[tuple[str, Change]]:
    """Yield what starts or is replaced, and what Compose stops and starts again along with that."""
    more = dict(replaced)
    while found := [name for name, service in sorted(wanted.services.items()) if name not in more and more.keys() & set(service.stops_with)]:
        for name in found:
            before = "; ".join(told_of(one) for one in running.get(name, [])) or None
            # All that it goes with, so that a run that goes on, where some of them are done, does no other thing.
            after = f"stops and starts again, as it goes with {', '.join(wanted.services[name].stops_with)}"
            more[name] = Change(kind="recreate", target=f"{wanted.project} {name}", before=before, after=after)
    yield from sorted(more.items())


def _removed(wanted: ReleaseWanted, running: Mapping[str, list[Container]]) -> Iterator[Change]:
    for service, held in sorted(running.items()):
        if service not in wanted.images:
            for one in held:
                yield Change(kind="delete", target=f"container {one['name']} of {wanted.project}", before=told_of(one), after=None, destructive=True)


def _volumes(wanted: ReleaseWanted, reader: Reader) -> Iterator[Change]:
    """Yield the named volumes that Compose will make, with where they land."""
    there = {volume["name"] for volume in reader.volumes}
    root = reader.docker_info["root"]
    for name in sorted({name for service in wanted.services.values() for name in service.volumes} - there):
        yield Change(kind="volume", target=name, before=None, after=f"{root}/volumes/{name}")


def _unmounted(wanted: ReleaseWanted, running: Mapping[str, list[Container]], reader: Reader) -> Iterator[Change]:
    """Yield what services write to now and have no longer, wherever in the container: it stays, and nothing of it is seen there any more."""
    for name, service in sorted(wanted.services.items()):
        sources = [*service.binds, *service.volumes]
        for one in running.get(name, []):
            for mount in data(one):
                if mount["rw"] and not any(is_source(mount, source, reader) for source in sources):
                    target = f"{one['name']} {mount['destination']}"
                    yield Change(kind="mount", target=target, before=called(mount), after="stays, and is mounted no longer")


def _stops(one: Container, replaced: tuple[tuple[str, Change], ...], wanted: ReleaseWanted) -> bool:
    service = one["compose_service"] or ""
    return service not in wanted.images or service in dict(replaced)


def _estimate(wanted: ReleaseWanted, stopping: tuple[str, ...], running: Mapping[str, list[Container]]) -> int:
    if not stopping:
        return 0
    named = [service for service, held in running.items() if any(one["name"] in stopping for one in held)]
    return max((wanted.services[name].stop_s for name in named if name in wanted.services), default=10) + wanted.wait_s


def _undo(wanted: ReleaseWanted, record: ReleaseRecord | None, running: Mapping[str, list[Container]]) -> str:
    if record is not None:
        back = f"the files of manifest {record['manifest_name']} come back byte for byte, and its images with them"
    elif running:
        told = "; ".join(f"{service} {told_with_health(one)}" for service, held in sorted(running.items()) for one in held)
        back = f"what runs there now, which no release brought, comes back with its files: {told}; volumes stay"
    else:
        back = "nothing of this project is there now: its containers stop and go, its volumes stay"
    return f"{back}; not undone: {', '.join(wanted.irreversible)}" if wanted.irreversible else back


CAPABILITY = Capability(id=ID, role="compose_stack", propose=_propose, led_by="release", mounts=False)
