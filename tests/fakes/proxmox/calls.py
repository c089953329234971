"""What each method does: a function for each method and path of the schema that is modelled.

Shapes from the schema's `returns` and from qemu-server, pve-manager and pve-storage where the schema says no more than "object": numbers
and booleans of the configuration are JSON numbers, property strings (memory, agent, …) text; /cluster/nextid is text; a password is
never given back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.fakes.proxmox import births, configuration, drives, guest_agent, power
from tests.fakes.proxmox.cloudinit import render
from tests.fakes.proxmox.replies import RefusedCallError, died, refused
from tests.fakes.proxmox.schema import load_schema, of_key
from tests.fakes.proxmox.tasks import new_task
from tests.fakes.proxmox.world import Vm, World

_VM = "/nodes/{node}/qemu/{vmid}"


@dataclass(frozen=True)
class Request:
    """One call that has passed its checks: what it gives, places of the path included, and who makes it."""

    world: World
    given: Mapping[str, Any]
    user: str
    granted: frozenset[str] | None = None

    @property
    def vm(self) -> Vm:
        return self.world.vm(self.given["node"], self.given["vmid"])

    def sees(self, *any_of: str) -> bool:
        """Say whether lists show what asks for one of these privileges; where they don't, they are shorter, not refused."""
        return self.granted is None or not self.granted.isdisjoint(any_of)

    def start(self, kind: str, about: int | str, work: Callable[[], object], undo: Callable[[], None] = lambda: None) -> str:
        """Start a task and return its identifier."""
        world = self.world
        task = new_task(
            len(world.tasks),
            node=self.given["node"],
            kind=kind,
            id=str(about),
            user=self.user,
            lasts=world.task_lasts.get(kind, 1),
            dies_of=world.task_fails.get(kind),
            work=work,
            undo=undo,
        )
        world.tasks[task.upid] = task
        return task.upid


def _create(call: Request) -> str:
    vm, work, undo = births.create(call.world, call.given["node"], call.given)
    return call.start("qmcreate", vm.vmid, work, undo)


def _clone(call: Request) -> str:
    """Start the copy; its task goes by the template's number, as the real one does."""
    _, work, undo = births.clone(call.world, call.vm, call.given)
    return call.start("qmclone", call.vm.vmid, work, undo)


def _config(call: Request) -> dict[str, object]:
    vm, told = call.vm, load_schema().method("GET", f"{_VM}/config").returns["properties"]
    values = dict(vm.config)
    if call.given.get("current") != "1":
        values = {key: value for key, value in {**values, **vm.pending}.items() if key not in vm.pending_delete}
    if "cipassword" in values:
        values["cipassword"] = "**********"
    numbers = {key for key in values if (of_key(told, key) or {}).get("type") in ("integer", "boolean")}
    return {**{key: int(value) if key in numbers else value for key, value in values.items()}, "digest": vm.digest}


def _put_config(call: Request) -> None:
    configuration.update(call.world, call.vm, call.given)()


def _post_config(call: Request) -> str:
    return call.start("qmconfig", call.vm.vmid, configuration.update(call.world, call.vm, call.given))


def _pending(call: Request) -> list[dict[str, object]]:
    vm = call.vm
    told: list[dict[str, object]] = []
    for key in sorted({*vm.config, *vm.pending}):
        row: dict[str, object] = {"key": key}
        row |= {"value": vm.config[key]} if key in vm.config else {}
        row |= {"pending": vm.pending[key]} if key in vm.pending else {}
        told.append(row | ({"delete": 1} if key in vm.pending_delete else {}))
    return told


def _resize(call: Request) -> str:
    vm = call.vm
    vm.check_digest(call.given.get("digest"))
    vm.check_lock()
    return call.start("resize", vm.vmid, partial(drives.resize_drive, call.world, vm, call.given["disk"], call.given["size"]))


def _power(kind: str) -> Callable[[Request], str]:
    def change(call: Request) -> str:
        vm = call.vm
        vm.check_lock()
        return call.start(kind, vm.vmid, partial(power.power_on, call.world, vm) if kind == "qmstart" else partial(setattr, vm, "running", False))

    return change


