"""What the modules of community.proxmox really call, hold back and leave open; a role is built on this, and a new version may differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.contract.playing import Play, Spy, collection_missing, play, play_each
from tests.fakes.proxmox.example import IMAGE, PUBLIC_KEY, TEMPLATE, small_cluster
from tests.fakes.proxmox.faults import Fault
from tests.fakes.proxmox.schema import missing_reason
from tests.fakes.proxmox.server import ProxmoxServer
from tests.fakes.proxmox.world import GIB

_REASON = missing_reason() or collection_missing()
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))

Played = dict[str, tuple[ProxmoxServer, Play]]

KVM = "community.proxmox.proxmox_kvm"
DISK = "community.proxmox.proxmox_disk"
INFO = "community.proxmox.proxmox_vm_info"
TASKS = "community.proxmox.proxmox_tasks_info"
UPLOAD = "community.proxmox.proxmox_template"

WHOLE = {
    "node": "pve",
    "vmid": 101,
    "name": "mint-data",
    "cores": 2,
    "memory": "2048",
    "net": {"net0": "virtio,bridge=vmbr0"},
    "scsihw": "virtio-scsi-single",
    "scsi": {"scsi0": f"tank:0,import-from={IMAGE},discard=on", "scsi1": "tank:8,serial=DATA0001,discard=on"},
    "ide": {"ide2": "tank:cloudinit"},
    "boot": "order=scsi0",
    "ciuser": "ops",
    "ciupgrade": False,
    "sshkeys": PUBLIC_KEY,
    "ipconfig": {"ipconfig0": "ip=192.0.2.10/24,gw=192.0.2.1"},
    "nameservers": ["192.0.2.1"],
    "agent": "enabled=1",
    "tags": ["controlplane"],
    "description": "made by run 1",
}
# One look at the task and no more: the module doesn't tell a task that failed from one that runs, so waiting is the play's own work.
BEGIN = {
    "name": "begin",
    KVM: {**WHOLE, "timeout": 1},
    "register": "begun",
    "failed_when": ["begun is failed", "not begun.msg.startswith('Reached timeout')"],
}
WAIT = {
    "name": "wait",
    INFO: {"node": "pve", "type": "qemu", "vmid": 101, "config": "current"},
    "register": "seen",
    "until": "seen.proxmox_vms == [] or 'lock' not in seen.proxmox_vms[0].config",
    "retries": 20,
    "delay": 0,
}


GROW = {"name": "grow", DISK: {"vmid": 101, "disk": "scsi0", "size": "16G", "state": "resized"}}
START = {"name": "start", KVM: {"node": "pve", "vmid": 101, "state": "started"}}
CD = b"\x00CD001 cidata"
CLONE = {
    "node": "pve",
    "clone": "debian-12",
    "vmid": TEMPLATE,
    "newid": 101,
    "name": "mint-data",
    "full": True,
    "description": "made by run 1",
    "tags": ["run-1"],
}
ADD = {"vmid": TEMPLATE, "disk": "scsi1", "storage": "tank", "size": "8", "serial": "DATA0001"}


@pytest.fixture
def server() -> Iterator[ProxmoxServer]:
    with ProxmoxServer(small_cluster()) as running:
        yield running


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """Play what needs nothing but a server of its own; return each server with how its play ended."""
    folder = tmp_path_factory.mktemp("played")
    (folder / "mint-data-seed.iso").write_bytes(CD)
    upload = {"node": "pve", "storage": "local", "content_type": "iso", "src": str(folder / "mint-data-seed.iso")}
    attach = {**WHOLE, "ide": {"ide2": "local:iso/mint-data-seed.iso,media=cdrom"}, "protection": True, "timeout": 1}
    plays: dict[str, list[dict[str, Any]]] = {
        "whole": [BEGIN, WAIT, GROW, START],
        "cd": [{"name": "upload", UPLOAD: upload}, {"name": "again", UPLOAD: upload}, {**BEGIN, KVM: attach}],
        "lost": [BEGIN, {"name": "again", KVM: {**WHOLE, "cores": 4}}],
        "full": [BEGIN, WAIT, {"name": "why", TASKS: {"node": "pve"}}],
        "clone": [{"name": "clone", KVM: CLONE}],
        "forced": [{"name": name, DISK: {**ADD, **more}} for name, more in (("add", {}), ("again", {}), ("forced", {"create": "forced"}))],
        "unknown_ca": [BEGIN],
    }
    with ExitStack() as stack:
        servers = {name: stack.enter_context(ProxmoxServer(small_cluster())) for name in plays}
        # A look at the task is at its end, and one before that: it is waited for.
        servers["whole"].world.task_lasts["qmcreate"] = 12
        servers["lost"].faults.append(Fault("POST", "/nodes/pve/qemu", "reset", "after"))
        servers["full"].world.storages["tank"].total = 9 * GIB
        servers["forced"].world.vms[TEMPLATE].config.pop("template")
        done = play_each(folder, {name: (servers[name], tasks) for name, tasks in plays.items()}, untrusted=["unknown_ca"])
        yield {name: (servers[name], done[name]) for name in plays}


def changes(server: ProxmoxServer) -> list[tuple[str, dict[str, Any]]]:
    return [(str(call), dict(call.params)) for call in server.calls if call.method != "GET"]


def test_one_task_makes_the_whole_machine_in_one_call_and_others_grow_and_start_it(played: Played) -> None:
    server, done = played["whole"]
    assert (done.rc, done.results["wait"]["attempts"] > 1) == (0, True)
    [create, resize, power] = changes(server)
    assert create == (
        "POST /nodes/pve/qemu",
        {
            "vmid": "101",
            "name": "mint-data",
            "cores": "2",
            "memory": "2048",
            "net0": "virtio,bridge=vmbr0",
            "scsihw": "virtio-scsi-single",
            "scsi0": f"tank:0,import-from={IMAGE},discard=on",
            "scsi1": "tank:8,serial=DATA0001,discard=on",
            "ide2": "tank:cloudinit",
            "boot": "order=scsi0",
            "ciuser": "ops",
            "ciupgrade": "0",
            "sshkeys": "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIGh3Y2hlY2tlcmNoZWNrZXJjaGVja2VyY2hlY2tlcmNo%20ops%40example.org",
            "ipconfig0": "ip=192.0.2.10/24,gw=192.0.2.1",
            "nameserver": "192.0.2.1",
            "agent": "enabled=1",
            "tags": "controlplane",
            "description": "made by run 1",
        },
    )
    assert resize == ("PUT /nodes/pve/qemu/101/resize", {"disk": "scsi0", "size": "16G"})
    assert power == ("POST /nodes/pve/qemu/101/status/start", {})
    vm = server.world.vms[101]
    assert (vm.running, vm.config["scsi0"]) == (True, "tank:vm-101-disk-0,discard=on,size=16G")
    assert vm.config["scsi1"] == "tank:vm-101-disk-1,discard=on,serial=DATA0001,size=8G"


def test_a_cd_with_the_machines_own_keys_is_uploaded_kept_and_attached_at_birth(played: Played) -> None:
    """Snippets can't be uploaded, CDs can: this way user data, host keys among them, need no login on the node."""
    server, done = played["cd"]
    assert [done.results[name]["changed"] for name in ("upload", "again")] == [True, False]
    assert [name for name, _ in changes(server)] == ["POST /nodes/pve/storage/local/upload", "POST /nodes/pve/qemu"]
    assert server.world.storages["local"].volumes["local:iso/mint-data-seed.iso"].data == CD
    config = server.world.vms[101].config
    assert (config["ide2"], config["protection"]) == ("local:iso/mint-data-seed.iso,media=cdrom,size=13", "1")


