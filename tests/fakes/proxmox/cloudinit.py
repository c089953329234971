"""What a machine's cloud-init drive holds.

From qemu-server: user data are made from the configuration (name, ciuser, cipassword, sshkeys, ciupgrade) unless `cicustom` names a
snippet, which then takes their place whole; package upgrades are on unless `ciupgrade` is 0; without an address DHCP is used. The
network's text is shortened here to what tests look at.
"""

from __future__ import annotations

from urllib.parse import unquote

from tests.fakes.proxmox.formats import named_properties
from tests.fakes.proxmox.replies import TaskError
from tests.fakes.proxmox.validation import parse_properties
from tests.fakes.proxmox.world import Vm, World


def render(world: World, vm: Vm, kind: str, *, masked: bool = False) -> str:
    """Return one of the drive's files: user, network or meta."""
    custom = parse_properties(named_properties("pve-qm-cicustom") or {}, vm.config.get("cicustom", ""))
    if kind in custom:
        storage = world.storage(custom[kind].partition(":")[0])
        snippet = storage.volumes.get(custom[kind])
        if snippet is None or snippet.content != "snippets":
            raise TaskError(f"volume '{custom[kind]}' does not exist" if snippet is None else f"{custom[kind]} is not in the snippets directory")
        return snippet.data.decode()
    return {"user": _user, "network": _network, "meta": _meta}[kind](vm, masked=masked)


def _user(vm: Vm, *, masked: bool) -> str:
    config = vm.config
    lines = ["#cloud-config", f"hostname: {config.get('name', f'VM{vm.vmid}')}", "manage_etc_hosts: true"]
    if "ciuser" in config:
        lines.append(f"user: {config['ciuser']}")
    if "cipassword" in config:
        lines.append(f"password: {'**********' if masked else config['cipassword']}")
    keys = [line for line in unquote(config.get("sshkeys", "")).split("\n") if line.strip()]
    lines += ["ssh_authorized_keys:", *(f"  - {key}" for key in keys)] if keys else []
    lines += ["chpasswd:", "  expire: False", "users:", "  - default"]
    if config.get("ciupgrade", "1") == "1":
        lines.append("package_upgrade: true")
    return "\n".join(lines) + "\n"


def _network(vm: Vm, *, masked: bool) -> str:  # noqa: ARG001 - one signature for all three
    cards = sorted(key for key in vm.config if key.startswith("net") and key[3:].isdigit())
    return "\n".join(["version: 1", *(f"{card}: {vm.config.get(f'ipconfig{card[3:]}', 'ip=dhcp')}" for card in cards)]) + "\n"


def _meta(vm: Vm, *, masked: bool) -> str:  # noqa: ARG001 - one signature for all three
    return f"instance-id: {vm.digest}\n"
