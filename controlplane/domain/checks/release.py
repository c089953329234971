"""D249: a stack that was released runs what its manifest says, from the files that were deployed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from controlplane.domain.checks.case import Answer, Case, Check, Question, drifted, met
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.evidence_shapes.docker import Container
from controlplane.domain.evidence_shapes.services import ReleaseRecord, ReleaseSeen
from controlplane.domain.releases.running import running_faults, services_of
from controlplane.domain.releases.wanted import IMAGES_FILE, ReleaseWanted


def _questions(desired: DesiredHost, general: bool) -> Iterator[Question]:  # noqa: ARG001 - one signature for all checks
    """Judge `release:STACK` for each stack that a release brings to the host; the verbs of releases alone name any.

    Description: each service runs, healthy, the image that the manifest pins by digest, in the containers that its deployment made; compose and
        environment files are those that were deployed, all of them and no other, in their order.
    Drift: anything else (high).
    Unknown: containers, their images' digests, or the record of the deployment could not be observed.
    Rationale: healthy containers once ran stub builds, and an exported tag once made a rollback a no-op: only digests and files tell.
    """
    for wanted in desired.releases:
        yield Question(f"release:{wanted.stack}", partial(judge, wanted=wanted))


def judge(case: Case, wanted: ReleaseWanted) -> Answer:
    """Return whether the host runs what is wanted. Raises `Unobserved`."""
    running = services_of(wanted.project, case.reader.containers)
    seen = recorded(case.reader, wanted.project)
    told = [*running_faults(wanted.project, wanted.images, case.reader.containers), *_file_faults(seen, wanted)]
    told += _container_faults(seen["record"], running)
    if told:
        return drifted("; ".join(told))
    return met(f"{len(wanted.images)} services run, healthy, by manifest {wanted.manifest_name}")


def recorded(reader: Reader, project: str) -> ReleaseSeen:
    """Return what is on record of a project on its host. Raises `Unobserved`."""
    seen = reader.releases.get(project)
    if seen is None:
        raise Unobserved(f"the record of {project} was not looked at")
    return seen


def is_of_deployment(record: ReleaseRecord | None, service: str, held: Sequence[Container]) -> bool:
    """Say whether a service's containers are those that its deployment made; an older record does not tell, and then nothing speaks against it."""
    made = record.get("containers") if record is not None else None
    return made is None or {one["id"] for one in held} == set(made.get(service, ()))


def ordered(record: ReleaseRecord) -> list[str] | None:
    """Return the compose files that were deployed, in their order, None where an older record does not tell."""
    names = record.get("order")
    return None if names is None else [name for name in names if name != IMAGES_FILE]


def _container_faults(record: ReleaseRecord | None, running: Mapping[str, list[Container]]) -> list[str]:
    made = (record.get("containers") if record is not None else None) or {}
    told = []
    for service, held in sorted(running.items()):
        if is_of_deployment(record, service, held):
            continue
        strange = [one["name"] for one in held if one["id"] not in made.get(service, ())]
        more = f"{', '.join(strange)} is not what its deployment made" if strange else f"{len(made[service]) - len(held)} of its containers are gone"
        told.append(f"{service}: {more}")
    return told


def _file_faults(seen: ReleaseSeen, wanted: ReleaseWanted) -> list[str]:
    record = seen["record"]
    if record is None:
        return [f"no release of {wanted.project} is on record on the host"]
    told = [f"{record['dir']}/{name} is not what was deployed" for name in seen["changed"]]
    if record["dir"] != wanted.dir:
        told.append(f"it was deployed to {record['dir']}, not {wanted.dir}")
    if record["manifest"] != wanted.manifest:
        told.append(f"what was deployed is manifest {record['manifest_name']}, not {wanted.manifest_name}")
    if record["env_digest"] != wanted.env_digest:
        told.append("the environment file is another one")
    texts = {one.name: hashlib.sha256(one.text.encode()).hexdigest() for one in wanted.compose}
    held = {name: digest for name, digest in record["files"].items() if name != IMAGES_FILE}
    told += [f"{name} is another one" for name, digest in texts.items() if held.get(name, digest) != digest]
    told += [f"{name} is new" for name in texts if name not in held]
    told += [f"{name} is no part of it any more" for name in sorted(held) if name not in texts]
    order = ordered(record)
    if order is not None and order != list(texts) and sorted(order) == sorted(texts):
        told.append(f"its files were read in the order {', '.join(order)}, not {', '.join(texts)}")
    return told


CHECK = Check("D249", "releases", "high", _questions, by_default=lambda desired: bool(desired.releases))
