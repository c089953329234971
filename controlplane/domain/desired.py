"""The desired state: one resolved, sorted record per host.

Rules:
- Host over group over defaults, for each key by itself; two groups that disagree on a key are a fault, never a choice.
- A host of the policy that the inventory doesn't have is a fault; hosts of the inventory that the policy doesn't name
  are not governed.
- A waiver holds to the end of its last day in the site's timezone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import Field

from controlplane.domain.digest import digest_of
from controlplane.domain.disks import Disk, NfsMount
from controlplane.domain.errors import InputInvalidError
from controlplane.domain.faults import NOWHERE, Source, fault_at
from controlplane.domain.inventory import Inventory
from controlplane.domain.layers import Key, Merged, layer, merge_groups
from controlplane.domain.machines import DesiredMachine, Machines, desired_machine
from controlplane.domain.names import AsTuple
from controlplane.domain.policy import DataHome, Docker, HostPolicy, Limits, Policy, Until, Waiver
from controlplane.domain.policy_rules import policy_faults
from controlplane.domain.registers.links import Linkage
from controlplane.domain.releases.wanted import ReleaseWanted
from controlplane.domain.services import BootAccepted, Service, Stack, WriteSurface
from controlplane.domain.values import Value


class HostWaiver(Value):
    """A waiver of one host; it holds while now < `ends_at` and the observed values stay within `until`.

    `void` is why it does not hold whatever is observed: a limit of it was crossed before (`waiver_ends`).
    """

    check: str
    surface: str | None = None
    reason: str
    approved_by: str
    # Lax, because JSON has no moments: it reads the text that it wrote.
    ends_at: Annotated[datetime, Field(strict=False)]
    until: Until | None = None
    void: str | None = None

    def digest(self, host: str) -> str:
        """Return the digest of what was given: with another day, limit or reason it is another waiver."""
        return digest_of({"host": host, **self.model_dump(mode="json", exclude_none=True, exclude={"void"})})

    def in_force(self, *, now: datetime) -> bool:
        """Return whether its last day is not over."""
        return now < self.ends_at

    def covers(self, check: str, surface: str) -> bool:
        """Return whether it was given for this check and surface."""
        return self.check == check and self.surface in (None, surface)


class Registered(Value):
    """The STOR findings of one host as the site's registers link them, or why they could not be read."""

    rows: tuple[Linkage, ...] = ()
    doubt: str | None = None


class DesiredHost(Value):
    """What one host is to look like, from policy and inventory.

    `tier` and `data` are None where nothing says where data live (a target without a site): then nothing is placed.
    `docker.log`, `docker.data_root` and `docker.containerd_root` are None where the policy does not ask.
    `services` are by container name, sorted. `machine` is None where machines.yml does not name the host.
    `registered` is None where the site has no registers; it is no part of what is wanted of a host, so no digest holds it.
    `releases` are stacks that a release is to bring there: the verbs of releases fill it in, no policy does, and no digest holds it either.
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
    machine: DesiredMachine | None = None
    registered: Registered | None = Field(None, exclude=True)
    releases: Annotated[tuple[ReleaseWanted, ...], AsTuple] = Field((), exclude=True)

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


def resolve(
    policy: Policy,
    inventory: Inventory | None,
    *,
    machines: Machines | None = None,
    keys: Mapping[str, str] | None = None,
    timezone: str = "UTC",
    source: Source = NOWHERE,
) -> DesiredState:
    """Return the state of every host of the policy, sorted by name.

    Without an inventory nothing comes from groups. InputInvalidError lists every fault at once, with lines if `source`
    is what the policy was read from. `keys` are the texts of the files that `machines` names. `timezone` is the site's, an IANA name.
    """
    data = policy.model_dump(mode="json", exclude_none=True)
    faults = [fault_at(source, place, message) for place, message in policy_faults(data, inventory)]
    if faults:
        raise InputInvalidError(faults)
    known = inventory.by_name() if inventory else {}
    defaults = layer(data["defaults"], ("defaults",))
    groups = {name: layer(node, ("groups", name)) for name, node in data["groups"].items()}
    waivers: dict[str, list[HostWaiver]] = {}
    for waiver in policy.waivers:
        waivers.setdefault(waiver.host, []).append(_host_waiver(waiver, timezone))
    hosts = []
    for name in sorted(policy.hosts):
        member = known[name].groups if name in known else ()
        merged = {**defaults, **merge_groups(groups, member)[0], **layer(data["hosts"][name], ("hosts", name))}
        hosts.append(
            _desired_host(
                name,
                policy=policy,
                host=policy.hosts[name],
                merged=merged,
                groups=member,
                waivers=tuple(waivers.get(name, ())),
                machine=desired_machine(name, machines, keys),
            )
        )
    return DesiredState(hosts=tuple(hosts))


def end_of_day(day: date, timezone: str) -> datetime:
    """Return the first moment after `day` in `timezone`, in UTC."""
    return datetime.combine(day + timedelta(days=1), time.min, tzinfo=ZoneInfo(timezone)).astimezone(UTC)


def _desired_host(
    name: str,
    *,
    policy: Policy,
    host: HostPolicy,
    merged: Merged,
    groups: tuple[str, ...],
    waivers: tuple[HostWaiver, ...],
    machine: DesiredMachine | None,
) -> DesiredHost:
    def values(first: str) -> dict[str, Any]:
        return {key[1]: found.value for key, found in merged.items() if len(key) == 2 and key[0] == first}

    tier_key: Key = ("tier",)
    tier = merged[tier_key].value if tier_key in merged else None
    return DesiredHost(
        host=name,
        groups=groups,
        tier=tier,
        data=policy.tiers[tier].data if tier else None,
        thresholds=Limits.model_validate(values("thresholds")),
        disks=host.disks,
        docker=Docker.model_validate(values("docker")),
        services={container: host.services[container] for container in sorted(host.services)},
        stacks=host.stacks,
        write_surfaces=host.write_surfaces,
        boot_accepted=host.boot_accepted,
        nfs=host.nfs,
        waivers=waivers,
        machine=machine,
    )


def _host_waiver(waiver: Waiver, timezone: str) -> HostWaiver:
    return HostWaiver(
        check=waiver.check,
        surface=waiver.surface,
        reason=waiver.reason,
        approved_by=waiver.approved_by,
        ends_at=end_of_day(waiver.expires, timezone),
        until=waiver.until,
    )
