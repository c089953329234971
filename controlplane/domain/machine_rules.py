"""Rules over machines.yml as a whole and against the policy, on plain data, so that every fault is found at once."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from controlplane.domain.faults import Place
from controlplane.domain.inventory import HERE, Inventory, InventoryHost, here_for, works_here
from controlplane.domain.layers import entries, inside, items
from controlplane.domain.policy_rules import template_faults
from controlplane.domain.sizes import format_size, parse_size

Said = tuple[Place, str]
# What brings Docker's daemon, or containerd's, or passes for it. Each starts as soon as it is installed, on whatever lies below /var/lib by then.
ENGINES = frozenset(
    ["containerd", "containerd.io", "docker-ce", "docker-ee", "docker-engine", "docker.io", "moby-containerd", "moby-engine", "podman-docker"]
)


def machine_faults(data: Any, policy: Any, inventory: Inventory | None) -> Iterator[Said]:
    """Yield place and message of every fault that no single field shows. `policy` is policy.yml's plain data."""
    yield from template_faults(data, ())
    known = inventory.by_name() if inventory else None
    asked: dict[Any, Any] = {}
    spelled: dict[str, str] = {}
    for name, one in items(inside(data, "hypervisors")):
        host = inside(one, "host")
        if known is not None and isinstance(host, str) and host not in known:
            yield ("hypervisors", name, "host"), f"{host} is not in the inventory: add it there, with how to reach it"
        if isinstance(host, str) and works_here(host):
            yield ("hypervisors", name, "host"), f"{host} ends in {HERE}, which is kept for the controller itself: give that host another name"
        if spelled.setdefault(here_for(str(name)), str(name)) != str(name):
            yield ("hypervisors", name), f"differs from {spelled[here_for(str(name))]} in capitals only: give one of them another name"
        uri = inside(one, "uri") or "qemu:///system"
        if inside(one, "kind") == "libvirt" and isinstance(host, str) and asked.setdefault(host, uri) != uri:
            yield ("hypervisors", name, "uri"), f"{uri} is not {asked[host]}, of which {host} is asked already: keep a host's machines in one libvirt"
    for name, profile in items(inside(data, "profiles")):
        yield from _profile_faults(name, profile)
    taken: dict[tuple[str, int], str] = {}
    yield from _address_faults(data, policy, known or {})
    for name, machine in items(inside(data, "machines")):
        at: Place = ("machines", name)
        yield from _machine_faults(at, machine, data)
        if inside(policy, "hosts", str(name)) is None:
            yield at, f"{name} has no entry under hosts in policy.yml: say there where its data go"
        else:
            yield from _disk_faults(at, machine, inside(policy, "hosts", str(name)))
        number = (inside(machine, "hypervisor"), inside(machine, "id"))
        if not isinstance(number[0], str) or not isinstance(number[1], int):
            continue  # none, or the field itself says what is wrong with it
        if number in taken:
            yield (*at, "id"), f"{number[1]} is the id of {taken[number]} on {number[0]} already: give each machine an id of its own"
        taken.setdefault(number, str(name))


def _profile_faults(name: Any, profile: Any) -> Iterator[Said]:
    boot, network = inside(profile, "boot"), inside(profile, "network")
    if isinstance(boot, Mapping) and ("image" in boot) == ("template" in boot):
        yield ("profiles", name, "boot"), "write exactly one of image and template: it is what the boot disk is made from"
    if isinstance(network, Mapping) and "network" in network and "bridge" in network:
        yield ("profiles", name, "network"), "write one of network and bridge: a card is on one of them"
    docker = inside(profile, "baseline", "docker")
    if isinstance(docker, Mapping) and ("repository" in docker) != ("signed_by" in docker):
        yield (
            ("profiles", name, "baseline", "docker"),
            "write repository and signed_by together: packages without a known signature are not installed",
        )
    yield from _engine_faults(("profiles", name, "baseline"), inside(profile, "baseline"))


def _engine_faults(at: Place, baseline: Any) -> Iterator[Said]:
    """Yield the packages beside `docker` that bring an engine: nothing would keep it from starting before its root is there."""
    for part in ((), ("backup",), ("monitoring",)):
        for number, package in entries(inside(baseline, *part, "packages")):
            if package in ENGINES:
                told = f"{package} would start before Docker's root is mounted, guarded and configured: name it under docker.packages, and only there"
                yield (*at, *part, "packages", number), told


