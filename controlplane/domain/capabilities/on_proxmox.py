"""What infra.vm.provision does not do on Proxmox VE, each with the way out."""

from __future__ import annotations

from controlplane.domain.machines import BootDisk, DesiredMachine

# Drives scsi1 to scsi30; scsi0 is the boot disk.
_MOST_DISKS = 30


def refusals(machine: DesiredMachine, boot: BootDisk) -> list[str]:
    """Return why this machine can't be made there."""
    where, network, told = machine.hypervisor_name, machine.profile.network, []
    if boot.template is not None:
        told.append(
            f"on Proxmox VE ({where}) machines are made from images: a clone carries no mark of the run that made it until a second call, so an "
            "interruption would leave a machine of unknown origin; name a boot.image such as local:import/debian-12.qcow2 in place of the template"
        )
    if network.network is not None:
        told.append(f"{network.network} is a libvirt network, and {where} is Proxmox VE: name a bridge in the profile")
    if network.network is None and network.bridge is None:
        told.append("the profile names no bridge, so the machine could not be reached: name one")
    if not machine.profile.agent:
        told.append(
            "the profile has no guest agent, which on Proxmox VE shows that the first boot went well: use an image with it, and set agent: true"
        )
    if len(machine.disks) > _MOST_DISKS:
        told.append(f"{len(machine.disks)} data disks are declared, Proxmox VE takes {_MOST_DISKS}: declare fewer")
    return told


def volume_names(machine: DesiredMachine) -> str:
    """Return how Proxmox VE names the volumes of a machine: N is the first number that is free on the storage; files lie in a folder besides."""
    return f"vm-{machine.id}-disk-N"


def missing_disk_refusals(machine: DesiredMachine, missing: tuple[str, ...]) -> tuple[str, ...]:
    """Return what to do about data disks that an existing machine lacks: there they are made only with the machine."""
    return tuple(
        f"disk {serial} is missing, and on Proxmox VE data disks are made only together with their machine: "
        f"add a disk with serial={serial} to machine {machine.id} on {machine.hypervisor_name} yourself"
        for serial in missing
    )
