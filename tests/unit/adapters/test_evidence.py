"""Evidence comes through Ansible whole or not at all."""

from __future__ import annotations

import base64
import json
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest

from controlplane.adapters.collector.main import BEGIN, END
from controlplane.adapters.evidence import AnsibleEvidence, unpack
from controlplane.adapters.evidence_files import EvidenceFiles
from controlplane.adapters.known_hosts import SiteKnownHosts
from controlplane.adapters.runner import RunResult
from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import InputInvalidError
from controlplane.domain.evidence import Evidence, Reader, Unobserved, Unreached
from controlplane.domain.evidence_shapes import SHAPES
from controlplane.domain.inventory import InventoryHost
from tests.fakes.machine_builder import declared_machine

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class FixedClock:
    def now(self) -> datetime:
        return NOW


def _packed(data: object) -> str:
    return base64.b64encode(zlib.compress(json.dumps(data).encode())).decode()


def test_banners_before_and_after_and_carriage_returns_are_passed_over() -> None:
    packed = _packed({"identity": 1})
    assert unpack(f"Welcome!\r\n{BEGIN}{packed[:20]}\r\n{packed[20:]}{END}\r\nbye") == {"identity": 1}


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("", "gave no answer"),
        ("sudo: a password is required", "gave no answer"),
        (f"{BEGIN}{_packed({})}", "was cut short"),
        (f"{BEGIN}!!!{END}", "garbled"),
        (f"{BEGIN}{_packed({})[:-8]}{END}", "garbled|cut short"),
        (f"{BEGIN}{_packed([1])}{END}", "garbled"),
        (f"{BEGIN}{base64.b64encode(zlib.compress(bytes(80 << 20))).decode()}{END}", "too large"),
    ],
)
def test_an_answer_that_is_not_whole_is_none(printed: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        unpack(printed)


def test_one_host_answers_and_another_is_not_reached(tmp_path: Path) -> None:
    hosts = [
        InventoryHost(name="here", variables={"ansible_connection": "local"}),
        InventoryHost(name="no-python", variables={"ansible_connection": "local", "ansible_python_interpreter": "/nonexistent/python"}),
        InventoryHost(name="nowhere", variables={"ansible_host": "127.0.0.1", "ansible_port": 9}),
    ]
    seen = AnsibleEvidence(FixedClock(), work_dir=tmp_path).collect(hosts, {})
    here, no_python, nowhere = seen["here"], seen["no-python"], seen["nowhere"]
    assert isinstance(here, Evidence)
    assert set(here.probes) == set(SHAPES)
    assert here.collected_at == "2026-01-01T00:00:00Z"
    assert Reader(here).identity["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert isinstance(no_python, Unreached)
    assert "/nonexistent/python" in no_python.reason
    assert isinstance(nowhere, Unreached)
    assert "Connection refused" in nowhere.reason
    assert (no_python.unconnected, nowhere.unconnected) == (False, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("said", "unconnected"),
    [
        ("ssh: connect to host 10.0.0.1 port 22: Connection timed out", True),
        ("ssh: connect to host 10.0.0.1 port 22: No route to host", True),
        ("ssh: Could not resolve hostname mint-data: Name or service not known", True),
        ("channel 0: open failed: connect failed: No route to host\nstdio forwarding failed\nConnection closed by UNKNOWN port 65535", True),
        ("Connection timed out during banner exchange", True),
        ("ssh: connect to host 10.0.0.1 port 22: Network is unreachable", False),
        ("ssh: Could not resolve hostname mint-data: Temporary failure in name resolution", False),
        ("ops@10.0.0.1: Permission denied (publickey).", False),
        ("Host key verification failed.", False),
        ("Connection closed by 10.0.0.1 port 22", False),
        ("Timeout, server 10.0.0.1 not responding.", False),
    ],
)
def test_only_a_host_to_which_no_connection_came_about_may_be_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, *, unconnected: bool
) -> None:
    host = InventoryHost(name="mint-data", variables={})
    result = RunResult(outcome="failed", rc=4, unreachable={"mint-data": f"Failed to connect to the host via ssh: {said}"}, failed={}, said="")
    monkeypatch.setattr("controlplane.adapters.evidence.run_playbook", lambda *_args, **_more: result)
    monkeypatch.setattr("controlplane.adapters.host_key._ssh", lambda *_args: None)
    assert AnsibleEvidence(FixedClock(), site=tmp_path).collect([host], {})["mint-data"].unconnected is unconnected


@pytest.mark.parametrize("relayed", [True, False])
def test_what_closes_early_is_a_machine_that_is_gone_only_behind_a_relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, relayed: bool) -> None:
    words = "-o ProxyCommand='nsenter --net=/run/netns/x nc 127.0.0.1 22'" if relayed else "-o ProxyCommand=none"
    host = InventoryHost(name="mint-data", variables={"ansible_ssh_common_args": f"-F /dev/null {words}"})
    said = "Failed to connect to the host via ssh: kex_exchange_identification: Connection closed by remote host"
    result = RunResult(outcome="failed", rc=4, unreachable={"mint-data": said}, failed={}, said="")
    monkeypatch.setattr("controlplane.adapters.evidence.run_playbook", lambda *_args, **_more: result)
    monkeypatch.setattr("controlplane.adapters.host_key._refusal", lambda *_args: "")
    assert AnsibleEvidence(FixedClock(), site=tmp_path).collect([host], {})["mint-data"].unconnected is relayed


