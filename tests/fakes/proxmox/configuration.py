"""A machine's configuration: what values become when they are stored, and how a change is made.

From qemu-server: PUT config answers when all is done, POST config starts a task; what a running machine can't take at once stays pending;
a drive that is written over leaves its old volume as unused[n]; tags come back lower-cased, sorted and joined by semicolons; a card
without an address gets one; a value that only root may set is refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import partial
from urllib.parse import unquote

from tests.fakes.proxmox import drives
from tests.fakes.proxmox.formats import split_list
from tests.fakes.proxmox.property_strings import print_properties
from tests.fakes.proxmox.replies import died, refused
from tests.fakes.proxmox.schema import load_schema, of_key
from tests.fakes.proxmox.validation import parse_properties
from tests.fakes.proxmox.world import Vm, World

_CALL_ONLY = {"background_delay", "delete", "digest", "force", "import-working-storage", "node", "revert", "skiplock", "vmid"}
_AT_ONCE = {
    "cicustom",
    "ciuser",
    "cipassword",
    "ciupgrade",
    "description",
    "name",
    "nameserver",
    "onboot",
    "protection",
    "searchdomain",
    "sshkeys",
    "tags",
}
_macs = itertools.count(1)


def plain_config(values: Mapping[str, str]) -> dict[str, str]:
    """Return configuration values as they are stored, drives apart."""
    told = dict(values)
    for key, value in values.items():
        if key.startswith("net") and key[3:].isdigit():
            properties = of_key(load_schema().method("POST", "/nodes/{node}/qemu").parameters, key)["format"]  # type: ignore[index]
            card = parse_properties(properties, value)
            card.setdefault("macaddr", f"BC:24:11:00:00:{next(_macs) % 256:02X}")
            told[key] = print_properties(properties, card)
        elif key == "tags":
            told[key] = ";".join(sorted({tag.lower() for tag in split_list(value)}))
        elif key == "sshkeys" and any(not line.startswith(("ssh-", "ecdsa-", "sk-")) for line in unquote(value).split("\n") if line.strip()):
            raise died("SSH public key validation error")
        elif key == "description":
            told[key] = value.rstrip()
    return told


def check_values(world: World, values: Mapping[str, str]) -> None:
    """Refuse drives that could not be made and options that only root may set."""
    for key in ("args", "lock", "hookscript", "vmstate"):
        if key in values:
            raise died(f"only root can set '{key}' config")
    for key, value in values.items():
        if drives.is_drive(key):
            drives.check_drive(world, key, value)


def update(world: World, vm: Vm, given: Mapping[str, str]) -> partial[None]:
    """Check a change of the configuration; return what makes it."""
    values = {key: value for key, value in given.items() if key not in _CALL_ONLY}
    gone = split_list(given.get("delete", ""))
    if not values and not gone and "revert" not in given:
        raise died("no options specified")
    for key in gone:
        if key in values:
            raise refused({"delete": f"you can't use '-{key}' and -delete {key}' at the same time"})
    check_values(world, values)
    plain = plain_config({key: value for key, value in values.items() if not drives.is_drive(key)})
    vm.check_digest(given.get("digest"))
    vm.check_lock()
    asked = {key: value for key, value in values.items() if drives.is_drive(key)}
    return partial(_update, world, vm, {**plain, **asked}, gone, digest=given.get("digest"), destroys=given.get("force") == "1")


def _update(world: World, vm: Vm, values: dict[str, str], gone: list[str], *, digest: str | None, destroys: bool) -> None:
    vm.check_digest(digest)
    vm.check_lock()
    _check_boot_order(vm, values, gone)
    for key in gone:
        if key in vm.config and drives.is_drive(key):
            _detach(world, vm, key, destroys=destroys)
        elif key in vm.config and vm.running and key not in _AT_ONCE:
            vm.pending_delete.add(key)
        else:
            vm.config.pop(key, None)
        vm.pending.pop(key, None)
    made = drives.make_drives(world, vm, {key: value for key, value in values.items() if drives.is_drive(key)})
    for key, value in {**values, **made}.items():
        vm.pending_delete.discard(key)
        if key in made and key in vm.config and vm.config[key].split(",")[0] != value.split(",")[0]:
            _detach(world, vm, key, destroys=False)
        if vm.running and key not in _AT_ONCE and key not in made and not key.startswith("net"):
            vm.pending[key] = value
        else:
            vm.config[key] = value


def _check_boot_order(vm: Vm, values: Mapping[str, str], gone: list[str]) -> None:
    order = values.get("boot", "")
    for device in split_list(order.removeprefix("order=")) if order.startswith("order=") else ():
        if device in gone or device not in {*vm.config, *vm.pending, *values}:
            raise died(f"invalid bootorder: device '{device}' does not exist'")


def _detach(world: World, vm: Vm, key: str, *, destroys: bool) -> None:
    if destroys and vm.config.get("protection") == "1":
        raise died(f"can't remove drive '{key}' - protection mode enabled")
    volid = vm.config.pop(key).split(",")[0]
    if "cloudinit" in volid or destroys:
        world.storage(volid.partition(":")[0]).volumes.pop(volid, None)
    else:
        vm.config[next(f"unused{number}" for number in range(256) if f"unused{number}" not in vm.config)] = volid
