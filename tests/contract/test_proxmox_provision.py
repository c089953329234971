"""A machine on Proxmox VE from evidence through plan and apply to evidence again, against the published schema, with everything that goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.playing import collection_missing
from tests.contract.proxmox_site import NUMBER, Operator, boots
from tests.fakes.proxmox.example import TEMPLATE, small_cluster
from tests.fakes.proxmox.schema import missing_reason
from tests.fakes.proxmox.server import ProxmoxServer

_REASON = missing_reason() or collection_missing()
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))

MADE = [
    "POST /nodes/pve/storage/local/upload",
    "POST /nodes/pve/qemu",
    "PUT /nodes/pve/qemu/101/resize",
    "POST /nodes/pve/qemu/101/status/start",
    "PUT /nodes/pve/qemu/101/config",
    "POST /nodes/pve/storage/local/upload",
    "PUT /nodes/pve/qemu/101/config",
]


@pytest.fixture
def server() -> Iterator[ProxmoxServer]:
    world = small_cluster()
    world.on_start = boots(world)
    with ProxmoxServer(world) as running:
        yield running
        assert [call for call in running.calls if call.method == "DELETE"] == []
        # Whatever a test did, the template that was there before is as it was.
        assert running.world.vms[TEMPLATE].config == small_cluster().vms[TEMPLATE].config


@pytest.fixture
def operator(server: ProxmoxServer, tmp_path: Path) -> Operator:
    return Operator(server, tmp_path)


def test_a_machine_is_made_is_as_declared_and_needs_nothing_more(server: ProxmoxServer, operator: Operator) -> None:
    planned = operator.plan()
    assert (planned.rc, server.changes) == (3, []), planned.err
    done = operator.apply()
    assert done.rc == 0, done.out + done.err
    assert server.changes == MADE
    config = server.world.vms[NUMBER].config
    assert config["scsi0"] == "tank:vm-101-disk-0,discard=on,size=6G"
    assert config["scsi1"] == "tank:vm-101-disk-1,discard=on,serial=DATA0001,size=8G"
    assert {key: config[key] for key in ("name", "onboot", "protection", "tags", "ide2", "agent", "memory", "cores")} == {
        "name": "mint-data",
        "onboot": "1",
        "protection": "1",
        "tags": "controlplane",
        "ide2": "none,media=cdrom",
        "agent": "enabled=1",
        "memory": "2048",
        "cores": "2",
    }
    assert (operator.judged()["verdict"], server.world.vms[NUMBER].running) == ("MET", True)
    again = operator.plan()
    assert (again.rc, server.changes) == (0, MADE), again.out + again.err
