"""How machines come to be: create and clone.

From qemu-server: both show the new machine with a lock at once and take it away again, volumes included, when the task dies; a name may
be given twice, an id may not; a clone carries the template's tags, description and drives with their serials unless the call says
otherwise; a linked clone takes no storage; a full one and every cloud-init drive are copies.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import partial

from tests.fakes.proxmox import drives
from tests.fakes.proxmox.configuration import check_values, plain_config
from tests.fakes.proxmox.power import power_on
from tests.fakes.proxmox.property_strings import print_properties
from tests.fakes.proxmox.replies import TaskError, died, refused
from tests.fakes.proxmox.validation import parse_properties
from tests.fakes.proxmox.world import Vm, World

_NOT_CONFIG = {
    "archive",
    "bwlimit",
    "force",
    "ha-managed",
    "import-working-storage",
    "live-restore",
    "node",
    "pool",
    "start",
    "storage",
    "unique",
    "vmid",
}


def create(world: World, node: str, given: Mapping[str, str]) -> tuple[Vm, partial[None], partial[None]]:
    """Show a machine that is being created; return it with what its task does and undoes."""
    world.check_node(node)
    vmid = int(given["vmid"])
    values = {key: value for key, value in given.items() if key not in _NOT_CONFIG}
    check_values(world, values)
    plain = plain_config({key: value for key, value in values.items() if not drives.is_drive(key)})
    if vmid in world.vms:
        raise died(f"unable to create VM {vmid} - VM {vmid} already exists on node '{world.vms[vmid].node}'")
    vm = world.vms[vmid] = Vm(vmid, node, {"lock": "create"})
    asked = {key: value for key, value in values.items() if drives.is_drive(key)}
    start = given.get("start") == "1"
    return vm, partial(_create, world, vm, plain, asked, start=start), partial(_forget, world, vm)


def _create(world: World, vm: Vm, plain: dict[str, str], asked: dict[str, str], *, start: bool) -> None:
    try:
        made = drives.make_drives(world, vm, asked)
    except TaskError as fault:
        raise TaskError(f"unable to create VM {vm.vmid} - {fault}") from None
    vm.config = {"meta": "creation-qemu=10.1.2,ctime=1767225600", "smbios1": f"uuid={uuid.uuid4()}", "vmgenid": str(uuid.uuid4())} | plain | made
    disks = [key for key in made if "media=cdrom" not in made[key]]
    order = [*disks[:1], *[key for key in made if key not in disks][:1], *sorted(key for key in plain if key.startswith("net"))[:1]]
    if order:
        vm.config.setdefault("boot", f"order={';'.join(order)}")
    if start:
        power_on(world, vm)


def _forget(world: World, vm: Vm) -> None:
    world.vms.pop(vm.vmid, None)


def clone(world: World, source: Vm, given: Mapping[str, str]) -> tuple[Vm, partial[None], partial[None]]:
    """Show a machine that is being cloned; return it with what its task does and undoes."""
    source.check_lock()
    vmid = int(given["newid"])
    full = given.get("full", "0" if source.config.get("template") == "1" else "1") == "1"
    for key in ("storage", "format"):
        if key in given and not full:
            raise died(f"parameter '{key}' not allowed for linked clones")
    if "storage" in given and "images" not in world.storage(given["storage"]).content:
        raise refused({"storage": f"storage '{given['storage']}' does not support vm images"})
    if vmid in world.vms:
        raise died(f"unable to create VM {vmid}: config file already exists")
    vm = world.vms[vmid] = Vm(vmid, source.node, {"lock": "clone"})
    return vm, partial(_clone, world, source, vm, dict(given), full=full), partial(_forget, world, vm)


def _clone(world: World, source: Vm, vm: Vm, given: dict[str, str], *, full: bool) -> None:
    config = {key: value for key, value in source.config.items() if key != "template" and not key.startswith("unused")}
    made: list[tuple[str, str]] = []
    try:
        for key in [key for key in sorted(config) if drives.is_drive(key)]:
            properties = drives.drive_properties(key)
            drive = parse_properties(properties, config[key])
            if drive.get("media") != "cdrom" or "cloudinit" in drive["file"]:
                drive["file"] = _copy(world, vm.vmid, drive["file"], given, full=full)
                made.append((drive["file"].partition(":")[0], drive["file"]))
                config[key] = print_properties(properties, drive)
    except TaskError as fault:
        for name, volid in made:
            del world.storages[name].volumes[volid]
        raise TaskError(f"clone failed: {fault}") from None
    fresh = {key: value for key, value in config.items() if key.startswith("net")}
    for key, card in fresh.items():
        kept = [part for part in card.split(",") if not part.lower().startswith("macaddr=")]
        model = kept[0].partition("=")[0]
        config[key] = plain_config({key: ",".join([model, *kept[1:]])})[key]
    config["name"] = given.get("name") or f"Copy-of-VM-{source.config.get('name', source.vmid)}"
    if given.get("description"):
        config["description"] = given["description"].rstrip()
    vm.config = config


def _copy(world: World, vmid: int, volid: str, given: Mapping[str, str], *, full: bool) -> str:
    seed = "cloudinit" in volid
    old, (storage, _, name) = drives.find_volume(world, volid), volid.partition(":")
    where = world.storage(given["storage"] if full and "storage" in given else storage)
    return drives.allocate(
        where,
        vmid,
        old.size,
        name=f"vm-{vmid}-cloudinit" if seed else None,
        wanted=given.get("format"),
        base="" if full or seed or where.kind == "lvmthin" else f"{name}/",
    )
