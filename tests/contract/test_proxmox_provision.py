"""A machine on Proxmox VE from evidence through plan and apply to evidence again, against the published schema, with everything that goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.playing import Spy, collection_missing
from tests.contract.proxmox_site import KEY_FILE, NUMBER, Operator, boots, seed_of
from tests.fakes.proxmox.example import IMAGE, TEMPLATE, small_cluster
from tests.fakes.proxmox.faults import Fault
from tests.fakes.proxmox.schema import missing_reason
from tests.fakes.proxmox.server import ProxmoxServer
from tests.fakes.proxmox.wire import Call
from tests.fakes.proxmox.world import GIB, Vm
from tests.unit.fakes.test_proxmox_privileges import NEEDED

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


@pytest.mark.plays
def test_a_machine_is_made_is_as_declared_and_needs_nothing_more(server: ProxmoxServer, operator: Operator) -> None:
    server.privileges = NEEDED
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
    [run] = [line.split()[1] for line in done.out.splitlines() if line.startswith("run ")]
    back = operator.run("rollback", run)
    assert (back.rc, "mint-data is not removed from here" in back.err) == (1, True), back.out + back.err
    assert (server.changes, server.world.vms[NUMBER].config) == (MADE, config)


@pytest.mark.plays
def test_the_secret_is_in_no_argument_no_file_and_no_output(server: ProxmoxServer, operator: Operator) -> None:
    operator.plan()
    spy = Spy(server.secret, operator.folder)
    done = operator.apply(watch=spy)
    assert done.rc == 0, done.out + done.err
    assert spy.looks > 20
    spy()
    assert spy.seen == set()
    assert server.secret not in done.out + done.err


@pytest.mark.plays
def test_the_private_host_key_is_nowhere_once_the_machine_is_made(server: ProxmoxServer, operator: Operator) -> None:
    keys: list[str] = []
    first_boot: list[list[str]] = []
    start = server.world.on_start

    def read_the_key(vm: Vm) -> None:
        keys.append(seed_of(server.world, vm)["ssh_keys"]["ed25519_private"])
        first_boot.extend(seed_of(server.world, vm)["runcmd"])
        start(vm)

    server.world.on_start = read_the_key
    operator.plan()
    assert operator.apply().rc == 0
    [key] = keys
    assert key.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    # What its baseline will bring is fetched meanwhile.
    assert first_boot[0][-4:] == ["openssh-server", "cron", "qemu-guest-agent", "systemd-timesyncd"]
    middle = key.split("\n")[2].encode()
    left = [volid for volid, volume in server.world.storages["local"].volumes.items() if b"PRIVATE" in volume.data]
    assert (left, [path for path in operator.folder.rglob("*") if path.is_file() and middle in path.read_bytes()]) == ([], [])
    public = server.world.vms[NUMBER].guest.files[KEY_FILE].split()[1]
    assert public in (operator.site / "known_hosts").read_text()


@pytest.mark.plays
def test_a_machine_of_somebody_else_is_refused_and_left_as_it_is(server: ProxmoxServer, operator: Operator) -> None:
    theirs = Vm(NUMBER, "pve", {"name": "accounting", "cores": "4", "memory": "4096"}, running=True)
    server.world.vms[NUMBER] = theirs
    planned = operator.plan()
    assert planned.rc == 4
    assert "machine accounting (101) is in its place on pve1: nothing is replaced" in planned.out + planned.err
    del server.world.vms[NUMBER]
    assert operator.plan().rc == 3
    server.world.vms[NUMBER] = theirs
    late = operator.apply()
    assert late.rc == 4, late.err
    assert (server.changes, theirs.config) == ([], {"name": "accounting", "cores": "4", "memory": "4096"})


@pytest.mark.plays
def test_of_two_who_make_the_same_number_at_once_one_is_refused(server: ProxmoxServer, operator: Operator) -> None:
    """The call that makes a machine is the claim: whoever comes second finds another's mark and changes nothing of it."""

    class Overtaken(list[Call]):
        def append(self, call: Call) -> None:
            super().append(call)
            if str(call) == MADE[0]:
                server.world.vms[NUMBER] = Vm(NUMBER, "pve", dict(theirs))

    theirs = {"name": "accounting", "cores": "4", "memory": "4096", "description": "controlplane-run: CAP-OTHER\ncontrolplane-made: no"}
    operator.plan()
    server.calls = Overtaken(server.calls)
    done = operator.apply()
    assert done.rc == 1
    assert "machine 101 is accounting, made by CAP-OTHER: give mint-data another id" in done.err
    # The module sees it itself, and asks for nothing.
    assert (server.changes, server.world.vms[NUMBER].config) == (MADE[:1], theirs)


def test_what_it_is_made_from_and_where_has_to_be_there(server: ProxmoxServer, operator: Operator) -> None:
    server.world.storages["tank"].total = 12 * GIB
    del server.world.storages["local"].volumes[IMAGE]
    told = operator.plan()
    assert (told.rc, "storage tank of pve1 has" in told.out, f"pve1 has no image {IMAGE}" in told.out) == (4, True, True), told.out + told.err
    assert server.changes == []


@pytest.mark.plays
def test_a_task_that_fails_leaves_nothing_and_is_told_and_a_second_run_makes_the_machine(server: ProxmoxServer, operator: Operator) -> None:
    server.world.task_fails["qmcreate"] = "zfs error: pool is suspended"
    operator.plan()
    failed = operator.apply()
    assert failed.rc == 1
    assert "mint-data was not made on pve: zfs error: pool is suspended" in failed.err
    assert list(server.world.vms) == [TEMPLATE]
    del server.world.task_fails["qmcreate"]
    done = operator.apply()
    assert (done.rc, operator.judged()["verdict"]) == (0, "MET"), done.err