def _remove(call: Request) -> str:
    vm = call.vm
    if vm.vmid not in call.world.may_remove:
        raise RefusedCallError(403, f"Permission check failed (/vms/{vm.vmid}, VM.Allocate)")
    vm.check_lock()
    return call.start("qmdestroy", vm.vmid, *power.remove(call.world, vm))


def _unlink(call: Request) -> None:
    configuration.update(call.world, call.vm, {"delete": call.given["idlist"], "force": call.given.get("force", "0")})()


def _regenerate(call: Request) -> None:
    vm = call.vm
    vm.check_lock()
    vm.cloudinit = {kind: render(call.world, vm, kind) for kind in ("user", "network", "meta")}


def _next_id(call: Request) -> str:
    wanted = call.given.get("vmid")
    if wanted and int(wanted) in call.world.vms:
        raise refused({"vmid": f"VM {wanted} already exists"})
    return wanted or str(next(number for number in range(100, 10**6) if number not in call.world.vms))


def vm_row(vm: Vm) -> dict[str, object]:
    """Return what lists say of a machine."""
    row: dict[str, object] = {
        "vmid": vm.vmid,
        "name": vm.config.get("name", f"VM {vm.vmid}"),
        "status": "running" if vm.running else "stopped",
        "cpus": int(vm.config.get("cores", "1")) * int(vm.config.get("sockets", "1")),
        "maxmem": int(vm.config.get("memory", "512")) * 1024**2,
        "uptime": int(vm.running),
    }
    row |= {key: vm.config[key] for key in ("lock", "tags") if key in vm.config}
    return row | ({"template": 1} if vm.config.get("template") == "1" else {})


def _status(call: Request) -> dict[str, object]:
    vm = call.vm
    return {**vm_row(vm), "qmpstatus": "running" if vm.running else "stopped", "ha": {"managed": 0}} | ({"agent": 1} if "agent" in vm.config else {})


def _vms(call: Request) -> list[dict[str, object]]:
    call.world.check_node(call.given["node"])
    return [vm_row(vm) for _, vm in sorted(call.world.vms.items()) if vm.node == call.given["node"] and call.sees("VM.Audit")]


def _agent(command: str) -> Callable[[Request], object]:
    return lambda call: guest_agent.answer(call.vm, command, call.given)


def _dump(call: Request) -> str:
    if not any("cloudinit" in value for value in call.vm.config.values()):
        raise died("no cloudinit drive")
    return render(call.world, call.vm, call.given["type"], masked=True)


MACHINE_CALLS: Mapping[tuple[str, str], Callable[[Request], object]] = {
    ("GET", "/cluster/nextid"): _next_id,
    ("GET", "/nodes/{node}/qemu"): _vms,
    ("POST", "/nodes/{node}/qemu"): _create,
    ("DELETE", _VM): _remove,
    ("GET", f"{_VM}/config"): _config,
    ("PUT", f"{_VM}/config"): _put_config,
    ("POST", f"{_VM}/config"): _post_config,
    ("GET", f"{_VM}/pending"): _pending,
    ("POST", f"{_VM}/clone"): _clone,
    ("PUT", f"{_VM}/resize"): _resize,
    ("PUT", f"{_VM}/unlink"): _unlink,
    ("PUT", f"{_VM}/cloudinit"): _regenerate,
    ("GET", f"{_VM}/cloudinit/dump"): _dump,
    ("GET", f"{_VM}/status/current"): _status,
    ("POST", f"{_VM}/status/start"): _power("qmstart"),
    ("POST", f"{_VM}/status/stop"): _power("qmstop"),
    ("POST", f"{_VM}/status/shutdown"): _power("qmshutdown"),
    ("POST", f"{_VM}/agent/ping"): _agent("ping"),
    ("POST", f"{_VM}/agent/exec"): _agent("exec"),
    **{("GET", f"{_VM}/agent/{command}"): _agent(command) for command in ("exec-status", "file-read", "get-host-name", "network-get-interfaces")},
}
