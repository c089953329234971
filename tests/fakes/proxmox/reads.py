"""What is read of the cluster, of storages and of tasks; shapes as the schema's `returns` has them.

Lists show what the token may see and leave the rest out without a word, as the schema says of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.fakes.proxmox.calls import MACHINE_CALLS, Request, vm_row
from tests.fakes.proxmox.images import IMAGE_CALLS
from tests.fakes.proxmox.replies import died
from tests.fakes.proxmox.tasks import Task
from tests.fakes.proxmox.world import Storage

_STORAGE = "/nodes/{node}/storage/{storage}"
_TASK = "/nodes/{node}/tasks/{upid}"


def _version(call: Request) -> dict[str, object]:
    return {"version": call.world.version, "release": call.world.version.rpartition(".")[0], "repoid": "0123456789abcdef"}


def _nodes(call: Request) -> list[dict[str, object]]:
    return [{"node": node, "id": f"node/{node}", "type": "node", "status": "online"} for node in call.world.nodes]


def _resources(call: Request) -> list[dict[str, object]]:
    world, wanted = call.world, call.given.get("type")
    vms = [
        {**vm_row(vm), "id": f"qemu/{vm.vmid}", "type": "qemu", "node": vm.node, "template": int(vm.config.get("template", "0"))}
        for vm in world.vms.values()
        if call.sees("VM.Audit")
    ]
    storages = [
        {
            "id": f"storage/{node}/{one.name}",
            "type": "storage",
            "node": node,
            "storage": one.name,
            "status": "available",
            "maxdisk": one.total,
            "disk": one.used,
        }
        for node in world.nodes
        for one in _seen_storages(call)
    ]
    return {"vm": vms, "storage": storages, "node": _nodes(call), "sdn": []}.get(wanted or "", [*vms, *storages, *_nodes(call)])


def _seen_storages(call: Request) -> list[Storage]:
    return list(call.world.storages.values()) if call.sees("Datastore.Audit", "Datastore.AllocateSpace") else []


def _storage_row(storage: Storage) -> dict[str, object]:
    return {
        "storage": storage.name,
        "type": storage.kind,
        "content": ",".join(storage.content),
        "total": storage.total,
        "used": storage.used,
        "avail": storage.free,
        "active": 1,
        "enabled": 1,
        "shared": 0,
    }


def _storages(call: Request) -> list[dict[str, object]]:
    call.world.check_node(call.given["node"])
    wanted = {"storage": call.given.get("storage"), "content": call.given.get("content")}
    found = [one for one in _seen_storages(call) if wanted["storage"] in (None, one.name)]
    return [_storage_row(one) for one in found if wanted["content"] is None or set(wanted["content"].split(",")) & set(one.content)]


def _storage_status(call: Request) -> dict[str, object]:
    call.world.check_node(call.given["node"])
    return _storage_row(call.world.storage(call.given["storage"]))


def _all_storages(call: Request) -> list[dict[str, object]]:
    return [{"storage": one.name, "type": one.kind, "content": ",".join(one.content)} for one in _seen_storages(call)]


def _task(call: Request) -> Task:
    found = call.world.tasks.get(call.given["upid"])
    if found is None:
        raise died(f"unable to parse worker upid '{call.given['upid']}'" if not call.given["upid"].startswith("UPID:") else "no such task")
    return found


def _tasks(call: Request) -> list[dict[str, object]]:
    given, rows = call.given, []
    for task in reversed(call.world.tasks.values()):
        running = task.exit_status is None
        if given.get("source", "archive") in ("all", "active" if running else "archive") and _is_asked_for(task, given):
            row = {key: value for key, value in task.status().items() if key not in ("status", "exitstatus")}
            rows.append(row if running else {**row, "status": task.exit_status or "", "endtime": task.started + 1})
    start = int(given.get("start", "0"))
    return rows[start : start + int(given.get("limit", "50"))]


def _is_asked_for(task: Task, given: Mapping[str, str]) -> bool:
    exactly = {"vmid": task.id, "typefilter": task.kind}
    named = all(given.get(key, value) == value for key, value in exactly.items())
    return named and given.get("userfilter", "").lower() in task.user.lower() and task.started >= int(given.get("since", "0"))


def _log(call: Request) -> list[dict[str, object]]:
    return [{"n": number, "t": line} for number, line in enumerate(_task(call).log, 1)]


CALLS: Mapping[tuple[str, str], Callable[[Request], object]] = {
    **MACHINE_CALLS,
    **IMAGE_CALLS,
    ("GET", "/version"): _version,
    ("GET", "/nodes"): _nodes,
    ("GET", "/storage"): _all_storages,
    ("GET", "/cluster/resources"): _resources,
    ("GET", "/nodes/{node}/storage"): _storages,
    ("GET", f"{_STORAGE}/status"): _storage_status,
    ("GET", "/nodes/{node}/tasks"): _tasks,
    ("GET", f"{_TASK}/status"): lambda call: _task(call).status(),
    ("GET", f"{_TASK}/log"): _log,
}
