"""Names of the volumes that a machine's disks lie in, on whatever hypervisor."""

from __future__ import annotations

from controlplane.domain.machines import DesiredMachine


def boot_volume(machine: DesiredMachine) -> str:
    """Return the name of the boot disk's volume."""
    return f"{machine.name}-boot"


def disk_volume(machine: DesiredMachine, serial: str) -> str:
    """Return the name of a data disk's volume."""
    return f"{machine.name}-{serial}"
