"""What keeps a machine that an interrupted run left half made from being finished as it is declared now, each with the way on.

Rules:
- What is still to be made of it is no difference: a volume that its definition names, its start.
- What it was born with (address, login, keys, image) can't be changed any more, and a finished machine would be judged by nothing of it: so it has
  to be what is declared, and where nobody can tell, that is a refusal too.
- Evidence that is older than the question shows neither: that is no answer of the hypervisor's.
- Its disks are those of its definition: a run makes the volumes that it names, and adds none to it.
"""

from __future__ import annotations

from controlplane.domain.capabilities import on_proxmox
from controlplane.domain.evidence import Unobserved
from controlplane.domain.machine_birth import birth, born_otherwise
from controlplane.domain.machine_shapes import MachineSeen
from controlplane.domain.machine_view import differences, is_missing_disk, missing_disks
from controlplane.domain.machine_volumes import every_volume
from controlplane.domain.machines import BootDisk, DesiredMachine, Proxmox


def refusals(machine: DesiredMachine, boot: BootDisk, seen: MachineSeen) -> list[str]:
    """Return in what the half-made machine is not the declared one, but for what is still to be made of it. Raises `Unobserved`."""
    if "birth" not in seen or "defined" not in seen:
        raise Unobserved(
            f"what {machine.name}, which run {seen['run']} left half made, was born with was not collected: its evidence is older than that question"
        )
    begun, away = f"run {seen['run']} left {machine.name} half made", _away(machine, seen)
    return [
        *(f"{begun}, and {reason}" for reason in _by_hand(machine, seen)),
        *(f"{begun}, {reason}: write machines.yml as it was, or {away}" for reason in _born(machine, boot, seen)),
        *(f"{begun}, {reason}, or {away}" for reason in _disks(machine, seen)),
    ]


def _by_hand(machine: DesiredMachine, seen: MachineSeen) -> list[str]:
    made = seen.copy()
    made["made"] = None  # that it is half made is why it is asked
    left = [reason for reason in differences(machine, made) if not is_missing_disk(reason)]
    return [f"{reason}: change that on {machine.hypervisor_name} yourself, or write machines.yml as it was" for reason in left]


def _born(machine: DesiredMachine, boot: BootDisk, seen: MachineSeen) -> list[str]:
    if not seen["birth"]:
        return ["and what it was born with is not on record there"]
    other = born_otherwise(birth(machine, boot), seen["birth"])
    return [f"begun with another value of {', '.join(other)} than machines.yml has by now"] if other else []


def _disks(machine: DesiredMachine, seen: MachineSeen) -> list[str]:
    told = []
    for serial in missing_disks(machine, seen):
        if serial in seen["defined"]:
            continue
        if isinstance(machine.hypervisor, Proxmox):
            told += [f"and {reason}" for reason in on_proxmox.missing_disk_refusals(machine, (serial,))]
        else:
            later = "take it out of policy.yml and machines.yml, have the machine finished, and declare it again: a finished one is given it"
            told.append(f"and its definition has no disk {serial}: {later}")
    there = {disk["serial"] for disk in seen["disks"]}
    for serial, storage in sorted(seen["defined"].items()):
        wanted = machine.disks.get(serial)
        if wanted is None and serial not in there:
            told.append(f"and its definition has a disk {serial} that is not there and not declared, so it would not start: declare it again")
        elif wanted is not None and storage != wanted.storage:
            told.append(f"and its disk {serial} belongs in {storage or 'no storage that is known'}, declared is {wanted.storage}: declare that one")
    return told


def _away(machine: DesiredMachine, seen: MachineSeen) -> str:
    where, name = machine.hypervisor_name, machine.name
    if isinstance(machine.hypervisor, Proxmox):
        return f"look at what its disks hold, switch its protection off, remove machine {machine.id} on {where} yourself, and plan again"
    volumes = ", ".join(every_volume(machine))
    return (
        f"take it away: 'controlplane rollback {seen['run']}' does where it was never started, else 'virsh shutdown {name}' and "
        f"'virsh undefine {name}' on {where}; look at what its volumes hold, remove them with 'virsh vol-delete' ({volumes}), and plan again"
    )