def test_an_answer_that_is_lost_fails_the_task_and_a_second_one_takes_what_is_there_for_done(played: Played) -> None:
    """The module compares nothing: whether the machine is ours and whole is for the caller to see."""
    server, done = played["lost"]
    assert "failed with exception=('Connection aborted.'" in done.results["begin"]["msg"]
    assert (done.results["again"]["changed"], done.results["again"]["msg"]) == (False, "VM with vmid <101> already exists")
    assert [name for name, _ in changes(server)] == ["POST /nodes/pve/qemu"]
    assert server.world.vms[101].config["cores"] == "2"


def test_a_task_that_fails_is_told_by_the_list_of_tasks_alone(played: Played) -> None:
    server, done = played["full"]
    assert (
        done.results["begin"]["msg"]
        == "Reached timeout while waiting for creating VM. Last line in task before timeout: [{'n': 1, 't': 'start qmcreate 101'}]"
    )
    assert done.results["wait"]["proxmox_vms"] == []
    [task] = done.results["why"]["proxmox_tasks"]
    assert (task["type"], task["id"], task["failed"]) == ("qmcreate", "101", True)
    assert task["status"] == "unable to create VM 101 - zfs error: cannot create 'tank/vm-101-disk-1': out of space"
    assert list(server.world.vms) == [TEMPLATE]


def test_a_clone_carries_no_mark_until_a_second_call(played: Played) -> None:
    server, done = played["clone"]
    assert done.rc == 0
    assert changes(server) == [("POST /nodes/pve/qemu/9000/clone", {"newid": "101", "name": "mint-data", "full": "1"})]
    assert (server.world.vms[101].config["tags"], "description" in server.world.vms[101].config) == ("golden", False)


def test_a_forced_disk_leaves_the_old_one_unused_and_a_plain_one_is_kept(played: Played) -> None:
    server, done = played["forced"]
    assert [done.results[name]["changed"] for name in ("add", "again", "forced")] == [True, False, True]
    config = server.world.vms[TEMPLATE].config
    assert (config["unused0"].rpartition("-")[2], config["scsi1"].partition(",")[0].rpartition("-")[2]) == ("0", "1")


@pytest.mark.slow
def test_the_secret_from_the_environment_is_in_no_argument_no_file_and_no_output(server: ProxmoxServer, tmp_path: Path) -> None:
    server.faults.append(Fault("GET", "/version", "hang", seconds=2))
    spy = Spy(server.secret, tmp_path)
    done = play(server, tmp_path, [BEGIN], watch=spy)
    assert "Read timed out" in done.output or "Connection aborted" in done.output
    assert spy.looks > 20
    assert spy.seen == set()
    assert server.secret not in done.output


@pytest.mark.slow
def test_the_secret_as_an_argument_of_the_module_lies_in_a_file_while_it_runs(server: ProxmoxServer, tmp_path: Path) -> None:
    server.faults.append(Fault("GET", "/version", "hang", seconds=2))
    spy = Spy(server.secret, tmp_path)
    done = play(server, tmp_path, [{"name": "begin", KVM: {**WHOLE, "api_token_secret": server.secret}}], watch=spy, PROXMOX_TOKEN_SECRET=None)
    # Ansible writes the module under a passing name first, which a look may catch.
    assert {name for name in spy.seen if not name.startswith("tmp")} == {"play.yml", "AnsiballZ_proxmox_kvm.py"}
    assert server.secret not in done.output


def test_a_certificate_of_an_unknown_ca_is_refused(played: Played) -> None:
    server, done = played["unknown_ca"]
    assert "CERTIFICATE_VERIFY_FAILED" in done.results["begin"]["msg"]
    assert server.calls == []
