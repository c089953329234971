"""What lies on storages: lists, uploads, removal.

From pve-storage: an upload takes files for CDs, containers and imports, never snippets; it goes to file storages that hold such content;
a file of that name is written over; its task is imgcopy. A removal asks for Datastore.Allocate, more than an upload does.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from functools import partial

from tests.fakes.proxmox.calls import Request
from tests.fakes.proxmox.drives import find_volume
from tests.fakes.proxmox.replies import RefusedCallError, TaskError, died, refused
from tests.fakes.proxmox.world import Volume, World

_STORAGE = "/nodes/{node}/storage/{storage}"
_ENDINGS = {"iso": r"(?i).+\.(iso|img)", "vztmpl": r".+\.tar\.(gz|xz|zst|bz2)", "import": r"[a-zA-Z0-9\-.+=_]+\.(ova|qcow2|raw|vmdk)"}


def _content(call: Request) -> list[dict[str, object]]:
    call.world.check_node(call.given["node"])
    rows = []
    for volid, volume in sorted(call.world.storage(call.given["storage"]).volumes.items()):
        if call.given.get("content") in (None, volume.content) and call.given.get("vmid") in (None, str(volume.owner)):
            rows.append(
                {"volid": volid, "content": volume.content, "format": volume.format, "size": volume.size}
                | ({"vmid": volume.owner} if volume.owner else {})
            )
    return rows


def _volume(call: Request) -> dict[str, object]:
    volid = _full_name(call)
    volume = find_volume(call.world, volid)
    return {"format": volume.format, "size": volume.size, "used": volume.size, "path": f"/dev/{volid}"}


def _full_name(call: Request) -> str:
    volid: str = call.given["volume"]
    return volid if ":" in volid else f"{call.given['storage']}:{volid}"


def _upload(call: Request) -> str:
    given, world = call.given, call.world
    world.check_node(given["node"])
    storage, kind, arrived = world.storage(given["storage"]), given["content"], given.get("tmpfilename", "")
    if storage.kind != "dir":
        raise died(f"can't upload to storage type '{storage.kind}'")
    if arrived not in world.arrived:
        raise died("missing temporary file name")
    if not re.fullmatch(_ENDINGS[kind], given["filename"]):
        raise refused({"filename": "wrong file extension"})
    if kind not in storage.content:
        raise died(f"storage '{storage.name}' does not support '{kind}' content")
    return call.start("imgcopy", "", partial(_keep, world, f"{storage.name}:{kind}/{given['filename']}", dict(given)))


def _keep(world: World, volid: str, given: Mapping[str, str]) -> None:
    data = world.arrived.pop(given["tmpfilename"])
    if "checksum-algorithm" in given:
        found = hashlib.new(given["checksum-algorithm"], data).hexdigest()
        if found != given["checksum"].lower():
            raise TaskError(f"checksum mismatch: got '{found}' != expect '{given['checksum']}'")
    fmt = volid.rpartition(".")[2] if given["content"] == "import" else given["content"]
    world.storage(given["storage"]).volumes[volid] = Volume(len(data), given["content"], format=fmt, data=data)


def _remove_volume(call: Request) -> str:
    volid = _full_name(call)
    volume, storage = find_volume(call.world, volid), call.world.storage(volid.partition(":")[0])
    if volid not in call.world.may_remove_volumes:
        raise RefusedCallError(403, f"Permission check failed (/storage/{storage.name}, Datastore.Allocate)")
    owner = f"{volume.owner}@" if volume.owner else ""
    return call.start("imgdel", f"{owner}{storage.name}", partial(storage.volumes.pop, volid))


IMAGE_CALLS: Mapping[tuple[str, str], Callable[[Request], object]] = {
    ("GET", f"{_STORAGE}/content"): _content,
    ("GET", f"{_STORAGE}/content/{{volume}}"): _volume,
    ("DELETE", f"{_STORAGE}/content/{{volume}}"): _remove_volume,
    ("POST", f"{_STORAGE}/upload"): _upload,
}
