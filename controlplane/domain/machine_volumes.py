"""Names of the volumes that a machine's disks lie in, on whatever hypervisor."""

from __future__ import annotations

from controlplane.domain.machines import DesiredMachine


def boot_volume(machine: DesiredMachine) -> str:
    """Return the name of the boot disk's volume."""
    return f"{machine.name}-boot"


def disk_volume(machine: DesiredMachine, serial: str) -> str:
    """Return the name of a data disk's volume."""
    return f"{machine.name}-{serial}"


def every_volume(machine: DesiredMachine) -> tuple[str, ...]:
    """Return the names of all volumes that a machine may have on libvirt, the seed of its first boot among them."""
    return (boot_volume(machine), *(disk_volume(machine, serial) for serial in sorted(machine.disks)), f"{machine.name}-seed")
