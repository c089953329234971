"""Hold what a hypervisor shows of a machine against what machines.yml says."""

from __future__ import annotations

from controlplane.domain.amounts import counted
from controlplane.domain.machine_shapes import MachineSeen
from controlplane.domain.machines import DesiredMachine


def missing_disks(machine: DesiredMachine, seen: MachineSeen) -> tuple[str, ...]:
    """Return the serial numbers of declared disks that the machine does not have, sorted."""
    return tuple(sorted(machine.disks.keys() - {disk["serial"] for disk in seen["disks"]}))


def is_missing_disk(reason: str) -> bool:
    """Say whether one of `differences` is that a declared disk is not there."""
    return reason.startswith("disk ") and reason.endswith(" is missing")


def differences(machine: DesiredMachine, seen: MachineSeen) -> tuple[str, ...]:
    """Return in what an existing machine is not the declared one; whether it runs is no part of it."""
    profile, told = machine.profile, []
    if seen["other"]:
        told.append(f"{seen['other']} is in its place")
    if seen["made"] is False:
        told.append(f"run {seen['run']} has not finished making it")
    if machine.id is not None and seen["id"] != str(machine.id):
        told.append(f"its id is {seen['id']}, declared is {machine.id}")
    if seen["cores"] != profile.cores:
        told.append(f"it has {_count(seen['cores'], 'core')}, declared are {profile.cores}")
    if seen["memory"] != profile.memory:
        told.append(f"it has {seen['memory']} bytes of memory, declared are {profile.memory}")
    if profile.agent and not seen["agent"]:
        told.append("it has no channel for the guest agent")
    told += _cards(machine, seen)
    told += [f"disk {serial} is missing" for serial in missing_disks(machine, seen)]
    for disk in seen["disks"]:
        wanted = machine.disks.get(disk["serial"] or "")
        if wanted is not None and disk["size"] < wanted.size:
            told.append(f"disk {disk['serial']} has {disk['size']} bytes, declared are {wanted.size}")
    return tuple(told)


def _cards(machine: DesiredMachine, seen: MachineSeen) -> list[str]:
    wanted = machine.profile.network
    for kind, name in (("network", wanted.network), ("bridge", wanted.bridge)):
        if name is not None and not any(card[kind] == name and card["vlan"] == wanted.vlan for card in seen["cards"]):  # type: ignore[literal-required]  # one of two keys
            return [f"it has no card on {kind} {name}" + (f", VLAN {wanted.vlan}" if wanted.vlan else "")]
    return []


def _count(number: int | None, what: str) -> str:
    return f"an unknown number of {what}s" if number is None else counted(number, what)