@pytest.mark.parametrize(("outcome", "failed"), [("timeout", {}), ("failed", {"mint-data": "sudo: a password is required"}), ("failed", {})])
def test_a_host_that_gave_no_answer_for_another_reason_is_not_known_to_be_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Literal["timeout", "failed"], failed: dict[str, str]
) -> None:
    result = RunResult(outcome=outcome, rc=4, unreachable={}, failed=failed, said="")
    monkeypatch.setattr("controlplane.adapters.evidence.run_playbook", lambda *_args, **_more: result)
    seen = AnsibleEvidence(FixedClock(), site=tmp_path).collect([InventoryHost(name="mint-data", variables={})], {})["mint-data"]
    assert (isinstance(seen, Unreached), seen.unconnected) == (True, False)


def test_who_asks_for_one_probe_gets_no_other_and_doubt_about_the_rest(tmp_path: Path) -> None:
    host = InventoryHost(name="here", variables={"ansible_connection": "local"})
    seen = AnsibleEvidence(FixedClock(), work_dir=tmp_path).collect([host], {"here": DesiredHost(host="here")}, only=("mounts",))["here"]
    assert isinstance(seen, Evidence)
    assert set(seen.probes) == {"mounts"}
    assert Reader(seen).mounts
    with pytest.raises(Unobserved):
        _ = Reader(seen).identity


def test_a_machine_that_may_not_be_born_yet_is_tried_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = declared_machine()
    hosts = [InventoryHost(name=name, variables={"ansible_connection": "local"}) for name in ("unborn", "pinned", "by-hand", "kvm1")]
    desired = {host.name: DesiredHost(host=host.name, machine=machine if host.name in ("unborn", "pinned") else None) for host in hosts}
    SiteKnownHosts(tmp_path / "known_hosts").pin(hosts[1], ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJq0mE1h0f9vN1n0h1l0m1n0o1p0q1r0s1t0u1v0w1x0"])
    told: dict[str, Any] = {}

    def run(_project: object, **more: Any) -> RunResult:
        told.update(json.loads(more["inventory"])["all"]["hosts"])
        return RunResult(outcome="failed", rc=4, unreachable={}, failed={}, said="")

    monkeypatch.setattr("controlplane.adapters.evidence.run_playbook", run)
    AnsibleEvidence(FixedClock(), site=tmp_path).collect(hosts, desired)
    assert {name: variables.get("ansible_ssh_retries") for name, variables in told.items()} == {
        "unborn": 0,
        "pinned": None,
        "by-hand": None,
        "kvm1": None,
    }
    # A kept connection would hide what its jump host says.
    assert [name for name, variables in told.items() if "ControlMaster" not in variables.get("ansible_ssh_args", "ControlMaster")] == ["unborn"]
    assert "StrictHostKeyChecking=yes" in told["unborn"]["ansible_ssh_args"]


@pytest.mark.parametrize(
    ("says", "tried", "reason"),
    [("", 1, "closed by remote host"), ("Host key verification failed.", 2, "is not the pinned one")],
)
def test_a_relay_that_an_unborn_machine_is_behind_is_asked_again_only_after_a_key(tmp_path: Path, says: str, tried: int, reason: str) -> None:
    relay, config = tmp_path / "relay", tmp_path / "ssh_config"
    relay.write_text(f"#!/bin/sh\necho tried >> {tmp_path}/tried\necho '{says}' >&2\nexit 1\n")
    relay.chmod(0o755)
    # The operator's own configuration keeps connections: even so what the relay says is passed on.
    config.write_text(f"Host *\n  ControlMaster auto\n  ControlPersist 60\n  ControlPath {tmp_path}/%C\n  ProxyCommand {relay}\n")
    host = InventoryHost(name="unborn", variables={"ansible_host": "192.0.2.1", "ansible_ssh_common_args": f"-F {config}"})
    hypervisor = InventoryHost(name="kvm1", variables={"ansible_host": "127.0.0.1", "ansible_port": 9})
    source = AnsibleEvidence(FixedClock(), site=tmp_path, routes=[hypervisor])
    seen = source.collect([host], {"unborn": DesiredHost(host="unborn", machine=declared_machine())})["unborn"]
    assert isinstance(seen, Unreached)
    assert reason in seen.reason
    assert seen.unconnected is (tried == 1)
    assert len((tmp_path / "tried").read_text().splitlines()) == tried


def test_no_hosts_start_nothing(tmp_path: Path) -> None:
    assert AnsibleEvidence(FixedClock(), work_dir=tmp_path / "absent").collect([], {}) == {}


def test_what_was_written_is_read_again_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "evidence.json"
    seen: dict[str, Evidence | Unreached] = {
        "a": Evidence(host="a", collected_at="2026-01-01T00:00:00Z", asked={}, probes={}),
        "b": Unreached(host="b", reason="no route"),
    }
    EvidenceFiles().write(str(file), seen)
    assert EvidenceFiles().read(str(file)) == seen
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is no JSON"),
        (b"{half", "is no JSON"),
        (b"\xff\xfe\x00", "UTF-16"),
        (b'{"hosts": 1}', "hosts: is no list"),
        (b"[" * 100000, "is no JSON"),
    ],
)
def test_a_file_that_is_no_evidence_is_a_fault_of_the_input(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "evidence.json"
    file.write_bytes(content)
    with pytest.raises(InputInvalidError, match=reason) as refused:
        EvidenceFiles().read(str(file))
    assert refused.value.exit_code == 2


def test_a_file_that_is_not_there_or_can_t_be_written_is_a_fault_of_the_input(tmp_path: Path) -> None:
    with pytest.raises(InputInvalidError, match="does not exist"):
        EvidenceFiles().read(f"{tmp_path}/absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputInvalidError, match="can't be written"):
        EvidenceFiles().write(f"{tmp_path}/file/below", {})
