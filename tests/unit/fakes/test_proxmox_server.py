"""The wire: certificates, tokens, privileges, faults, what is recorded."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from proxmoxer import ResourceException

from tests.fakes.proxmox.client import client
from tests.fakes.proxmox.example import small_cluster
from tests.fakes.proxmox.faults import Fault
from tests.fakes.proxmox.schema import missing_reason
from tests.fakes.proxmox.server import ProxmoxServer

pytestmark = pytest.mark.skipif(missing_reason() is not None, reason=str(missing_reason()))


def test_a_client_that_has_the_ca_is_served(server: ProxmoxServer) -> None:
    assert client(server).version.get()["version"] == "9.1.4"


def test_a_client_without_the_ca_refuses_the_certificate_and_makes_no_call(server: ProxmoxServer) -> None:
    with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        client(server, verify_ssl=True).version.get()
    assert server.calls == []


@pytest.mark.parametrize("wrong", [{"token_value": "wrong"}, {"token_name": "other"}, {"user": "root@pam"}])
def test_a_wrong_token_is_401_and_changes_nothing(server: ProxmoxServer, wrong: dict[str, str]) -> None:
    with pytest.raises(ResourceException) as refusal:
        client(server, **wrong).nodes("pve").qemu.post(vmid=101)
    assert (refusal.value.status_code, refusal.value.content) == (401, "Authentication failed!")
    assert list(server.world.vms) == [9000]


def test_a_call_without_a_token_is_401(server: ProxmoxServer) -> None:
    answer = requests.get(f"https://localhost:{server.port}/api2/json/version", verify=str(server.ca), timeout=5)
    assert (answer.status_code, answer.reason, answer.content) == (401, "No ticket", b"")


def test_refused_parameters_have_the_servers_shape(server: ProxmoxServer) -> None:
    answer = requests.post(
        f"https://localhost:{server.port}/api2/json/nodes/pve/qemu",
        headers={"Authorization": f"PVEAPIToken={server.token_id}={server.secret}"},
        json={"vmid": 101, "onboot": True, "cores": 0},
        verify=str(server.ca),
        timeout=5,
    )
    assert (answer.status_code, answer.reason) == (400, "Parameter verification failed.")
    assert answer.json() == {"data": None, "message": "Parameter verification failed.\n", "errors": {"cores": "value must have a minimum value of 1"}}


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("nothing", "Method 'GET /nothing' not implemented"),
        ("nodes/pve/qemu/9000/snapshot", "this stand-in does not model GET /nodes/{node}/qemu/{vmid}/snapshot"),
    ],
)
def test_what_the_schema_or_this_server_does_not_know_is_501(server: ProxmoxServer, path: str, told: str) -> None:
    with pytest.raises(ResourceException, match="501") as refusal:
        client(server)(path).get()
    assert told in refusal.value.content


def test_a_parameter_that_would_be_ignored_is_501(server: ProxmoxServer, node: Any) -> None:
    with pytest.raises(ResourceException, match=r"does not model pool of POST /nodes/\{node\}/qemu"):
        node.qemu.post(vmid=101, pool="site")
    assert list(server.world.vms) == [9000]


def test_a_node_and_a_machine_that_are_not_there_are_500_in_the_servers_words(server: ProxmoxServer, node: Any) -> None:
    with pytest.raises(ResourceException, match="hostname lookup 'other' failed"):
        client(server).nodes("other").qemu.get()
    with pytest.raises(ResourceException, match=r"Configuration file 'nodes/pve/qemu-server/101\.conf' does not exist"):
        node.qemu(101).config.get()


def test_a_privilege_that_the_token_lacks_is_403_and_named(server: ProxmoxServer, node: Any) -> None:
    server.privileges = frozenset({"VM.Audit", "VM.Allocate", "VM.Config.Options", "VM.Config.Network", "SDN.Use"})
    assert node.qemu(9000).config.get()["name"] == "debian-12"
    asked = {"vmid": 101, "name": "mint-data", "net0": "virtio,bridge=vmbr0", "scsi1": "tank:8,serial=DATA0001"}
    for missing in ("/vms/101, VM.Config.Disk", "/storage/tank, Datastore.AllocateSpace"):
        with pytest.raises(ResourceException) as refusal:
            node.qemu.post(**asked)
        assert (refusal.value.status_code, refusal.value.content) == (403, f"Permission check failed ({missing})")
        server.privileges |= {missing.partition(", ")[2]}
    assert list(server.world.vms) == [9000]
    node.qemu.post(**asked)
    with pytest.raises(ResourceException, match=r"\(/vms/9000, VM\.Clone\)"):
        node.qemu(9000).clone.post(newid=102)


def test_secrets_are_masked_in_what_is_recorded(server: ProxmoxServer, node: Any) -> None:
    node.qemu.post(vmid=101, cipassword="hunter2", ciuser="ops")
    [call] = server.calls
    assert (call.method, call.path, call.status) == ("POST", "/nodes/pve/qemu", 200)
    assert call.params == {"vmid": "101", "cipassword": "********", "ciuser": "ops"}
    assert "hunter2" not in repr(server.calls) + repr(node.qemu(101).config.get())
    assert server.secret not in repr(server.calls)


def test_a_status_comes_at_the_call_that_it_was_asked_for_and_not_again(server: ProxmoxServer, node: Any) -> None:
    server.faults.append(Fault("GET", "/nodes/pve/qemu", "status", nth=2, status=596, reason="Connection timed out"))
    assert [vm["vmid"] for vm in node.qemu.get()] == [9000]
    with pytest.raises(ResourceException) as refusal:
        node.qemu.get()
    assert (refusal.value.status_code, refusal.value.content) == (596, "Connection timed out")
    assert [vm["vmid"] for vm in node.qemu.get()] == [9000]


@pytest.mark.parametrize(("when", "there"), [("before", [9000]), ("after", [9000, 101])])
def test_a_reset_loses_the_answer_before_or_after_the_change(server: ProxmoxServer, node: Any, when: Any, there: list[int]) -> None:
    server.faults.append(Fault("POST", "/nodes/pve/qemu", "reset", when))
    with pytest.raises(requests.exceptions.ConnectionError):
        node.qemu.post(vmid=101)
    assert list(server.world.vms) == there
    assert [(call.status, call.reason) for call in server.calls] == [(0, "lost")]


def test_an_answer_that_comes_too_late_is_the_clients_timeout_and_the_change_is_made(server: ProxmoxServer) -> None:
    server.faults.append(Fault("POST", "/nodes/pve/qemu", "hang", "after"))
    with pytest.raises(requests.exceptions.ReadTimeout):
        client(server, timeout=0.3).nodes("pve").qemu.post(vmid=101)
    assert list(server.world.vms) == [9000, 101]


def _meet_a_fault_of_the_server() -> None:
    with ProxmoxServer(small_cluster()) as server:
        server.world.vms[9000].running = True
        with pytest.raises(requests.exceptions.ConnectionError):
            client(server).nodes("pve").qemu(9000).agent("exec-status").get(pid=1)


def test_a_fault_of_the_server_itself_fails_the_test_that_met_it() -> None:
    with pytest.raises(AssertionError, match="the stand-in for Proxmox VE broke: KeyError"):
        _meet_a_fault_of_the_server()
