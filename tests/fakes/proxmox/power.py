"""Start, stop and remove a machine.

From qemu-server: a start makes pending changes real and writes the cloud-init drive anew; a running machine and a protected one are not
removed; a removal takes the volumes that the configuration names with it.
"""

from __future__ import annotations

from functools import partial

from tests.fakes.proxmox import drives
from tests.fakes.proxmox.cloudinit import render
from tests.fakes.proxmox.replies import TaskError, died
from tests.fakes.proxmox.world import Vm, World


def power_on(world: World, vm: Vm) -> None:
    """Start a machine: pending changes become real, the cloud-init drive is written anew, and its bridges have to be there."""
    if vm.running:
        raise TaskError(f"VM {vm.vmid} already running")
    if vm.config.get("template") == "1":
        raise TaskError("you can't start a vm if it's a template")
    vm.config |= vm.pending
    for key in vm.pending_delete:
        vm.config.pop(key, None)
    vm.pending, vm.pending_delete = {}, set()
    for key, card in vm.config.items():
        bridge = next((part.partition("=")[2] for part in card.split(",") if key.startswith("net") and part.startswith("bridge=")), None)
        if bridge and bridge not in world.bridges:
            raise TaskError(f"bridge '{bridge}' does not exist")
    if any("cloudinit" in value for key, value in vm.config.items() if drives.is_drive(key)):
        vm.cloudinit = {kind: render(world, vm, kind) for kind in ("user", "network", "meta")}
    vm.running = True
    vm.guest.calls_since_start = 0
    world.on_start(vm)


def remove(world: World, vm: Vm) -> tuple[partial[None], partial[None]]:
    """Check the removal of a machine; return what its task does and undoes."""
    if vm.config.get("protection") == "1":
        raise died(f"can't remove VM {vm.vmid} - protection mode enabled")
    if vm.running:
        raise died(f"VM {vm.vmid} is running - destroy failed")
    return partial(_remove, world, vm), partial(lambda: None)


def _remove(world: World, vm: Vm) -> None:
    for storage in world.storages.values():
        named = {value.split(",")[0] for value in vm.config.values()}
        for volid in [volid for volid, volume in storage.volumes.items() if volume.owner == vm.vmid and volid in named]:
            del storage.volumes[volid]
    del world.vms[vm.vmid]
