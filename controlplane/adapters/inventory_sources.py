"""What an inventory's sources say before anything is judged: hosts, groups, and variables with the place of each.

Precedence is Ansible's: variables of groups by depth, priority and name; group_vars/all; other group_vars; a host's own;
host_vars. Each later one wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controlplane.domain.errors import Fault
from controlplane.domain.faults import Place, Source, fault_at
from controlplane.domain.inventory import CONNECTION_VARIABLES, RENAMED, Inventory, InventoryHost, Scalar, variable_fault
from controlplane.domain.names import GROUP, check_host, check_name


@dataclass(frozen=True)
class Given:
    """A variable's value and where it stands."""

    value: Any
    document: Source
    place: Place

    def fault(self, message: str) -> Fault:
        return fault_at(self.document, self.place, message)


Variables = dict[str, Given]


@dataclass
class RawGroup:
    """A group as its sources give it; `at` is where it is named first."""

    at: Given | None = None
    children: set[str] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)
    variables: Variables = field(default_factory=dict)
    extra: Variables = field(default_factory=dict)
    priority: int = 1


@dataclass
class RawHost:
    """A host as its sources give it; `at` is where it is named first."""

    at: Given
    variables: Variables = field(default_factory=dict)
    extra: Variables = field(default_factory=dict)


@dataclass
class RawInventory:
    """Everything that the sources name; `extra` of hosts and groups comes from host_vars and group_vars."""

    hosts: dict[str, RawHost] = field(default_factory=dict)
    groups: dict[str, RawGroup] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def group(self, name: str) -> RawGroup:
        return self.groups.setdefault(name, RawGroup())


def taken(node: Any, document: Source, at: Place) -> Variables:
    """Return the connection variables of a mapping under today's names; all others belong to other playbooks."""
    if not isinstance(node, Mapping):
        return {}
    found: Variables = {}
    for name, value in node.items():
        if name in CONNECTION_VARIABLES:
            found[RENAMED.get(str(name), str(name))] = Given(value, document, (*at, name))
        elif name in ("ansible_host_key_checking", "ansible_ssh_host_key_checking") and value in (False, "no", "False", "off", 0):
            # Given as the option that it stands for, so that it is refused below with file and line: silence would leave its author believing in it.
            found["ansible_ssh_common_args"] = Given("-o StrictHostKeyChecking=no", document, (*at, name))
    return found


def build(raw: RawInventory) -> tuple[Inventory, list[Fault]]:
    """Return the inventory and every fault of its names and values."""
    faults = list(raw.faults)
    depths = _depths(raw, faults)
    parents: dict[str, set[str]] = {}
    for name, group in raw.groups.items():
        for child in group.children:
            parents.setdefault(child, set()).add(name)
    direct: dict[str, set[str]] = {}
    for name, group in raw.groups.items():
        for member in group.hosts:
            direct.setdefault(member, set()).add(name)
    judged: set[tuple[int, Place]] = set()
    members: dict[frozenset[str], tuple[tuple[str, ...], Variables]] = {}
    hosts = []
    for name in sorted(raw.hosts):
        host = raw.hosts[name]
        try:
            check_host(name)
        except ValueError as error:
            faults.append(host.at.fault(str(error)))
            continue
        own = frozenset(direct.get(name, ()))
        if own not in members:
            members[own] = _membership(raw, own, parents, depths)
        groups, inherited = members[own]
        given = {**inherited, **host.variables, **host.extra}
        variables: dict[str, Scalar] = {}
        for variable, said in given.items():
            if said.value is None:
                continue
            wrong = variable_fault(variable, said.value)
            if wrong is None:
                variables[variable] = said.value
            elif (id(said.document), said.place) not in judged:
                judged.add((id(said.document), said.place))
                faults.append(said.fault(wrong if name in said.place else f"{wrong} (host {name})"))
        hosts.append(InventoryHost.model_construct(name=name, groups=groups, variables=dict(sorted(variables.items()))))
    groups_named = tuple(sorted(name for name in raw.groups if name not in ("all", "ungrouped")))
    return Inventory.model_construct(hosts=tuple(hosts), groups=groups_named), faults


def _depths(raw: RawInventory, faults: list[Fault]) -> dict[str, int]:
    depths = dict.fromkeys(raw.groups, 1)
    depths["all"] = 0
    changed, rounds = True, 0
    while changed:
        changed, rounds = False, rounds + 1
        if rounds > len(raw.groups) + 1:
            faults.append(Fault("inventory", 0, "", "has groups that are children of each other: break the loop"))
            return depths
        for name, group in raw.groups.items():
            for child in group.children:
                if name != "all" and depths.get(child, 1) < depths[name] + 1:
                    depths[child], changed = depths[name] + 1, True
    for name, group in raw.groups.items():
        try:
            check_name(name, GROUP, "group name")
        except ValueError as error:
            faults.append(group.at.fault(str(error)) if group.at else Fault("inventory", 0, name, str(error)))
    return depths


def _membership(raw: RawInventory, own: frozenset[str], parents: dict[str, set[str]], depths: dict[str, int]) -> tuple[tuple[str, ...], Variables]:
    found: set[str] = set()
    waiting = [*own]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += parents.get(name, ())
    ordered = sorted({*found, "all"} & set(raw.groups), key=lambda name: (depths[name], raw.groups[name].priority, name))
    variables: Variables = {}
    for name in ordered:
        variables.update(raw.groups[name].variables)
    for name in ordered:
        variables.update(raw.groups[name].extra)
    return tuple(sorted(found - {"all", "ungrouped"})), variables