@pytest.mark.plays
def test_a_task_that_takes_long_is_waited_for_and_a_lost_answer_makes_no_second_machine(server: ProxmoxServer, operator: Operator) -> None:
    server.world.task_lasts |= {"qmcreate": 20, "resize": 6, "qmstart": 6}
    server.faults.append(Fault("POST", "/nodes/pve/qemu", "reset", "after"))
    operator.plan()
    done = operator.apply()
    assert done.rc == 0, done.err
    assert (server.changes, sorted(server.world.vms)) == (MADE, [NUMBER, TEMPLATE])


@pytest.mark.plays
def test_an_api_that_fails_for_a_while_ends_the_run_and_the_next_one_goes_on(server: ProxmoxServer, operator: Operator) -> None:
    """One bad answer is asked again; when several come in a row the run stops, and nothing is made twice."""
    told = {"kind": "status", "reason": "got no worker upid"}
    server.faults += [Fault("GET", "/nodes/pve/qemu/101/config", nth=nth, **told) for nth in (5, 6, 7, 8, 9)]  # type: ignore[arg-type]
    operator.plan()
    stopped = operator.apply()
    assert (stopped.rc, "500 Internal Server Error: got no worker upid" in stopped.err) == (1, True), stopped.err
    server.faults.clear()
    # A run that failed is closed: what is left is planned anew, and the machine's own mark says that it is ours.
    assert operator.plan().rc == 3
    done = operator.apply()
    assert done.rc == 0, done.err
    assert sorted(server.world.vms) == [NUMBER, TEMPLATE]
    assert server.changes.count("POST /nodes/pve/qemu") == 1


@pytest.mark.plays
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7])
def test_a_run_that_is_killed_anywhere_is_gone_on_with(server: ProxmoxServer, operator: Operator, n: int) -> None:
    server.world.task_lasts["qmcreate"] = 6
    operator.plan()
    operator.killed_at(n)
    assert MADE[:n] == server.changes[:n]
    done = operator.apply()
    assert done.rc == 0, done.out + done.err
    assert sorted(server.world.vms) == [NUMBER, TEMPLATE]
    assert server.changes.count("POST /nodes/pve/qemu") == 1
    assert [volid for volid, volume in server.world.storages["local"].volumes.items() if b"PRIVATE" in volume.data] == []
    assert operator.judged()["verdict"] == "MET"
    # After the last call there is nothing to go on with.
    told = {1: "found the CD local:iso/controlplane-101-", 7: ""}.get(n, "went on with machine 101, which run CAP-")
    assert told in done.err, done.err


@pytest.mark.plays
def test_one_that_was_begun_with_another_login_is_not_finished_under_the_new_one(server: ProxmoxServer, operator: Operator) -> None:
    server.world.task_fails["qmstart"] = "no space left"
    operator.plan()
    assert operator.apply().rc == 1
    begun = dict(server.world.vms[NUMBER].config)
    machines = operator.site / "machines.yml"
    text = machines.read_text()
    machines.write_text(text.replace("    cores: 2\n", "    cores: 2\n    user: admin\n").replace("192.0.2.10/24", "192.0.2.11/24"))
    changes = list(server.changes)
    planned = operator.plan()
    assert (planned.rc, "begun with another value of address, user than machines.yml has by now" in planned.out + planned.err) == (4, True)
    assert (server.changes, server.world.vms[NUMBER].config) == (changes, begun)
    machines.write_text(text)
    del server.world.task_fails["qmstart"]
    assert operator.plan().rc == 3
    done = operator.apply()
    assert (done.rc, "went on with machine 101, which run CAP-" in done.err) == (0, True), done.err


@pytest.mark.plays
def test_a_lock_that_no_task_holds_is_left_to_a_person(server: ProxmoxServer, operator: Operator) -> None:
    operator.plan()
    server.world.task_lasts["qmcreate"] = None
    operator.killed_at(2)
    for task in server.world.tasks.values():
        task.exit_status = task.exit_status or "unexpected status"
    refused = operator.apply()
    assert refused.rc == 1, refused.err
    assert "machine 101 has the lock create and no task that holds it: look at it there. Nothing was changed." in " ".join(refused.err.split())
    assert server.changes == MADE[:2]


def test_a_wrong_token_a_short_one_and_an_unset_one_are_unknown_and_no_machine_that_is_not_there(
    server: ProxmoxServer, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.privileges = frozenset({"Datastore.Audit", "Datastore.AllocateSpace"})
    monkeypatch.setenv("PVE_TOKEN", "")
    for token, told in (
        (server.secret, "token plan@pve!controlplane may not look at this"),
        ("11111111-1111-2222-3333-444444444444", "does not know token plan@pve!controlplane with this secret"),
        (None, "the controller's environment variable PVE_TOKEN is not set: export it"),
    ):
        monkeypatch.setenv("PVE_TOKEN", token) if token else monkeypatch.delenv("PVE_TOKEN")
        assert told in operator.unseen()
    # What is not seen is unknown to whoever asks the program.
    planned = operator.plan()
    assert (planned.rc, "token plan@pve!controlplane may not look at this" in planned.out + planned.err) == (5, True), planned.out + planned.err
    assert server.changes == []


def test_a_certificate_that_is_not_trusted_is_unknown_with_what_to_do(server: ProxmoxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PVE_TOKEN", server.secret)
    operator = Operator(server, tmp_path, trusted=False)
    assert "put the cluster's CA (/etc/pve/pve-root-ca.pem on its nodes) below the site" in operator.unseen()
    assert server.calls == []