def _address_faults(data: Any, policy: Any, known: Mapping[str, InventoryHost]) -> Iterator[Said]:
    """Yield the addresses that two hosts of the policy have, and those of machines made from here that the inventory contradicts.

    Behind jump hosts or proxies that differ the same address is another machine, as for the inventory's own routes.
    """
    machines = {str(name): address for name, one in items(inside(data, "machines")) if (address := _ip(inside(one, "address")))}
    governed = [route for name, route in sorted(known.items()) if inside(policy, "hosts", name) is not None and name not in machines]
    taken = {(address, *_through(route)): f"{route.name} (ansible_host)" for route in governed if (address := _literal(route))}
    for name, address in machines.items():
        at, route = ("machines", name, "address"), known.get(name)
        place = (address, *_through(route))
        if place in taken:
            yield at, f"{address} is the address of {taken[place]} already: give each machine an address of its own"
        taken.setdefault(place, name)
        literal = _literal(route)
        # A loopback address is a forwarded port, and no address that a machine could have.
        if not literal or literal == address or ipaddress.ip_address(literal).is_loopback or inside(data, "machines", name, "hypervisor") is None:
            continue
        way = "write the same address in both, or a name as ansible_host where the machine is reached by another address than its own"
        yield at, f"{address} is not {literal}, the ansible_host of {name} in the inventory: {way}"


def _ip(text: Any) -> str:
    """Return the address in `text` without its prefix, '' where there is none or the field itself says what is wrong with it."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_interface(text).ip) if isinstance(text, str) else ""
    return ""


def _literal(route: InventoryHost | None) -> str:
    return _ip(route.route[0]) if route is not None else ""


def _through(route: InventoryHost | None) -> tuple[str, ...]:
    return route.route[2:] if route is not None else ()


def _machine_faults(at: Place, machine: Any, data: Any) -> Iterator[Said]:
    profile_name, hypervisor_name = inside(machine, "profile"), inside(machine, "hypervisor")
    profiles, hypervisors = inside(data, "profiles"), inside(data, "hypervisors")
    profile, hypervisor = inside(data, "profiles", str(profile_name)), inside(data, "hypervisors", str(hypervisor_name))
    if isinstance(profile_name, str) and profile is None:
        yield (*at, "profile"), f"{profile_name} is no profile of this file; there are {_names(profiles)}"
    if hypervisor_name is None:
        stray = [key for key in ("id", "disks") if inside(machine, key)]
        if stray:
            yield (*at, stray[0]), "belongs to a machine that is provisioned: name its hypervisor, or leave it out"
        return
    if hypervisor is None:
        yield (*at, "hypervisor"), f"{hypervisor_name} is no hypervisor of this file; there are {_names(hypervisors)}"
        return
    if isinstance(profile, Mapping) and "boot" not in profile:
        yield (*at, "profile"), f"{profile_name} has no boot disk, and {hypervisor_name} has to make one: add boot to that profile"
    if isinstance(profile, Mapping) and not profile.get("ssh_keys"):
        yield (*at, "profile"), f"{profile_name} has no ssh_keys, so nobody could log in: add one to that profile"
    if inside(hypervisor, "kind") == "proxmox" and inside(machine, "id") is None:
        yield (*at, "id"), "is missing: on Proxmox VE each machine is named by its number"
    if inside(hypervisor, "kind") == "libvirt" and inside(machine, "id") is not None:
        yield (*at, "id"), "is a number of Proxmox VE, and libvirt gives its machines none: leave it out"
    if inside(machine, "address") not in (None, "dhcp") and inside(machine, "gateway") is None:
        yield (*at, "gateway"), "is missing: a machine with a fixed address needs it to be reached from elsewhere"


def _disk_faults(at: Place, machine: Any, host: Any) -> Iterator[Said]:
    """Hold the disks that a machine gets against those that the policy wants there."""
    if inside(machine, "hypervisor") is None:
        return
    given = inside(machine, "disks")
    given = given if isinstance(given, Mapping) else {}
    wanted = inside(host, "disks")
    serials = set()
    for disk in wanted if isinstance(wanted, list) else []:
        serial = inside(disk, "serial")
        if not isinstance(serial, str):
            yield at, f"policy.yml names a disk of {at[1]} by something that a new machine can't be given: name it there by serial"
            continue
        serials.add(serial)
        if serial not in given:
            yield (*at, "disks"), f"{serial} is missing: policy.yml wants it on {at[1]}, and it would be born without"
            continue
        yield from _size_faults((*at, "disks", serial, "size"), inside(given, serial, "size"), disk)
    for serial in given:
        if serial not in serials:
            yield (*at, "disks", serial), f"is no disk that policy.yml wants on {at[1]}: add it there, or leave it out"


def _size_faults(at: Place, size: Any, disk: Any) -> Iterator[Said]:
    try:
        bytes_ = parse_size(size)
        low, high = parse_size(inside(disk, "min_size")), parse_size(inside(disk, "max_size"))
    except (ValueError, TypeError):
        return  # the field itself says what is wrong with it
    if not low <= bytes_ <= high:
        yield at, f"{size} is outside what policy.yml allows, {format_size(low)} to {format_size(high)}"


def _names(found: Any) -> str:
    return ", ".join(sorted(map(str, found))) if isinstance(found, Mapping) and found else "none"
