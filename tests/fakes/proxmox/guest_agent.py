"""What the guest agent answers through the API.

From qemu-server: without `agent` in the configuration, on a stopped machine and before the agent runs each call is a 500 with its own
text; a file's content is text, an executed command is a pid and is asked for until it has exited.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.fakes.proxmox.replies import died, not_modelled
from tests.fakes.proxmox.schema import load_schema, of_key
from tests.fakes.proxmox.validation import parse_properties
from tests.fakes.proxmox.world import Vm


def answer(vm: Vm, command: str, given: Mapping[str, Any]) -> object:
    """Return what the agent says, or refuse as the server does while there is none."""
    told = of_key(load_schema().method("POST", "/nodes/{node}/qemu").parameters, "agent")
    if told is None or "agent" not in vm.config or parse_properties(told["format"], vm.config["agent"])["enabled"] != "1":
        raise died("No QEMU guest agent configured")
    if not vm.running:
        raise died(f"VM {vm.vmid} is not running")
    vm.guest.calls_since_start += 1
    if vm.guest.calls_since_start <= vm.guest.agent_after:
        raise died("QEMU guest agent is not running")
    return _answer(vm, command, given)


def _answer(vm: Vm, command: str, given: Mapping[str, Any]) -> object:
    guest = vm.guest
    if command == "ping":
        return {"result": {}}
    if command == "network-get-interfaces":
        return {"result": guest.interfaces}
    if command == "get-host-name":
        return {"result": {"host-name": vm.config.get("name", "")}}
    if command == "file-read":
        if given["file"] not in guest.files:
            raise died(f"Agent error: failed to open file '{given['file']}' (mode: 'r'): No such file or directory")
        return {"content": guest.files[given["file"]]}
    if command == "exec":
        words = given["command"] if isinstance(given["command"], list) else [given["command"]]
        if tuple(words) not in guest.commands:
            raise died(f"Agent error: Guest agent command failed, error was 'Failed to execute child process \"{words[0]}\"'")
        pid = 1000 + len(guest.ended)
        guest.ended[pid] = guest.commands[tuple(words)]
        return {"pid": pid}
    if command == "exec-status":
        code, text = guest.ended[int(given["pid"])]
        return {"exited": 1, "exitcode": code, **({"out-data": text} if text else {})}
    raise not_modelled(f"agent/{command}")
