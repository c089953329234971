"""Which privileges a token needs to provision a machine: each of these and no other."""

from __future__ import annotations

import io
from typing import Any

import pytest
from proxmoxer import ResourceException

from tests.fakes.proxmox.client import client, finished
from tests.fakes.proxmox.example import IMAGE, PUBLIC_KEY, small_cluster
from tests.fakes.proxmox.schema import missing_reason
from tests.fakes.proxmox.server import ProxmoxServer
from tests.fakes.proxmox.world import Guest, Vm

pytestmark = pytest.mark.skipif(missing_reason() is not None, reason=str(missing_reason()))

HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"
NEEDED = frozenset(
    {
        "Datastore.AllocateSpace",
        "Datastore.AllocateTemplate",
        "SDN.Use",
        "VM.Allocate",
        "VM.Audit",
        "VM.Config.CDROM",
        "VM.Config.CPU",
        "VM.Config.Disk",
        "VM.Config.HWType",
        "VM.Config.Memory",
        "VM.Config.Network",
        "VM.Config.Options",
        "VM.GuestAgent.Audit",
        "VM.GuestAgent.FileRead",
        "VM.PowerMgmt",
    }
)


def _boots(vm: Vm) -> None:
    vm.guest = Guest(files={HOST_KEY: PUBLIC_KEY})


def provision(server: ProxmoxServer) -> str:
    """Make a machine from an image and a seed CD, and return its host key as the agent reads it."""
    node = client(server).nodes("pve")
    assert [vm["vmid"] for vm in client(server).cluster.resources.get(type="vm")] == [9000]
    assert node.storage("tank").status.get()["avail"] > 0
    seed = io.BytesIO(b"CD001")
    seed.name = "mint-data-seed.iso"
    finished(node, node.storage("local").upload.post(content="iso", filename=seed))
    machine: dict[str, Any] = {
        "vmid": 101,
        "name": "mint-data",
        "cores": 2,
        "memory": 2048,
        "net0": "virtio,bridge=vmbr0",
        "scsihw": "virtio-scsi-single",
        "scsi0": f"tank:0,import-from={IMAGE}",
        "scsi1": "tank:8,serial=DATA0001",
        "ide2": "local:iso/mint-data-seed.iso,media=cdrom",
        "boot": "order=scsi0",
        "agent": "enabled=1",
        "protection": 1,
        "description": "made by run 1",
    }
    finished(node, node.qemu.post(**machine))
    finished(node, node.qemu(101).resize.put(disk="scsi0", size="16G"))
    finished(node, node.qemu(101).status.start.post())
    node.qemu(101).agent.ping.post()
    return str(node.qemu(101).agent("file-read").get(file=HOST_KEY)["content"])


def test_these_privileges_are_enough() -> None:
    with ProxmoxServer(small_cluster(), privileges=NEEDED) as server:
        server.world.on_start = _boots
        assert provision(server) == PUBLIC_KEY
        assert server.world.vms[101].config["scsi0"].endswith("size=16G")


@pytest.mark.parametrize("missing", sorted(NEEDED - {"VM.Audit", "Datastore.AllocateSpace"}))
def test_without_one_of_them_it_is_refused_by_name(missing: str) -> None:
    with ProxmoxServer(small_cluster(), privileges=NEEDED - {missing}) as server:
        server.world.on_start = _boots
        with pytest.raises(ResourceException, match="Permission check failed") as refusal:
            provision(server)
        assert (refusal.value.status_code, missing in refusal.value.content) == (403, True)


def test_without_the_right_to_look_lists_are_shorter_and_nothing_is_refused() -> None:
    """An empty list is no proof that nothing is there: whoever decides on it first asks for what must be in it."""
    with ProxmoxServer(small_cluster(), privileges=NEEDED - {"VM.Audit", "Datastore.AllocateSpace"}) as server:
        cluster = client(server)
        assert cluster.cluster.resources.get(type="vm") == []
        assert cluster.nodes("pve").qemu.get() == []
        assert cluster.storage.get() == []
        assert cluster.cluster.nextid.get() == "100"
        with pytest.raises(ResourceException, match=r"\(/vms/9000, VM\.Audit\)"):
            cluster.nodes("pve").qemu(9000).config.get()
