"""Find a site's folder and read what it says: site.yml, policy.yml and the inventory that site.yml names.

Where it has them also machines.yml, gates.yml, registers/, waves/ and releases/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from controlplane.adapters.governance_files import read_governance
from controlplane.adapters.inventory import InventoryRead, read_inventory
from controlplane.adapters.strict_yaml import Document, collector_resting, read_document
from controlplane.domain.checks import CHECKS
from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.faults import Place, fault_at, validated
from controlplane.domain.governance import Governance
from controlplane.domain.inventory import Inventory
from controlplane.domain.machine_rules import machine_faults
from controlplane.domain.machines import Libvirt, Machines
from controlplane.domain.policy import Policy
from controlplane.domain.policy_rules import idle_waivers, policy_faults
from controlplane.domain.site import Site, SiteContent, site_faults
from controlplane.domain.waiver_ends import WaiverEnds

VARIABLE = "CONTROLPLANE_SITE"
Model = TypeVar("Model", bound=BaseModel)
Rules = Callable[[Any], Iterable[tuple[Place, str]]]


def find_site(given: str | None, environment: Mapping[str, str], current: Path) -> Path:
    """Return the site's folder: the one that is named, $CONTROLPLANE_SITE, or the only one under inventory/."""
    for said, where in ((given, "--site"), (environment.get(VARIABLE), f"${VARIABLE}")):
        if said:
            folder = Path(said)
            if not folder.is_dir():
                raise _refusal(where, f"{said} is no folder: name a site folder, or write one with 'controlplane init {said}'")
            return folder
    parent = current / "inventory"
    found = sorted(path.parent for path in parent.glob("*/site.yml")) if parent.is_dir() else []
    if len(found) == 1:
        return found[0]
    if not found:
        raise _refusal("--site", "there is no site folder under inventory/ here: name one, or write one with 'controlplane init DIR'")
    names = ", ".join(f"inventory/{path.name}" for path in found)
    raise _refusal("--site", f"there are several site folders here ({names}): name one with --site or ${VARIABLE}")


