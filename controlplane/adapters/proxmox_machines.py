"""Ask Proxmox VE for machines: one look a hypervisor for all its machines.

Rules:
- A machine is 'not there' only where the API itself says so to a token that may look: its lists leave out what the token may not see.
- Machines go by their number; names are not unique there, and so one that has the name already is told.
- A machine that has a lock before it has a name is somebody's that is being made.
- Networks are None: what bridges a node has is in no part of the API that every token may read; a missing one shows when the machine is started.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from controlplane.adapters import proxmox_config as config_of
from controlplane.adapters.proxmox_api import Api, ApiError, access_to
from controlplane.adapters.service_secrets import SiteSecrets
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import ProbeRecord
from controlplane.domain.machine_shapes import MachineSeen, StorageSeen
from controlplane.domain.machines import DesiredMachine, Proxmox

_AT_ONCE = 8


def look(desired: Mapping[str, DesiredHost], *, site: Path) -> dict[str, ProbeRecord]:
    """Return what is seen of each host's machine on Proxmox VE, or why it could not be; other hosts are left out."""
    secrets = SiteSecrets(site, os.environ)
    machines: dict[str, list[DesiredMachine]] = {}
    for host in desired.values():
        if host.machine is not None and isinstance(host.machine.hypervisor, Proxmox):
            machines.setdefault(str(host.machine.hypervisor_name), []).append(host.machine)
    if not machines:
        return {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        told = pool.map(lambda name: _look(name, machines[name], site, secrets), machines)
        return {name: record for records in told for name, record in records.items()}


def _look(name: str, machines: list[DesiredMachine], site: Path, secrets: SiteSecrets) -> dict[str, ProbeRecord]:
    begun = time.monotonic()
    try:
        hypervisor = machines[0].hypervisor
        if not isinstance(hypervisor, Proxmox):
            raise TypeError(f"{name} is no Proxmox VE")
        cluster = _Cluster(Api(access_to(name, hypervisor, site=site, secrets=secrets)))
    except ApiError as error:
        return {machine.name: _failed(f"the hypervisor {name}: {error}", begun) for machine in machines}
    return {machine.name: _one(cluster, name, machine) for machine in machines}


def _one(cluster: _Cluster, name: str, machine: DesiredMachine) -> ProbeRecord:
    begun = time.monotonic()
    try:
        seen = cluster.machine(machine)
    except (ApiError, ValueError, KeyError, TypeError) as error:
        told = str(error) if isinstance(error, ApiError | ValueError) else f"its answer is not what was expected ({type(error).__name__}: {error})"
        return _failed(f"the hypervisor {name}: {told}", begun)
    return ProbeRecord(status="ok", seconds=round(time.monotonic() - begun, 3), data=dict(seen))


def _failed(why: str, begun: float) -> ProbeRecord:
    return ProbeRecord(status="failed", error=why, seconds=round(time.monotonic() - begun, 3))


class _Cluster:
    """What is the same for all machines of one look is asked once."""

    def __init__(self, api: Api) -> None:
        self.api, self.node = api, api.access.hypervisor.node
        nodes = sorted(str(row["node"]) for row in api.read("nodes"))
        if self.node not in nodes:
            raise ApiError(f"{api.access.hypervisor.api} has no node {self.node}; it has {', '.join(nodes) or 'none that this token may see'}")
        self.rows = {int(row["vmid"]): row for row in api.read("cluster", "resources", type="vm")}
        self._storages: dict[str, dict[str, Any] | None] = {}

    def machine(self, machine: DesiredMachine) -> MachineSeen:
        """Return what is seen of one machine."""
        number = int(machine.id or 0)
        # Asked even where the list has no such machine: a token that may not look at it is refused here, and the list would be short in silence.
        config = self.api.read_or_none("nodes", self.node, "qemu", number, "config", current=1)
        seen = self._nothing(machine, number)
        row = self.rows.get(number)
        if config is None:
            if row is not None:
                seen["other"] = f"machine {row.get('name', '')} ({number}) on node {row.get('node')}"
            else:
                twin = next((other for other in self.rows.values() if other.get("name") == machine.name), None)
                seen["other"] = f"machine {machine.name} with number {twin['vmid']}" if twin else None
            return seen
        if "name" not in config and config.get("lock"):
            seen["other"] = f"a machine with number {number} that is being made (lock {config['lock']})"
            return seen
        if config.get("name") != machine.name:
            seen["other"] = f"machine {config.get('name', 'without a name')} ({number})"
            return seen
        status = self.api.read("nodes", self.node, "qemu", number, "status", "current")
        mark, disks = config_of.mark(config), config_of.disks(config)
        return {
            **seen,
            "exists": True,
            "id": str(number),
            "run": mark.get("run"),
            "made": mark["made"] == "yes" if "made" in mark else None,
            "birth": mark.get("birth"),
            "host_keys": [mark["host-key"]] if "host-key" in mark else [],
            "state": "running" if status["status"] == "running" else "shut off",
            "autostart": int(config.get("onboot", 0)) == 1,
            "cores": config_of.cores(config),
            "memory": config_of.memory(config),
            "agent": config_of.has_agent(config),
            "disks": disks,
            "defined": {disk["serial"]: disk["storage"] for disk in disks if disk["serial"]},
            "cards": config_of.cards(config),
        }

    def _nothing(self, machine: DesiredMachine, number: int) -> MachineSeen:
        boot = machine.profile.boot
        storages = sorted({*([boot.storage] if boot else []), *(disk.storage for disk in machine.disks.values())})
        return {
            "backend": "proxmox",
            "exists": False,
            "other": None,
            "id": None,
            "run": None,
            "made": None,
            "birth": None,
            "host_keys": [],
            "state": None,
            "autostart": None,
            "cores": None,
            "memory": None,
            "agent": None,
            "disks": [],
            "defined": {},
            "cards": [],
            "storages": {name: seen for name in storages if (seen := self._storage(name, number)) is not None},
            "images": self._image(boot.image) if boot and boot.image else {},
            "templates": {},
            "networks": None,
        }

    def _storage(self, name: str, number: int) -> StorageSeen | None:
        if name not in self._storages:
            self._storages[name] = self.api.read_or_none("nodes", self.node, "storage", name, "status")
        status = self._storages[name]
        if status is None:
            return None
        active = int(status.get("active", 0)) == 1
        rows = self.api.read("nodes", self.node, "storage", name, "content", vmid=number) if active else []
        owned = {str(row["volid"]): int(row["size"]) for row in rows}
        return {"active": active, "free": int(status.get("avail", 0)), "total": int(status.get("total", 0)), "volumes": owned}

    def _image(self, volume: str) -> dict[str, int]:
        storage, colon, _ = volume.partition(":")
        if not colon:
            return {}
        found = self.api.read_or_none("nodes", self.node, "storage", storage, "content", volume)
        return {} if found is None else {volume: int(found["size"])}
