"""What a hypervisor shows of one machine and of what it would be made from: the same shape for every kind of hypervisor.

Units: bytes. What a hypervisor does not know of is None or missing, never a guess.
"""

from __future__ import annotations

from typing import NotRequired

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

_closed = with_config(ConfigDict(extra="forbid", strict=True))


@_closed
class MachineDiskSeen(TypedDict):
    """One disk of the machine; `source` is the volume as the hypervisor names it, `boot` the disk that it boots from."""

    serial: str | None
    size: int
    storage: str | None
    source: str
    boot: bool


@_closed
class MachineCard(TypedDict):
    """One network card."""

    network: str | None
    bridge: str | None
    vlan: int | None
    mac: str


@_closed
class StorageSeen(TypedDict):
    """One storage or pool; `volumes` are this machine's own that lie there, by name, with their size."""

    active: bool
    free: int
    total: int
    volumes: dict[str, int]


@_closed
class MachineSeen(TypedDict):
    """One machine. `run` is the key of the run that made it, where it carries such a mark; `other` names the machine that has its id or name already.

    `made` is False while that run has not finished with it; `host_keys` are the public SSH host keys that it was born with, one line each.

    `birth` says by digests what it was born with (`machine_birth`), None without such a mark. `defined` are the data disks of its definition by
    serial number, with the storage that each belongs in; those whose volume is still to be made are among them, and not among `disks`. Evidence
    that is older than these two questions has neither key: then nobody asked, and what needs them is UNKNOWN.

    `images` are those that were asked for, by name, with the size of the disk in them; `templates` likewise, with the template's id as text.
    `networks` are the networks and bridges that were asked for and are there; None where the hypervisor shows none to anybody.
    """

    backend: str
    exists: bool
    other: str | None
    id: str | None
    run: str | None
    made: bool | None
    birth: NotRequired[str | None]
    host_keys: list[str]
    state: str | None
    autostart: bool | None
    cores: int | None
    memory: int | None
    agent: bool | None
    disks: list[MachineDiskSeen]
    defined: NotRequired[dict[str, str | None]]
    cards: list[MachineCard]
    storages: dict[str, StorageSeen]
    images: dict[str, int]
    templates: dict[str, str]
    networks: list[str] | None
