"""D249: a stack that was released runs what its manifest says, from the files that were deployed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial

from controlplane.domain.checks.case import Answer, Case, Check, Question, drifted, met
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.evidence_shapes import ReleaseSeen
from controlplane.domain.releases.running import running_faults
from controlplane.domain.releases.wanted import ReleaseWanted


def _questions(desired: DesiredHost, general: bool) -> Iterator[Question]:  # noqa: ARG001 - one signature for all checks
    """Judge `release:STACK` for each stack that a release brings to the host; the verbs of releases alone name any.

    Description: each service runs, healthy, the image that the manifest pins by digest; compose and environment files are those that were deployed.
    Drift: anything else (high).
    Unknown: containers, their images' digests, or the record of the deployment could not be observed.
    Rationale: healthy containers once ran stub builds, and an exported tag once made a rollback a no-op: only digests and files tell.
    """
    for wanted in desired.releases:
        yield Question(f"release:{wanted.stack}", partial(judge, wanted=wanted))


def judge(case: Case, wanted: ReleaseWanted) -> Answer:
    """Return whether the host runs what is wanted. Raises `Unobserved`."""
    told = [*running_faults(wanted.project, wanted.images, case.reader.containers), *_file_faults(case, wanted)]
    if told:
        return drifted("; ".join(told))
    return met(f"{len(wanted.images)} services run, healthy, by manifest {wanted.manifest_name}")


def recorded(reader: Reader, project: str) -> ReleaseSeen:
    """Return what is on record of a project on its host. Raises `Unobserved`."""
    seen = reader.releases.get(project)
    if seen is None:
        raise Unobserved(f"the record of {project} was not looked at")
    return seen


def _file_faults(case: Case, wanted: ReleaseWanted) -> list[str]:
    seen = recorded(case.reader, wanted.project)
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
    told += [f"{name} is another one" for name, digest in texts.items() if record["files"].get(name) != digest]
    return told


CHECK = Check("D249", "releases", "high", _questions, by_default=lambda desired: bool(desired.releases))
