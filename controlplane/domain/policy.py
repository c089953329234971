"""The storage-placement policy as a site writes it; `desired.resolve` turns it into one state per host.

Sizes are bytes and percentages are ints once read. Rules that look at more than one field are in `policy_rules`, so that
they report beside the field faults and not after them.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from controlplane.domain.digest import digest_of
from controlplane.domain.disks import Disk, NfsMount
from controlplane.domain.names import AsTuple, CheckId, ContainerName, GroupName, HostName, Line, TierName
from controlplane.domain.paths import PlacePath
from controlplane.domain.services import BootAccepted, Service, Stack, WriteSurface
from controlplane.domain.sizes import Percent, Size
from controlplane.domain.values import Value

DataHome = Literal["boot", "disk", "nfs"]


def _day(value: Any) -> Any:
    if isinstance(value, str) and len(value) == 10:
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    if isinstance(value, date):
        return value
    raise ValueError(f"{value!r} is no day: write it as 2026-12-31")


Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"})]


class Thresholds(Value):
    """Limits that a layer sets; what it leaves out comes from the layer below."""

    root_used_warn: Percent | None = Field(None, description="Usage of / that is DRIFTED medium")
    root_used_fail: Percent | None = Field(None, description="Usage of / that is DRIFTED high")
    disk_used_warn: Percent | None = Field(None, description="Usage of a data disk, in bytes or inodes, that is DRIFTED medium")
    disk_used_fail: Percent | None = Field(None, description="Usage of a data disk that is DRIFTED high; none unless set")
    images: Size | None = Field(None, description="Budget of Docker images")
    build_cache: Size | None = Field(None, description="Budget of Docker's build cache")
    volumes: Size | None = Field(None, description="Budget of Docker's local volumes")
    tmp_file: Size | None = Field(None, description="Largest file in /tmp")
    writable_layer: Size | None = Field(None, description="Largest writable layer of a container")


class Limits(Value):
    """Resolved thresholds: percentages 1 to 100, sizes in bytes. The defaults are those of the program."""

    root_used_warn: int = 80
    root_used_fail: int = 90
    disk_used_warn: int = 80
    disk_used_fail: int | None = None
    images: int = 15 * 1000**3
    build_cache: int = 10 * 1000**3
    volumes: int = 30 * 1000**3
    tmp_file: int = 10 * 1000**2
    writable_layer: int = 500 * 1000**2


class LogLimits(Value):
    """Rotation of container logs."""

    max_size: Size = Field(description="Size at which a container's log is rotated")
    max_files: Annotated[int, Field(ge=1, le=1000)] = Field(description="Files kept of each container")


class Hygiene(Value):
    """How images, build cache and logs are brought back to their budgets."""

    keep: Annotated[int, Field(ge=0, le=1000)] = Field(
        2, description="Last releases of each stack, and newest images of any other repository, that are kept whatever the budget"
    )
    protect: Annotated[tuple[Line, ...], AsTuple] = Field((), description="Images that are never removed, as REPOSITORY:TAG with * and ?")
    timer: Literal["daily", "weekly"] | None = Field(None, description="How often the machine itself does it, within the same limits")


class Docker(Value):
    """Where the engine keeps its data; None means that the policy does not ask."""

    data_root: PlacePath | None = Field(None, description="Docker's data-root")
    containerd_root: PlacePath | None = Field(None, description="containerd's root, where the containerd image store keeps layers")
    log: LogLimits | None = Field(None, description="Log rotation")
    hygiene: Hygiene | None = Field(None, description="How images, build cache and logs are brought back to their budgets")


class Tier(Value):
    """A class of machines by where their data lives."""

    data: DataHome = Field(description="boot: stateless; disk: a block device of its own; nfs: exports with mount entries of their own")


class Layer(Value):
    """What defaults and groups may set; a host's own value wins over a group's, a group's over the defaults."""

    tier: TierName | None = Field(None, description="Name of a tier")
    thresholds: Thresholds = Field(Thresholds(), description="Limits")
    docker: Docker = Field(Docker(), description="Docker's roots and log rotation")


class HostPolicy(Layer):
    """What one host is to look like."""

    disks: Annotated[tuple[Disk, ...], AsTuple] = Field((), description="Data disks, each with one mount")
    services: dict[ContainerName, Service] = Field({}, description="Services by container name")
    stacks: Annotated[tuple[Stack, ...], AsTuple] = Field((), description="Compose projects")
    write_surfaces: Annotated[tuple[WriteSurface, ...], AsTuple] = Field((), description="Temp and upload paths with a governed bind")
    boot_accepted: Annotated[tuple[BootAccepted, ...], AsTuple] = Field((), description="Container data that may stay on the boot disk")
    nfs: Annotated[tuple[NfsMount, ...], AsTuple] = Field((), description="NFS exports with mount entries of their own")


class Until(Value):
    """Observed values up to which a waiver holds; above one of them the finding is DRIFTED again."""

    root_used: Percent | None = Field(None, description="Usage of /")
    disk_used: Percent | None = Field(None, description="Usage of a data disk")
    images: Size | None = Field(None, description="Docker images")
    build_cache: Size | None = Field(None, description="Docker's build cache")
    volumes: Size | None = Field(None, description="Docker's local volumes")
    tmp_file: Size | None = Field(None, description="A file in /tmp")
    writable_layer: Size | None = Field(None, description="A container's writable layer")


class Waiver(Value):
    """A finding that is accepted for a while."""

    check: CheckId = Field(description="Check id, such as D237")
    host: HostName = Field(description="Host of this policy")
    surface: Line | None = Field(None, description="Only this surface, such as budget.images; all of the check's without it")
    reason: Line = Field(description="Why it is accepted")
    approved_by: Line = Field(description="Who accepted it")
    expires: Day = Field(description="Last day on which it holds, to its end in the site's timezone")
    until: Until | None = Field(None, description="Holds only up to these values")


class Policy(Value):
    """A site's whole policy, format version 1."""

    version: Literal[1] = Field(description="Format version")
    defaults: Layer = Field(Layer(), description="What holds for every host")
    groups: dict[GroupName, Layer] = Field({}, description="What holds for the hosts of an Ansible group")
    tiers: dict[TierName, Tier] = Field({}, description="Classes of machines")
    hosts: dict[HostName, HostPolicy] = Field({}, description="Hosts by inventory name")
    waivers: Annotated[tuple[Waiver, ...], AsTuple] = Field((), description="Findings accepted for a while")


def policy_digest(policy: Policy) -> str:
    """Return the digest of what the policy says: `15GB` and `15000MB`, comments and key order make no difference."""
    return digest_of(policy.model_dump(mode="json", exclude_none=True))