class SiteFolder:
    """A site's folder on this machine; `ends` reads which waivers its receipts say are over, and is asked only where one has limits."""

    def __init__(self, folder: Path, ends: Callable[[Path, Site], WaiverEnds] | None = None) -> None:
        self.folder = folder
        self._ends = ends

    def read(self, *, run_inventory: bool) -> SiteContent:
        """Return all that the folder says; `run_inventory` allows inventory scripts and plugins.

        Faults of site.yml, policy.yml, machines.yml, gates.yml or the inventory raise InputInvalidError, which then lists those of registers, waves
        and releases as well. Where only these have faults, `governance` holds them.
        """
        with collector_resting():
            faults: list[Fault] = []
            site_document = read_document(self.folder / "site.yml")
            site = _model(Site, site_document, site_faults, faults)
            read = self._inventory(site_document, site, run_inventory=run_inventory)
            faults += read.faults
            inventory: Inventory | None = read.inventory
            document = read_document(self.folder / "policy.yml")
            policy = _model(Policy, document, lambda data: (*policy_faults(data, inventory), *idle_waivers(data, list(CHECKS))), faults)
            machines = self._machines(document.data, inventory, faults)
            keys = self._keys(machines, faults)
            governance = self._governance(document.data, inventory, machines)
            # A check whose mode can't be read would pass for one that only reports.
            faults += governance.gate_faults
        if faults or site is None or policy is None:
            raise InputInvalidError([*faults, *governance.faults])
        notes = (read.note,) if read.note else ()
        limited = self._ends is not None and any(waiver.until is not None for waiver in policy.waivers)
        ended = self._ends(self.folder, site) if self._ends is not None and limited else WaiverEnds()
        return SiteContent(str(self.folder), site, policy, inventory, document, notes, machines, keys, governance, ended)

    def _governance(self, policy: Any, inventory: Inventory | None, machines: Machines | None) -> Governance:
        hosts = policy.get("hosts") if isinstance(policy, Mapping) else None
        governed = [str(host) for host in hosts] if isinstance(hosts, Mapping) else None
        stacks = {str(name): _projects(host) for name, host in hosts.items()} if isinstance(hosts, Mapping) else None
        # A hypervisor runs machines; its own data are no part of the policy.
        runs_machines = {one.host for one in machines.hypervisors.values() if isinstance(one, Libvirt)} if machines is not None else set()
        live = None if inventory is None else [host.name for host in inventory.hosts if host.name not in runs_machines]
        # A host would pass for one without a row where the rows, or the hypervisors, could not be read.
        rows = isinstance(policy, Mapping) and isinstance(policy.get("hosts", {}), Mapping)
        if not rows or (machines is None and _is_there(self.folder / "machines.yml")):
            live = None
        return read_governance(self.folder, governed=governed, live=live, stacks=stacks)

    def _machines(self, policy: Any, inventory: Inventory | None, faults: list[Fault]) -> Machines | None:
        file = self.folder / "machines.yml"
        if not _is_there(file):
            return None
        return _model(Machines, read_document(file), lambda data: machine_faults(data, policy, inventory), faults)

    def _keys(self, machines: Machines | None, faults: list[Fault]) -> dict[str, str]:
        """Return the texts of the keys by which packages of repositories are known."""
        found: dict[str, str] = {}
        for name, profile in machines.profiles.items() if machines else ():
            named = profile.baseline.docker.signed_by if profile.baseline.docker else None
            if named is None:
                continue
            place = f"profiles.{name}.baseline.docker.signed_by"
            if named.startswith("/") or ".." in named.split("/"):
                faults.append(Fault(str(self.folder / "machines.yml"), 0, place, f"{named} does not lie below the site: name a file there"))
                continue
            try:
                text = (self.folder / named).read_text("ascii")
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", None) or "it is no text"
                faults.append(Fault(str(self.folder / "machines.yml"), 0, place, f"{named} can't be read: {why}"))
                continue
            if "-----BEGIN PGP PUBLIC KEY BLOCK-----" not in text:
                faults.append(Fault(str(self.folder / "machines.yml"), 0, place, f"{named} is no ASCII-armored public key: export it with --armor"))
            found[named] = text
        return found

    def read_site(self) -> Site:
        """Return what site.yml says, and look at nothing else. Raises `InputInvalidError`."""
        faults: list[Fault] = []
        site = _model(Site, read_document(self.folder / "site.yml"), site_faults, faults)
        if faults or site is None:
            raise InputInvalidError(faults)
        return site

    def read_inventory(self, *, run_inventory: bool) -> Inventory:
        """Return the inventory alone, for a site whose policy is still to be written. Raises `InputInvalidError`."""
        faults: list[Fault] = []
        document = read_document(self.folder / "site.yml")
        site = _model(Site, document, site_faults, faults)
        read = self._inventory(document, site, run_inventory=run_inventory)
        faults += read.faults
        if read.note:
            faults.append(Fault(str(self.folder), 0, "inventory", read.note))
        if faults or read.inventory is None:
            raise InputInvalidError(faults)
        return read.inventory

    def _inventory(self, document: Document, site: Site | None, *, run_inventory: bool) -> InventoryRead:
        # Where site.yml has faults, the inventory is still read if its place is plain to see.
        said = document.data.get("inventory", "hosts.yml") if isinstance(document.data, dict) else None
        named = site.inventory if site else said
        if not isinstance(named, str) or ".." in named.split("/"):
            return InventoryRead(None)
        return read_inventory(self.folder / named, run_dynamic=run_inventory)


def _model(model: type[Model], document: Document, rules: Rules, faults: list[Fault]) -> Model | None:
    faults += document.faults
    if not document.complete:
        # Half a file would only add faults about what was not read.
        return None
    found, wrong = validated(model, document.data, document)
    faults += wrong
    faults += [fault_at(document, place, message) for place, message in rules(document.data)]
    return found


def _is_there(file: Path) -> bool:
    """Return whether a file has that name, if only a link to nowhere."""
    return file.is_symlink() or file.exists()


def _projects(host: Any) -> frozenset[str]:
    """Return the compose projects of one host of a policy that may have faults."""
    stacks = host.get("stacks") if isinstance(host, Mapping) else None
    held = [stack.get("project") for stack in stacks if isinstance(stack, Mapping)] if isinstance(stacks, list) else []
    return frozenset(project for project in held if isinstance(project, str))


def _refusal(field: str, message: str) -> InputInvalidError:
    return InputInvalidError([Fault("command line", 0, field, message)])
