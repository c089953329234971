"""What use cases know of a site, once its files have been read and found valid."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from controlplane.domain.desired import DesiredHost, DesiredState
from controlplane.domain.digest import digest_of
from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.gates.values import Gates
from controlplane.domain.inventory import Inventory, InventoryHost, route_here, works_here
from controlplane.domain.machines import DesiredMachine, Libvirt
from controlplane.domain.registers import Registers
from controlplane.domain.releases.wanted import ReleaseWanted
from controlplane.domain.site import BackupGate, SiteContent
from controlplane.domain.values import Value
from controlplane.domain.waiver_ends import WaiverEnds, ending
from controlplane.domain.windows import Window


def hypervisor_host(desired: DesiredHost) -> str | None:
    """Return the inventory host that runs this host's machine, None where there is none or it is asked through an API."""
    hypervisor = desired.machine.hypervisor if desired.machine else None
    return hypervisor.host if isinstance(hypervisor, Libvirt) else None


class SiteView(Value):
    """One site: its name, what it wants of each host, how hosts are reached, and what it demands of runs."""

    name: str
    folder: str
    desired: DesiredState
    inventory: Inventory
    policy_digest: str
    approval: Literal["none", "self", "other"]
    retention: timedelta
    max_age: timedelta
    ready_for: timedelta = timedelta(hours=24)
    timezone: str = "UTC"
    windows: tuple[Window, ...] = ()
    backup_gate: BackupGate | None = None
    gates: Gates = Gates()
    registers: Registers | None = None
    has_signers: bool = False

    def inventory_digest(self) -> str:
        """Return the digest of the hosts that the policy governs and of the hypervisors that they run on, as the inventory has them."""
        names = {*self.desired.by_name(), *(host for desired in self.desired.hosts if (host := hypervisor_host(desired)) is not None)}
        return digest_of([host.model_dump(mode="json") for host in self.inventory.hosts if host.name in names])

    def route(self, name: str) -> InventoryHost:
        """Return how one host of the inventory is reached, or the controller itself under one of its names."""
        return route_here(name) if works_here(name) else self.inventory.by_name()[name]

    def releasing(self, wanted: Mapping[str, ReleaseWanted]) -> SiteView:
        """Return the same site with a release to be brought to these hosts."""
        hosts = [host.model_copy(update={"releases": (wanted[host.host],)}) if host.host in wanted else host for host in self.desired.hosts]
        return self.model_copy(update={"desired": DesiredState(hosts=tuple(hosts))})

    def ending(self, ends: WaiverEnds) -> SiteView:
        """Return the same site without the waivers that ended, or may have."""
        return self.model_copy(update={"desired": ending(self.desired, ends)})

    def chosen(self, names: tuple[str, ...]) -> tuple[tuple[DesiredHost, InventoryHost], ...]:
        """Return the named hosts, or all, each with its route. Raises `InputInvalidError` for every name that is none."""
        desired, routes = self.desired.by_name(), self.inventory.by_name()
        unknown = [name for name in dict.fromkeys(names) if name not in desired]
        if unknown:
            known = ", ".join(sorted(desired)) or "none"
            raise InputInvalidError(
                [Fault("--host", 0, "", f"{name} is not governed by {self.folder}/policy.yml; its hosts: {known}") for name in unknown]
            )
        return tuple((desired[name], routes[name]) for name in sorted(set(names) or desired.keys()))

    def machine_of(self, name: str) -> DesiredMachine:
        """Return what machines.yml says of one host. Raises `InputInvalidError` where it says nothing, or the policy doesn't govern the host."""
        [(desired, _)] = self.chosen((name,))
        if desired.machine is None:
            told = f"names no machine {name}, so nothing says what it is made of: give it a profile, or use: controlplane plan --host {name}"
            raise InputInvalidError([Fault(f"{self.folder}/machines.yml", 0, f"machines.{name}", told)])
        return desired.machine

    def refuse_made_elsewhere(self, name: str) -> None:
        """Raise `InputInvalidError` for a host that no hypervisor of machines.yml is to run."""
        if self.machine_of(name).hypervisor is None:
            told = f"is not named, so {name} is made elsewhere: name one, or bring the machine to its baseline: controlplane bootstrap {name}"
            raise InputInvalidError([Fault(f"{self.folder}/machines.yml", 0, f"machines.{name}.hypervisor", told)])


def view_of(content: SiteContent) -> SiteView:
    """Return what use cases need of a site. Raises `InputInvalidError` where its inventory was not read."""
    if content.inventory is None:
        told = "; ".join(content.notes) or "its inventory was not read"
        raise InputInvalidError([Fault(f"{content.folder}/site.yml", 0, "inventory", told)])
    return SiteView(
        name=content.site.name,
        folder=content.folder,
        desired=content.desired(),
        inventory=content.inventory,
        policy_digest=content.policy_digest,
        approval=content.site.approval,
        retention=content.site.retired_for,
        max_age=content.site.max_age,
        ready_for=timedelta(seconds=content.site.ready_for),
        timezone=content.site.timezone,
        windows=content.site.windows,
        backup_gate=content.site.backup_gate,
        gates=content.governance.gates,
        registers=content.governance.registers,
        has_signers=content.site.allowed_signers is not None,
    )
