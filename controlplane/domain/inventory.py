"""The inventory as far as this program uses it: host names, groups and how to connect.

Rules:
- Only the variables in `CONNECTION_VARIABLES` are taken; anything else belongs to other playbooks and is left behind.
- A value with template marks is never passed on: Ansible would run it on the controller.
- Host keys are pinned, so options that switch their check off are refused.
- Whether commands are pipelined is no choice of the inventory: what changes something must not outlive its connection.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from typing import Annotated

from pydantic import Field

from controlplane.domain.names import AsTuple, GroupName, HostName
from controlplane.domain.values import Value

CONNECTION_VARIABLES = frozenset(
    [
        "ansible_become",
        "ansible_become_exe",
        "ansible_become_flags",
        "ansible_become_method",
        "ansible_become_user",
        "ansible_connection",
        "ansible_host",
        "ansible_port",
        "ansible_python_interpreter",
        "ansible_remote_tmp",
        "ansible_ssh_common_args",
        "ansible_ssh_executable",
        "ansible_ssh_extra_args",
        "ansible_ssh_host",
        "ansible_ssh_port",
        "ansible_ssh_private_key_file",
        "ansible_ssh_user",
        "ansible_timeout",
        "ansible_user",
    ]
)
# Names that an older inventory uses for the same thing.
RENAMED = {"ansible_ssh_host": "ansible_host", "ansible_ssh_port": "ansible_port", "ansible_ssh_user": "ansible_user"}
TEMPLATE_MARKS = ("{{", "{%", "{#")
_UNPINNED = re.compile(r"stricthostkeychecking[\s=\"']+(no|off|accept-new)\b|(user|global)knownhostsfile[\s=\"']+/dev/null\b", re.IGNORECASE)

Scalar = str | int | bool
# Names below it mean this machine itself (RFC 6761). Where a hypervisor is reached through an API, steps work here, and so under a name of this kind.
HERE = ".localhost"


class InventoryHost(Value):
    """One host: its groups (sorted, with parents, without `all` and `ungrouped`) and its connection variables."""

    name: HostName
    groups: Annotated[tuple[GroupName, ...], AsTuple] = ()
    variables: dict[str, Scalar] = Field(default={})

    @property
    def route(self) -> tuple[str, ...]:
        """Return what decides which machine answers: two hosts of one route are one machine."""
        connection = str(self.variables.get("ansible_connection", "ssh"))
        if connection == "local":
            return ("local",)
        address = str(self.variables.get("ansible_host", self.name)).lower().rstrip(".")
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(address.strip("[]")).compressed
        port = str(self.variables.get("ansible_port", 22))
        # A proxy command can lead to another machine at the same address, as namespaces of a lab do.
        through = [str(self.variables.get(name, "")) for name in ("ansible_ssh_common_args", "ansible_ssh_extra_args")]
        return (address, port, *through)


class Inventory(Value):
    """Every host that the inventory's sources name, sorted by name, and every group."""

    hosts: Annotated[tuple[InventoryHost, ...], AsTuple] = ()
    groups: Annotated[tuple[GroupName, ...], AsTuple] = ()

    def by_name(self) -> dict[str, InventoryHost]:
        """Return the hosts by name."""
        return {host.name: host for host in self.hosts}


def here_for(hypervisor: str) -> str:
    """Return the name under which the controller itself works for a hypervisor that it reaches through an API."""
    return f"{hypervisor.lower()}{HERE}"


def works_here(name: str) -> bool:
    """Say whether `name` is such a name: the step runs on the controller as the operator, without root and without a target's lease."""
    return name.endswith(HERE)


def route_here(name: str) -> InventoryHost:
    """Return the way to the controller itself, which no inventory names."""
    return InventoryHost(name=name, variables={"ansible_connection": "local"})


def variable_fault(name: str, value: object) -> str | None:
    """Return why the connection variable `name` can't be `value`, or None."""
    if not isinstance(value, (str, int, bool)):
        return f"is a {type(value).__name__}: write one plain value"
    if isinstance(value, str):
        if any(mark in value for mark in TEMPLATE_MARKS):
            return f"{value!r} holds template marks, which Ansible would run on this controller: write the value itself"
        if re.search(r"[\x00-\x1f\x7f]", value):
            return "holds a control character: write it as one plain line"
        if name.startswith("ansible_ssh_") and _UNPINNED.search(value):
            return "switches the check of host keys off: pin the key in a known_hosts file instead (ssh-keyscan, then compare the fingerprint)"
        if name == "ansible_host" and (value.startswith("-") or not value):
            return f"{value!r} is no address: it is empty or reads as an option"
    return None
