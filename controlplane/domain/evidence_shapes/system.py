"""Who the host is, what is installed on it, its units and its network."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from controlplane.domain.evidence_shapes.closed import closed


@closed
class Identity(TypedDict):
    machine_id: str
    boot_id: str
    hostname: str
    kernel: str
    os_id: str
    os_version: str
    boot_epoch: float
    clock_epoch: float
    euid: int


@closed
class DropIn(TypedDict):
    path: str
    text: str
    mtime: float


@closed
class Unit(TypedDict):
    """One systemd unit as `systemctl show` and its files tell; `properties` holds the raw ones that were asked for."""

    load_state: str
    active_state: str
    sub_state: str
    enabled: str
    fragment: str
    exec_start: str
    drop_ins: list[DropIn]
    properties: dict[str, str]
    needs_reload: bool


@closed
class Package(TypedDict):
    """What dpkg says of one package: `status` as in its list (`ii` is installed), empty where it does not know it."""

    status: str
    version: str | None


@closed
class ResolverSeen(TypedDict):
    """Which nameservers the host asks, by `files`; with systemd-resolved's stub also those that it forwards to.

    `error` is why they could not be read.
    """

    servers: list[str]
    files: list[str]
    error: str | None


@closed
class NetworkSeen(TypedDict):
    """Addresses with their prefixes (none of the loopback or of a link), and default gateways; both empty where they were not asked for.

    `resolver` is missing where it was not asked for, and in older evidence.
    """

    addresses: list[str]
    gateways: list[str]
    resolver: NotRequired[ResolverSeen]
