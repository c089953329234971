"""Which hosts the second witness can ask is known from the inventory, before anything is changed there."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.inventory import InventoryHost
from controlplane.domain.witness_route import becomes, no_way


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"ansible_connection": "ssh"},
        {"ansible_connection": "smart"},
        {"ansible_connection": "ansible.builtin.ssh", "ansible_become": True},
        {"ansible_connection": "local", "ansible_become": True, "ansible_become_method": "sudo"},
        {"ansible_become": "yes", "ansible_become_method": "ansible.builtin.sudo"},
        {"ansible_become": False, "ansible_become_method": "su"},
        {"ansible_become": "no", "ansible_become_method": "su"},
        {"ansible_become_method": "su"},
    ],
)
def test_ssh_and_local_with_sudo_or_without_are_ways(variables: dict[str, Any]) -> None:
    assert no_way(InventoryHost(name="a", variables=variables)) is None


@pytest.mark.parametrize("connection", ["docker", "community.docker.docker", "paramiko", "winrm", "lxd", "community.libvirt.libvirt_qemu"])
def test_any_other_connection_is_none(connection: str) -> None:
    told = no_way(InventoryHost(name="a", variables={"ansible_connection": connection}))

    assert told == (
        f"the second witness has no way over connection {connection}, only over ssh and local: "
        "set ansible_connection of a to one of them in the inventory"
    )


@pytest.mark.parametrize("yes", [True, "true", "True", "yes", 1, "on"])
def test_another_way_to_become_is_none(yes: Any) -> None:
    told = no_way(InventoryHost(name="a", variables={"ansible_become": yes, "ansible_become_method": "su"}))

    assert told == (
        "the second witness becomes another user by sudo alone, not by su: "
        "set ansible_become_method of a to sudo in the inventory, and let sudo work there without a password"
    )


@pytest.mark.parametrize(("value", "expected"), [(True, True), ("yes", True), (1, True), (False, False), ("no", False), ("false", False), (0, False)])
def test_become_is_read_as_ansible_reads_it(value: Any, expected: bool) -> None:
    assert becomes(InventoryHost(name="a", variables={"ansible_become": value})) is expected
