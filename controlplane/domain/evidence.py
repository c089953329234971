"""What one host showed at one time, raw enough to be judged again later, offline.

Rules:
- A probe that failed, hung or returned garbage is recorded as such; reading it raises `Unobserved`, which every check turns into UNKNOWN.
- Each probe is validated when it is first read, against its shape in evidence_shapes.py; a shape that does not fit is garbage, and so `Unobserved`.
- The shapes are typed dictionaries, not models: fifty hosts are judged in the time that reading their JSON takes.
- Nothing in evidence is secret: the collector leaves passwords and environments on the host.

Units: bytes, seconds, epoch seconds; device numbers are "major:minor".
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any, Literal, TypeVar, cast

from pydantic import Field, TypeAdapter, ValidationError

from controlplane.domain.digest import digest_of
from controlplane.domain.evidence_shapes import (
    FROM_ELSEWHERE,
    SHAPES,
    Beneaths,
    BlockDevices,
    Containers,
    Images,
    MountTable,
    Packages,
    PathPlaces,
    PostgresStates,
    RedisStates,
    ReleasesSeen,
    Signatures,
    SourceSizes,
    Units,
    Usages,
    Volumes,
)
from controlplane.domain.evidence_shapes.disks import Fstab
from controlplane.domain.evidence_shapes.docker import DockerConfig, DockerInfo, DockerStore, DockerUsage
from controlplane.domain.evidence_shapes.runs import TargetState
from controlplane.domain.evidence_shapes.surfaces import SurfaceSizes, TmpFiles
from controlplane.domain.evidence_shapes.system import Identity, NetworkSeen
from controlplane.domain.machine_shapes import MachineSeen
from controlplane.domain.values import Value

SCHEMA = 1


class Unobserved(Exception):  # noqa: N818 - a state of knowledge, not a fault of the program
    """Something could not be observed; the message says what and why. Checks turn it into UNKNOWN."""


class ProbeRecord(Value):
    """One probe's outcome; `data` is present only when `status` is ok. `absent`: the thing is not installed on this host."""

    status: Literal["ok", "failed", "timeout", "absent"]
    error: str | None = None
    seconds: float
    data: Any = None


class Evidence(Value):
    """One collection from one host. `host` is the inventory name; `collected_at` the controller's clock; `asked` what the collector looked at.

    `unconnected` is of a host that only its hypervisor speaks of, and means what it means in `Unreached`.
    """

    schema_version: Literal[1] = 1
    host: str
    collected_at: str
    asked: dict[str, Any]
    probes: dict[str, ProbeRecord]
    unconnected: bool = Field(default=False, exclude=True)

    def digest(self) -> str:
        """Return the digest of this evidence's canonical JSON."""
        # The same as digesting `model_dump`, without copying what is plain JSON data already.
        probes = {name: {"status": one.status, "error": one.error, "seconds": one.seconds, "data": one.data} for name, one in self.probes.items()}
        whole = {"schema_version": self.schema_version, "host": self.host, "collected_at": self.collected_at, "asked": self.asked, "probes": probes}
        return digest_of(whole)

    @property
    def reached(self) -> bool:
        """Whether the host itself said anything; what only its hypervisor shows is no answer of its own."""
        return any(record.status in ("ok", "absent") for name, record in self.probes.items() if name not in FROM_ELSEWHERE)

    def taken(self) -> datetime:
        """Return `collected_at` as an aware datetime."""
        return datetime.fromisoformat(self.collected_at.replace("Z", "+00:00"))


class Unreached(Value):
    """Why a host gave no evidence at all.

    `unconnected` says that no connection to it came about; else something there may well answer, only not as it should. It is of the moment, and
    no part of what is written down.
    """

    host: str
    reason: str
    unconnected: bool = Field(default=False, exclude=True)


T = TypeVar("T")


@cache
def _adapter(probe: str) -> TypeAdapter[Any]:
    return TypeAdapter((SHAPES | FROM_ELSEWHERE)[probe])


def _read(evidence: Evidence, probe: str) -> Any:
    record = evidence.probes.get(probe)
    if record is None:
        raise Unobserved(f"{probe} was not collected")
    if record.status != "ok":
        raise Unobserved(f"{probe}: {record.status}: {record.error or 'no reason given'}")
    try:
        return _adapter(probe).validate_python(record.data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Unobserved(f"{probe}: what the host returned does not fit ({place}: {first['msg']})") from None


def is_absent(evidence: Evidence, probe: str) -> bool:
    """Say whether the host positively showed that this thing is not installed."""
    record = evidence.probes.get(probe)
    return record is not None and record.status == "absent"


class Reader:
    """Typed access to one host's evidence; each probe is validated once, on first use. Raises `Unobserved`."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self._seen: dict[str, Any] = {}

    def _get(self, probe: str) -> Any:
        if probe not in self._seen:
            self._seen[probe] = _read(self.evidence, probe)
        return self._seen[probe]

    @property
    def identity(self) -> Identity:
        return cast(Identity, self._get("identity"))

    @property
    def mounts(self) -> MountTable:
        return cast(MountTable, self._get("mounts"))

    @property
    def block(self) -> BlockDevices:
        return cast(BlockDevices, self._get("block"))

    @property
    def signatures(self) -> Signatures:
        return cast(Signatures, self._get("signatures"))

    @property
    def fstab(self) -> Fstab:
        return cast(Fstab, self._get("fstab"))

    @property
    def usage(self) -> Usages:
        return cast(Usages, self._get("usage"))

    @property
    def paths(self) -> PathPlaces:
        return cast(PathPlaces, self._get("paths"))

    @property
    def units(self) -> Units:
        return cast(Units, self._get("units"))

    @property
    def packages(self) -> Packages:
        return cast(Packages, self._get("packages"))

    @property
    def network(self) -> NetworkSeen:
        return cast(NetworkSeen, self._get("network"))

    @property
    def docker_config(self) -> DockerConfig:
        return cast(DockerConfig, self._get("docker_config"))

    @property
    def docker_info(self) -> DockerInfo:
        return cast(DockerInfo, self._get("docker_info"))

    @property
    def containers(self) -> Containers:
        return cast(Containers, self._get("docker_containers"))

    @property
    def volumes(self) -> Volumes:
        return cast(Volumes, self._get("docker_volumes"))

    @property
    def images(self) -> Images:
        return cast(Images, self._get("docker_images"))

    @property
    def docker_usage(self) -> DockerUsage:
        return cast(DockerUsage, self._get("docker_usage"))

    @property
    def redis(self) -> RedisStates:
        return cast(RedisStates, self._get("redis"))

    @property
    def postgres(self) -> PostgresStates:
        return cast(PostgresStates, self._get("postgres"))

    @property
    def tmp(self) -> TmpFiles:
        return cast(TmpFiles, self._get("tmp"))

    @property
    def docker_store(self) -> DockerStore:
        return cast(DockerStore, self._get("docker_store"))

    @property
    def surfaces(self) -> SurfaceSizes:
        return cast(SurfaceSizes, self._get("surfaces"))

    @property
    def sources(self) -> SourceSizes:
        return cast(SourceSizes, self._get("sources"))

    @property
    def beneath(self) -> Beneaths:
        return cast(Beneaths, self._get("beneath"))

    @property
    def machine(self) -> MachineSeen:
        return cast(MachineSeen, self._get("machine"))

    @property
    def releases(self) -> ReleasesSeen:
        return cast(ReleasesSeen, self._get("releases"))

    @property
    def target_state(self) -> TargetState:
        return cast(TargetState, self._get("target_state"))
