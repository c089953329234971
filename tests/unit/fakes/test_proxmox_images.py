"""Files on storages of the stand-in: uploads, and what may be attached."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pytest
from proxmoxer import ResourceException

from tests.fakes.proxmox.client import finished
from tests.fakes.proxmox.schema import missing_reason
from tests.fakes.proxmox.server import ProxmoxServer

pytestmark = pytest.mark.skipif(missing_reason() is not None, reason=str(missing_reason()))

SEED = "local:iso/mint-data-seed.iso"


def seed(data: bytes = b"\x00CD001 cidata\r\n--\xff", name: str = "mint-data-seed.iso") -> io.BytesIO:
    file = io.BytesIO(data)
    file.name = name
    return file


def upload(node: Any, file: io.BytesIO, **more: str) -> dict[str, Any]:
    return finished(node, node.storage("local").upload.post(content="iso", filename=file, **more))


def test_an_uploaded_cd_is_kept_byte_for_byte_and_can_be_attached(server: ProxmoxServer, node: Any) -> None:
    digest = hashlib.sha256(seed().getvalue()).hexdigest()
    assert upload(node, seed(), **{"checksum": digest, "checksum-algorithm": "sha256"})["type"] == "imgcopy"
    assert server.world.storages["local"].volumes[SEED].data == seed().getvalue()
    assert node.storage("local").content(SEED).get()["format"] == "iso"
    finished(node, node.qemu.post(vmid=101, ide2=f"{SEED},media=cdrom"))
    assert node.qemu(101).config.get()["ide2"] == f"{SEED},media=cdrom,size=18"
    with pytest.raises(ResourceException, match="explicit 'media=cdrom' is required for iso images"):
        node.qemu(101).config.put(ide3=SEED)


def test_a_second_upload_writes_over_the_first(server: ProxmoxServer, node: Any) -> None:
    upload(node, seed())
    upload(node, seed(b"\x00CD001 without a key"))
    assert server.world.storages["local"].volumes[SEED].data == b"\x00CD001 without a key"


def test_an_upload_that_arrives_damaged_fails_its_task_and_leaves_nothing(server: ProxmoxServer, node: Any) -> None:
    status = upload(node, seed(), **{"checksum": "0" * 64, "checksum-algorithm": "sha256"})
    assert status["exitstatus"].startswith("checksum mismatch: got ")
    assert SEED not in server.world.storages["local"].volumes


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("local", "snippets", "user.yml"), "value 'snippets' does not have a value in the enumeration 'iso, vztmpl, import'"),
        (("local", "iso", "seed.txt"), "wrong file extension"),
        (("local", "vztmpl", "a.tar.gz"), "storage 'local' does not support 'vztmpl' content"),
        (("tank", "iso", "seed.iso"), "can't upload to storage type 'zfspool'"),
    ],
)
def test_what_can_not_be_uploaded_is_refused(server: ProxmoxServer, node: Any, asked: tuple[str, str, str], told: str) -> None:
    storage, content, name = asked
    before = {key: set(one.volumes) for key, one in server.world.storages.items()}
    with pytest.raises(ResourceException) as refusal:
        node.storage(storage).upload.post(content=content, filename=seed(name=name))
    assert told in str(refusal.value)
    assert {key: set(one.volumes) for key, one in server.world.storages.items()} == before


def test_a_volume_is_removed_only_where_the_test_has_said_so(server: ProxmoxServer, node: Any) -> None:
    upload(node, seed())
    with pytest.raises(ResourceException, match=r"Permission check failed \(/storage/local, Datastore\.Allocate\)"):
        node.storage("local").content(SEED).delete()
    server.world.may_remove_volumes.add(SEED)
    assert finished(node, node.storage("local").content(SEED).delete())["type"] == "imgdel"
    assert SEED not in server.world.storages["local"].volumes
