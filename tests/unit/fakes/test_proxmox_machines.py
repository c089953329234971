"""Machines of the stand-in: what is made, what stays, what is refused."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from proxmoxer import ResourceException

from tests.fakes.proxmox.client import client, finished
from tests.fakes.proxmox.example import IMAGE, PUBLIC_KEY
from tests.fakes.proxmox.schema import missing_reason
from tests.fakes.proxmox.server import ProxmoxServer
from tests.fakes.proxmox.world import GIB, Volume

pytestmark = pytest.mark.skipif(missing_reason() is not None, reason=str(missing_reason()))

WHOLE = {
    "vmid": 101,
    "name": "mint-data",
    "memory": 2048,
    "cores": 2,
    "net0": "virtio,bridge=vmbr0",
    "scsihw": "virtio-scsi-single",
    "scsi0": f"tank:0,import-from={IMAGE},discard=on",
    "scsi1": "tank:8,serial=DATA0001,discard=on",
    "ide2": "tank:cloudinit",
    "agent": "enabled=1",
    "ciuser": "ops",
    "sshkeys": quote(PUBLIC_KEY, safe=""),
    "ipconfig0": "ip=192.0.2.10/24,gw=192.0.2.1",
    "tags": "controlplane,Run-1",
    "description": "made by run 1\n",
}


def owned(server: ProxmoxServer, vmid: int) -> list[str]:
    return sorted(volid for storage in server.world.storages.values() for volid, volume in storage.volumes.items() if volume.owner == vmid)


def test_one_call_makes_a_machine_with_its_boot_disk_and_its_data_disk(server: ProxmoxServer, node: Any) -> None:
    upid = node.qemu.post(**WHOLE)
    assert upid == "UPID:pve:00001000:00010000:68000000:qmcreate:101:plan@pve!controlplane:"
    assert finished(node, upid)["exitstatus"] == "OK"
    config = node.qemu(101).config.get()
    assert {key: config[key] for key in ("scsi0", "scsi1", "ide2", "boot", "tags", "description", "cores", "memory")} == {
        "scsi0": "tank:vm-101-disk-0,discard=on,size=2G",
        "scsi1": "tank:vm-101-disk-1,discard=on,serial=DATA0001,size=8G",
        "ide2": "tank:vm-101-cloudinit,media=cdrom",
        "boot": "order=scsi0;ide2;net0",
        "tags": "controlplane;run-1",
        "description": "made by run 1",
        "cores": 2,
        "memory": "2048",
    }
    assert config["net0"].startswith("virtio=BC:24:11:")
    assert server.world.storages["tank"].volumes["tank:vm-101-disk-1"].size == 8 * GIB


def test_a_machine_that_is_being_made_is_shown_and_locked(server: ProxmoxServer, node: Any) -> None:
    server.world.task_lasts["qmcreate"] = 4
    upid = node.qemu.post(**WHOLE)
    assert node.tasks(upid).status.get()["status"] == "running"
    assert node.qemu(101).config.get()["lock"] == "create"
    with pytest.raises(ResourceException, match=r"500 .*VM is locked \(create\)"):
        node.qemu(101).config.put(cores=4)
    assert finished(node, upid)["exitstatus"] == "OK"
    assert "lock" not in node.qemu(101).config.get()


def test_a_task_that_never_ends_keeps_its_lock(server: ProxmoxServer, node: Any) -> None:
    server.world.task_lasts["qmcreate"] = None
    upid = node.qemu.post(**WHOLE)
    assert {node.tasks(upid).status.get()["status"] for _ in range(20)} == {"running"}
    assert [task["upid"] for task in node.tasks.get(source="active")] == [upid]
    assert node.qemu(101).config.get()["lock"] == "create"


def test_tasks_are_found_by_machine_kind_user_and_whether_they_run(server: ProxmoxServer, node: Any) -> None:
    """This is how a call whose answer was lost is found again: the machine shows no mark of its own until its task has ended."""
    finished(node, node.qemu.post(vmid=101))
    server.world.task_lasts["qmcreate"] = None
    lost = node.qemu.post(vmid=102, description="made by run 1")
    assert set(node.qemu(102).config.get()) == {"lock", "digest"}
    asked = {"typefilter": "qmcreate", "userfilter": server.token_id}
    assert [task["upid"] for task in node.tasks.get(source="active", vmid=102, **asked)] == [lost]
    assert [(task["id"], task["status"]) for task in node.tasks.get(**asked)] == [("101", "OK")]
    assert [task["id"] for task in node.tasks.get(source="all", limit=1)] == ["102"]
    assert node.tasks.get(source="all", userfilter="root@pam") == []


def test_a_storage_that_is_too_small_fails_the_task_and_leaves_nothing(server: ProxmoxServer, node: Any) -> None:
    server.world.storages["tank"].total = 9 * GIB
    upid = node.qemu.post(**WHOLE)
    told = "unable to create VM 101 - zfs error: cannot create 'tank/vm-101-disk-1': out of space"
    assert finished(node, upid)["exitstatus"] == told
    assert [line["t"] for line in node.tasks(upid).log.get()] == ["start qmcreate 101", f"TASK ERROR: {told}"]
    assert list(server.world.vms) == [9000]
    assert owned(server, 101) == []
    assert [(task["type"], task["id"], task["status"]) for task in node.tasks.get()] == [("qmcreate", "101", told)]


def test_a_thin_storage_promises_more_than_it_has(server: ProxmoxServer, node: Any) -> None:
    server.world.storages["tank"].kind, server.world.storages["tank"].total = "lvmthin", 9 * GIB
    assert finished(node, node.qemu.post(**WHOLE))["exitstatus"] == "OK"


def test_a_number_is_taken_once_and_a_name_as_often_as_one_likes(server: ProxmoxServer, node: Any) -> None:
    cluster = client(server).cluster
    assert cluster.nextid.get() == "100"
    finished(node, node.qemu.post(vmid=101, name="twin"))
    with pytest.raises(ResourceException, match="unable to create VM 101 - VM 101 already exists on node 'pve'"):
        node.qemu.post(vmid=101, name="other")
    with pytest.raises(ResourceException, match="unable to create VM 101: config file already exists"):
        node.qemu(9000).clone.post(newid=101)
    with pytest.raises(ResourceException, match=r"'vmid': 'VM 101 already exists'"):
        cluster.nextid.get(vmid=101)
    finished(node, node.qemu.post(vmid=102, name="twin"))
    assert [vm["vmid"] for vm in cluster.resources.get(type="vm") if vm["name"] == "twin"] == [101, 102]


@pytest.mark.parametrize(
    ("drive", "told"),
    [
        ("nowhere:8", "storage 'nowhere' does not exist"),
        ("local:8", None),
        ("tank:2,import-from=local:import/debian-12.qcow2", "'import-from' requires special syntax"),
        ("tank:0,import-from=local:import/other.qcow2", "volume local:import/other.qcow2 does not exist"),
        ("tank:0,import-from=/root/debian.qcow2", "Only root can pass arbitrary filesystem paths"),
        ("/dev/sdb", "Only root can pass arbitrary filesystem paths"),
    ],
)
def test_a_drive_that_can_not_be_made_is_refused_before_a_task_begins(server: ProxmoxServer, node: Any, drive: str, told: str | None) -> None:
    if told is None:
        assert finished(node, node.qemu.post(vmid=101, scsi0=drive))["exitstatus"] == "OK"
        assert owned(server, 101) == ["local:101/vm-101-disk-0.qcow2"]
        return
    with pytest.raises(ResourceException) as refusal:
        node.qemu.post(vmid=101, scsi0=drive)
    assert told in str(refusal.value)
    assert (list(server.world.vms), server.world.tasks) == ([9000], {})


def test_a_storage_without_images_takes_no_disk(server: ProxmoxServer, node: Any) -> None:
    server.world.storages["local"].content = ("iso", "import")
    with pytest.raises(ResourceException, match="storage 'local' does not support vm images"):
        node.qemu.post(vmid=101, scsi0="local:8")


def test_a_full_clone_copies_disks_and_tags_and_takes_a_new_address(node: Any) -> None:
    upid = node.qemu(9000).clone.post(newid=101, name="mint-data", full=1, storage="tank", description="run 1")
    assert node.qemu(101).config.get()["description"] == "run 1"
    assert finished(node, upid)["id"] == "9000"
    config = node.qemu(101).config.get()
    assert (config["scsi0"], config["tags"], config["name"]) == ("tank:vm-101-disk-0,size=2G", "golden", "mint-data")
    assert config["net0"] != node.qemu(9000).config.get()["net0"]
    assert "template" not in config


def test_a_clone_of_a_template_is_linked_unless_it_says_full(node: Any) -> None:
    with pytest.raises(ResourceException, match="parameter 'storage' not allowed for linked clones"):
        node.qemu(9000).clone.post(newid=101, storage="tank")
    finished(node, node.qemu(9000).clone.post(newid=101))
    assert node.qemu(101).config.get()["scsi0"] == "tank:base-9000-disk-0/vm-101-disk-0,size=2G"


def test_a_clone_that_fails_leaves_nothing(server: ProxmoxServer, node: Any) -> None:
    server.world.task_fails["qmclone"] = "clone failed: interrupted by signal"
    assert finished(node, node.qemu(9000).clone.post(newid=101, full=1))["exitstatus"] == "clone failed: interrupted by signal"
    assert (list(server.world.vms), owned(server, 101)) == ([9000], [])


def test_a_data_disk_added_later_keeps_its_serial(server: ProxmoxServer, node: Any) -> None:
    finished(node, node.qemu.post(vmid=101))
    assert node.qemu(101).config.put(scsi1="tank:8,serial=DATA0001") is None
    assert node.qemu(101).config.get()["scsi1"] == "tank:vm-101-disk-0,serial=DATA0001,size=8G"
    assert finished(node, node.qemu(101).config.post(scsi2="tank:1,serial=DATA0002"))["type"] == "qmconfig"
    assert owned(server, 101) == ["tank:vm-101-disk-0", "tank:vm-101-disk-1"]


def test_a_drive_that_is_written_over_leaves_its_old_volume_unused(server: ProxmoxServer, node: Any) -> None:
    finished(node, node.qemu.post(vmid=101, scsi1="tank:8,serial=DATA0001"))
    node.qemu(101).config.put(scsi1="tank:8,serial=DATA0001")
    config = node.qemu(101).config.get()
    assert (config["unused0"], config["scsi1"]) == ("tank:vm-101-disk-0", "tank:vm-101-disk-1,serial=DATA0001,size=8G")
    assert len(owned(server, 101)) == 2


def test_a_change_on_an_older_configuration_is_refused(node: Any) -> None:
    finished(node, node.qemu.post(vmid=101))
    seen = node.qemu(101).config.get()["digest"]
    node.qemu(101).config.put(cores=2, digest=seen)
    for change in (node.qemu(101).config.put, node.qemu(101).config.post):
        with pytest.raises(ResourceException, match=r"checksum mismatch \(file change by other user\?\)"):
            change(cores=4, digest=seen)
    assert node.qemu(101).config.get()["cores"] == 2


def test_what_a_running_machine_can_not_take_at_once_stays_pending(node: Any) -> None:
    finished(node, node.qemu.post(vmid=101, cores=1))
    finished(node, node.qemu(101).status.start.post())
    node.qemu(101).config.put(cores=4, name="new")
    assert (node.qemu(101).config.get()["cores"], node.qemu(101).config.get(current=1)["cores"]) == (4, 1)
    assert {"key": "cores", "value": "1", "pending": "4"} in node.qemu(101).pending.get()
    assert node.qemu(101).config.get(current=1)["name"] == "new"
    finished(node, node.qemu(101).status.stop.post())
    finished(node, node.qemu(101).status.start.post())
    assert node.qemu(101).config.get(current=1)["cores"] == 4


def test_options_of_root_and_keys_that_are_none_are_refused(node: Any) -> None:
    finished(node, node.qemu.post(vmid=101))
    with pytest.raises(ResourceException, match="only root can set 'args' config"):
        node.qemu(101).config.put(args="-snapshot")
    with pytest.raises(ResourceException, match="SSH public key validation error"):
        node.qemu(101).config.put(sshkeys=quote("no key", safe=""))
    with pytest.raises(ResourceException, match="invalid bootorder: device 'scsi0' does not exist"):
        node.qemu(101).config.put(boot="order=scsi0")
    with pytest.raises(ResourceException, match="no options specified"):
        node.qemu(101).config.put()


def test_a_disk_grows_and_never_shrinks(server: ProxmoxServer, node: Any) -> None:
    finished(node, node.qemu.post(vmid=101, scsi0="tank:2"))
    assert finished(node, node.qemu(101).resize.put(disk="scsi0", size="16G"))["exitstatus"] == "OK"
    assert node.qemu(101).config.get()["scsi0"] == "tank:vm-101-disk-0,size=16G"
    assert finished(node, node.qemu(101).resize.put(disk="scsi0", size="+1G"))["exitstatus"] == "OK"
    assert server.world.storages["tank"].volumes["tank:vm-101-disk-0"].size == 17 * GIB
    assert finished(node, node.qemu(101).resize.put(disk="scsi0", size="8G"))["exitstatus"] == "shrinking disks is not supported"
    assert finished(node, node.qemu(101).resize.put(disk="scsi1", size="8G"))["exitstatus"] == "disk 'scsi1' does not exist"


def test_a_start_needs_the_bridge_and_writes_cloud_init(server: ProxmoxServer, node: Any) -> None:
    finished(node, node.qemu.post(**{**WHOLE, "net0": "virtio,bridge=vmbr9", "ciupgrade": 0}))
    assert finished(node, node.qemu(101).status.start.post())["exitstatus"] == "bridge 'vmbr9' does not exist"
    assert node.qemu(101).status.current.get()["status"] == "stopped"
    node.qemu(101).config.put(net0="virtio,bridge=vmbr0")
    finished(node, node.qemu(101).status.start.post())
    assert node.qemu(101).status.current.get()["status"] == "running"
    assert finished(node, node.qemu(101).status.start.post())["exitstatus"] == "VM 101 already running"
    seed = server.world.vms[101].cloudinit["user"]
    assert f"ssh_authorized_keys:\n  - {PUBLIC_KEY}\n" in seed
    assert "package_upgrade" not in seed
    assert node.qemu(101).cloudinit.dump.get(type="user") == seed


def test_custom_user_data_take_the_place_of_all_others(server: ProxmoxServer, node: Any) -> None:
    server.world.storages["local"].volumes["local:snippets/a.yml"] = Volume(10, "snippets", data=b"#cloud-config\nssh_keys: {}\n")
    finished(node, node.qemu.post(**WHOLE, cicustom="user=local:snippets/a.yml"))
    finished(node, node.qemu(101).status.start.post())
    assert server.world.vms[101].cloudinit["user"] == "#cloud-config\nssh_keys: {}\n"
    finished(node, node.qemu(101).status.stop.post())
    node.qemu(101).config.put(cicustom="user=local:snippets/gone.yml")
    assert finished(node, node.qemu(101).status.start.post())["exitstatus"] == "volume 'local:snippets/gone.yml' does not exist"


def test_the_agent_answers_when_it_runs_and_not_before(server: ProxmoxServer, node: Any) -> None:
    key = "/etc/ssh/ssh_host_ed25519_key.pub"
    finished(node, node.qemu.post(vmid=101, name="mint-data"))
    agent = node.qemu(101).agent
    with pytest.raises(ResourceException, match="No QEMU guest agent configured"):
        agent.ping.post()
    node.qemu(101).config.put(agent="enabled=1")
    with pytest.raises(ResourceException, match="VM 101 is not running"):
        agent.ping.post()
    guest = server.world.vms[101].guest
    guest.agent_after, guest.files, guest.commands = 1, {key: PUBLIC_KEY}, {("cat", key): (0, PUBLIC_KEY)}
    guest.interfaces = [{"name": "eth0", "ip-addresses": [{"ip-address": "192.0.2.10", "ip-address-type": "ipv4", "prefix": 24}]}]
    finished(node, node.qemu(101).status.start.post())
    with pytest.raises(ResourceException, match="QEMU guest agent is not running"):
        agent.ping.post()
    assert agent.ping.post() == {"result": {}}
    assert agent("file-read").get(file=key) == {"content": PUBLIC_KEY}
    assert agent("network-get-interfaces").get()["result"] == guest.interfaces
    pid = agent.exec.post(command=["cat", key])["pid"]
    assert agent("exec-status").get(pid=pid) == {"exited": 1, "exitcode": 0, "out-data": PUBLIC_KEY}
    with pytest.raises(ResourceException, match="Agent error: failed to open file"):
        agent("file-read").get(file="/nothing")


def test_nothing_is_removed_unless_the_test_has_said_so(server: ProxmoxServer, node: Any) -> None:
    finished(node, node.qemu.post(vmid=101, scsi1="tank:8,serial=DATA0001"))
    with pytest.raises(ResourceException, match=r"Permission check failed \(/vms/101, VM\.Allocate\)"):
        node.qemu(101).delete()
    assert server.changes == ["POST /nodes/pve/qemu", "DELETE /nodes/pve/qemu/101"]
    assert owned(server, 101) == ["tank:vm-101-disk-0"]
    server.world.may_remove.add(101)
    finished(node, node.qemu(101).delete())
    assert (list(server.world.vms), owned(server, 101)) == ([9000], [])


def test_what_is_protected_or_runs_is_not_removed(server: ProxmoxServer, node: Any) -> None:
    finished(node, node.qemu.post(vmid=101, protection=1, scsi1="tank:8"))
    server.world.may_remove.add(101)
    with pytest.raises(ResourceException, match="can't remove VM 101 - protection mode enabled"):
        node.qemu(101).delete()
    with pytest.raises(ResourceException, match="can't remove drive 'scsi1' - protection mode enabled"):
        node.qemu(101).unlink.put(idlist="scsi1", force=1)
    node.qemu(101).config.put(protection=0)
    finished(node, node.qemu(101).status.start.post())
    with pytest.raises(ResourceException, match="VM 101 is running - destroy failed"):
        node.qemu(101).delete()


def test_storages_tell_their_free_bytes_and_what_lies_on_them(node: Any) -> None:
    finished(node, node.qemu.post(vmid=101, scsi1="tank:8"))
    assert node.storage("tank").status.get()["avail"] == 40 * GIB
    assert [row["volid"] for row in node.storage("tank").content.get(vmid=101)] == ["tank:vm-101-disk-0"]
    assert [row["volid"] for row in node.storage("local").content.get(content="import")] == [IMAGE]
    assert {row["storage"] for row in node.storage.get(content="images")} == {"local", "tank"}
