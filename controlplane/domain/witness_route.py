"""Over which routes the second witness reaches a host. A host that it can't ask is not changed: no step there could ever count as done."""

from __future__ import annotations

from controlplane.domain.inventory import InventoryHost

SSH = ("ssh", "smart", "ansible.builtin.ssh", "ansible.builtin.smart")
LOCAL = ("local", "ansible.builtin.local")
SUDO = ("sudo", "ansible.builtin.sudo")
# What Ansible itself reads as yes: an inventory in INI form has words where YAML has booleans.
_YES = frozenset(["y", "yes", "on", "1", "true", "t"])


def becomes(route: InventoryHost) -> bool:
    """Say whether commands on this host are run as another user than the one who logs in."""
    return str(route.variables.get("ansible_become", False)).lower() in _YES


def no_way(route: InventoryHost) -> str | None:
    """Return why the second witness can't ask this host, and what to do; None where it can."""
    connection = str(route.variables.get("ansible_connection", "ssh"))
    if connection not in SSH + LOCAL:
        return (
            f"the second witness has no way over connection {connection}, only over ssh and local: "
            f"set ansible_connection of {route.name} to one of them in the inventory"
        )
    method = str(route.variables.get("ansible_become_method", "sudo"))
    if becomes(route) and method not in SUDO:
        return (
            f"the second witness becomes another user by sudo alone, not by {method}: "
            f"set ansible_become_method of {route.name} to sudo in the inventory, and let sudo work there without a password"
        )
    return None
