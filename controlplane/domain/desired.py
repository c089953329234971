"""The desired state: one resolved, sorted record per host.

Rules:
- Host over group over defaults, for each key by itself; two groups that disagree on a key are a fault, never a choice.
- A host of the policy that the inventory doesn't have is a fault; hosts of the inventory that the policy doesn't name
  are not governed.
- A waiver holds to the end of its last day in the site's timezone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from controlplane.domain.disks import Disk, NfsMount
from controlplane.domain.names import AsTuple
from controlplane.domain.policy import DataHome, Docker, Until
from controlplane.domain.services import BootAccepted, Service, Stack, WriteSurface
from controlplane.domain.values import Value


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


class HostWaiver(Value):
    """A waiver of one host; it holds while now < `ends_at` and the observed values stay within `until`."""

    check: str
    surface: str | None = None
    reason: str
    approved_by: str
    ends_at: datetime
    until: Until | None = None

    def in_force(self, *, now: datetime) -> bool:
        """Return whether its last day is not over."""
        return now < self.ends_at

    def covers(self, check: str, surface: str) -> bool:
        """Return whether it was given for this check and surface."""
        return self.check == check and self.surface in (None, surface)


class DesiredHost(Value):
    """What one host is to look like, from policy and inventory.

    `tier` and `data` are None where nothing says where data live (a target without a site): then nothing is placed.
    `docker.log`, `docker.data_root` and `docker.containerd_root` are None where the policy does not ask.
    `services` are by container name, sorted.
    """

    host: str
    groups: Annotated[tuple[str, ...], AsTuple] = ()
    tier: str | None = None
    data: DataHome | None = None
    thresholds: Limits = Limits()
    disks: Annotated[tuple[Disk, ...], AsTuple] = ()
    docker: Docker = Docker()
    services: dict[str, Service] = Field(default={})
    stacks: Annotated[tuple[Stack, ...], AsTuple] = ()
    write_surfaces: Annotated[tuple[WriteSurface, ...], AsTuple] = ()
    boot_accepted: Annotated[tuple[BootAccepted, ...], AsTuple] = ()
    nfs: Annotated[tuple[NfsMount, ...], AsTuple] = ()
    waivers: Annotated[tuple[HostWaiver, ...], AsTuple] = ()

    @classmethod
    def general(cls, host: str) -> DesiredHost:
        """Return the state for a target without a site: default thresholds, nothing placed."""
        return cls(host=host)


class DesiredState(Value):
    """Every host that the policy governs, sorted by name."""

    hosts: Annotated[tuple[DesiredHost, ...], AsTuple] = ()

    def by_name(self) -> dict[str, DesiredHost]:
        """Return the hosts by name."""
        return {host.host: host for host in self.hosts}
