"""Which privileges a call asks for, and whether a token has them.

From the schema's `permissions` and, for single options of a machine's configuration, from qemu-server: each kind of option asks for a
privilege of its own. Paths are left out: a token has a privilege everywhere or nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_OPTIONS = (
    (r"cpu|cores|sockets|vcpus|cpulimit|cpuunits|numa\d*|affinity", "VM.Config.CPU"),
    (r"memory|balloon|shares", "VM.Config.Memory"),
    (r"acpi|bios|hotplug|kvm|machine|scsihw|serial\d+|tablet|vga|watchdog|audio0|efidisk0|tpmstate0|hostpci\d+|usb\d+|rng0", "VM.Config.HWType"),
    (r"agent|description|name|onboot|ostype|protection|tags|template|hookscript|startup|localtime|keyboard", "VM.Config.Options"),
    (r"boot|bootdisk|vmstatestorage", "VM.Config.Disk"),
    (r"net\d+", "VM.Config.Network"),
    (r"cicustom|cipassword|citype|ciuser|ciupgrade|nameserver|searchdomain|sshkeys|ipconfig\d+", "VM.Config.Cloudinit"),
)


def missing_privilege(permissions: Mapping[str, Any], template: str, given: Mapping[str, Any], granted: frozenset[str] | None) -> str | None:
    """Return the path and privilege that a token lacks, as the refusal names them; `granted` None has all."""
    if granted is None:
        return None
    check = permissions.get("check")
    lacking = _lacking(check, given, granted) if check else None
    if lacking is None and template in ("/nodes/{node}/qemu", "/nodes/{node}/qemu/{vmid}/config"):
        lacking = next((one for one in _of_options(template, given) if one[1] not in granted), None)
    return None if lacking is None else ", ".join(lacking)


def _lacking(check: list[Any], given: Mapping[str, Any], granted: frozenset[str]) -> tuple[str, str] | None:
    kind, rest = check[0], check[1:]
    if kind == "and":
        return next((found for one in rest if (found := _lacking(one, given, granted))), None)
    if kind == "or":
        each = [_lacking(one, given, granted) for one in rest if not _without_its_parameter(one, given)]
        return None if None in each else each[0]
    if kind != "perm":
        raise ValueError(f"permissions of kind {kind!r} are not modelled")
    path = re.sub(r"\{(\w+)\}", lambda place: str(given.get(place[1], "")), rest[0])
    wanted, options = rest[1], rest[2:]
    if "any" in options:
        return None if granted & set(wanted) else (path, "|".join(wanted))
    return next(((path, one) for one in wanted if one not in granted), None)


def _without_its_parameter(check: list[Any], given: Mapping[str, Any]) -> bool:
    return "require_param" in check and check[check.index("require_param") + 1] not in given


def _of_options(template: str, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    vm = f"/vms/{given.get('vmid')}"
    if template == "/nodes/{node}/qemu" and "vmid" in given:
        yield vm, "VM.Allocate"
    for key, value in given.items():
        found = next((privilege for pattern, privilege in _OPTIONS if re.fullmatch(pattern, key)), None)
        if found is not None:
            yield vm, found
        bridge = re.search(r"(?:^|,)bridge=([^,]+)", str(value)) if key.startswith("net") else None
        if bridge is not None:
            yield f"/sdn/zones/localnetwork/{bridge[1]}", "SDN.Use"
        if re.fullmatch(r"(ide|sata|scsi|virtio)\d+", key):
            yield from _of_drive(vm, str(value))


def _of_drive(vm: str, value: str) -> Iterator[tuple[str, str]]:
    yield vm, "VM.Config.CDROM" if "media=cdrom" in value or ":cloudinit" in value else "VM.Config.Disk"
    storage = re.match(r"([^:,]+):\d", value)
    if storage is not None:
        yield f"/storage/{storage[1]}", "Datastore.AllocateSpace"
