"""The shape of each probe's data, as the collector returns it and `Reader` hands it out.

They are typed dictionaries, not models: fifty hosts are judged in the time that reading their JSON takes.
Units: bytes, seconds, epoch seconds; device numbers are "major:minor".
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from controlplane.domain.evidence_shapes.disks import Beneath, BlockDevice, Fstab, Mount, PathPlace, Signature, Usage
from controlplane.domain.evidence_shapes.docker import Container, DockerConfig, DockerInfo, DockerStore, DockerUsage, Image, Volume
from controlplane.domain.evidence_shapes.runs import TargetState
from controlplane.domain.evidence_shapes.services import PostgresState, RedisState, ReleaseSeen
from controlplane.domain.evidence_shapes.surfaces import SurfaceSizes, TmpFiles
from controlplane.domain.evidence_shapes.system import Identity, NetworkSeen, Package, Unit
from controlplane.domain.machine_shapes import MachineSeen

# Block devices and signatures are keyed by device number (a device that couldn't be read has no signature entry), usage and beneath by mountpoint,
# paths by the path that was asked for or discovered, units by name, Redis and PostgreSQL by container name.
MountTable = list[Mount]
BlockDevices = dict[str, BlockDevice]
Signatures = dict[str, Signature]
Usages = dict[str, Usage]
PathPlaces = dict[str, PathPlace]
Units = dict[str, Unit]
Packages = dict[str, Package]
Containers = list[Container]
Volumes = list[Volume]
Images = list[Image]
RedisStates = dict[str, RedisState]
PostgresStates = dict[str, PostgresState]
Beneaths = dict[str, Beneath]
ReleasesSeen = dict[str, ReleaseSeen]
# Bytes of each directory from which data are to move and that Docker keeps no account of, None for one that was not measured within the limits.
SourceSizes = dict[str, Annotated[int, Field(strict=True, ge=0)] | None]

# probe -> its shape. The collector's probe names are exactly these.
SHAPES: dict[str, Any] = {
    "identity": Identity,
    "mounts": MountTable,
    "block": BlockDevices,
    "signatures": Signatures,
    "fstab": Fstab,
    "usage": Usages,
    "paths": PathPlaces,
    "units": Units,
    "packages": Packages,
    "network": NetworkSeen,
    "docker_config": DockerConfig,
    "docker_info": DockerInfo,
    "docker_containers": Containers,
    "docker_volumes": Volumes,
    "docker_images": Images,
    "docker_usage": DockerUsage,
    "redis": RedisStates,
    "postgres": PostgresStates,
    "tmp": TmpFiles,
    "surfaces": SurfaceSizes,
    "sources": SourceSizes,
    "docker_store": DockerStore,
    "beneath": Beneaths,
    "target_state": TargetState,
    "releases": ReleasesSeen,
}

# What is seen of a host from elsewhere: its hypervisor's view. Only hosts whose machine is declared have it.
FROM_ELSEWHERE: dict[str, Any] = {"machine": MachineSeen}
