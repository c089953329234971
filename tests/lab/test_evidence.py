"""The collector on a machine with a boot disk, a data disk, Docker, and services that keep passwords."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from controlplane.adapters.clock import SystemClock
from controlplane.adapters.evidence import AnsibleEvidence
from controlplane.adapters.lab.seed import seed
from controlplane.domain.desired import DesiredHost
from controlplane.domain.disks import Disk
from controlplane.domain.evidence import Evidence, Reader
from controlplane.domain.evidence_shapes import SHAPES
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.services import Auth, RedisService
from tests.lab.conftest import LabMachine

pytestmark = pytest.mark.lab
Machines = Callable[..., LabMachine]
CANARY = "c4nary-Zx9"


def _route(machine: LabMachine, **more: Any) -> InventoryHost:
    return InventoryHost(name=machine.name, variables={"ansible_ssh_common_args": f"-F {machine.ssh_config}", **more})


def _collect(machine: LabMachine, desired: DesiredHost | None = None, **more: Any) -> Evidence:
    evidence = AnsibleEvidence(SystemClock()).collect([_route(machine, **more)], {machine.name: desired} if desired else {})[machine.name]
    assert isinstance(evidence, Evidence), evidence
    return evidence


def _statuses(evidence: Evidence) -> dict[str, str]:
    return {name: f"{record.status}: {record.error}" for name, record in evidence.probes.items() if record.status != "ok"}


def _desired(machine: LabMachine) -> DesiredHost:
    disk = Disk(loop_file=str(machine.data_file), min_size=1, max_size=10**12, mount="/mnt/data")
    return DesiredHost(
        host=machine.name,
        disks=(disk,),
        services={
            "by-command": RedisService(data="/data", place="/mnt/data/redis"),
            "by-file": RedisService(data="/data", place="/mnt/data/redis2", auth=Auth(password_env="APP_CACHE_KEY")),
            "not-there": RedisService(data="/data", place="/mnt/data/redis3"),
        },
    )


REDISES = f"""
mkdir -p /srv/conf /mnt/elsewhere
printf 'requirepass {CANARY}\\nappendonly no\\ninclude /conf/more.conf\\n' > /srv/conf/redis.conf
printf 'save 900 1\\n' > /srv/conf/more.conf
docker volume create -d local -o type=none -o o=bind -o device=/mnt/elsewhere pinned >/dev/null
docker run -d --name by-command -v pinned:/data lab/services:1 serve-redis --requirepass {CANARY} --appendonly yes >/dev/null
docker run -d --name by-file -e APP_CACHE_KEY={CANARY} -v /srv/conf:/conf -v /data lab/services:1 redis-server /conf/redis.conf --dir /data >/dev/null
sleep 2
docker exec by-command redis-cli -a {CANARY} --no-auth-warning set k v
docker exec by-file redis-cli -a {CANARY} --no-auth-warning config set appendonly yes
"""


def test_a_whole_machine_is_seen_as_root_and_through_sudo(machine: Machines) -> None:
    one = machine(services=True)
    seed(one.lab, one.name, stack="mint-data")
    began = time.monotonic()
    as_root = _collect(one)
    seconds = time.monotonic() - began
    through_sudo = _collect(one, ansible_user="ops", ansible_become=True)
    for evidence in (as_root, through_sudo):
        assert _statuses(evidence) == {}
        assert set(evidence.probes) == set(SHAPES)
        reader = Reader(evidence)
        for probe in SHAPES:
            getattr(reader, {"docker_containers": "containers", "docker_volumes": "volumes", "docker_images": "images"}.get(probe, probe))
        assert reader.identity["euid"] == 0
        assert reader.redis["mint-modules-redis"]["reachable"] is True
        assert reader.redis["mint-modules-redis"]["persisted_from"] == "command line"
        assert reader.postgres["mint-modules-postgres"]["persisted"]["fsync"] == "on"
        blank = [number for number, device in reader.block.items() if device["loop_file"] == str(one.data_file)]
        assert [reader.signatures[number]["blkid"] for number in blank] == [{}]
    assert seconds < 20, f"collecting took {seconds:.1f} s"


def test_a_login_without_rights_degrades_to_failed_probes(machine: Machines) -> None:
    evidence = _collect(machine(services=True), ansible_user="ops")
    assert Reader(evidence).identity["euid"] != 0
    assert evidence.probes["docker_info"].status == "failed"
    assert evidence.probes["signatures"].status == "failed"


def test_redis_is_asked_with_the_password_that_its_container_has_and_the_password_stays_there(machine: Machines) -> None:
    one = machine(services=True)
    one.sh(REDISES)
    evidence = _collect(one, _desired(one))
    assert CANARY not in json.dumps(evidence.model_dump(mode="json"))
    redis = Reader(evidence).redis
    by_command, by_file = redis["by-command"], redis["by-file"]
    assert (by_command["reachable"], by_command["error"], by_command["keys"]) == (True, None, 1)
    assert (by_command["running"]["appendonly"], by_command["persisted"]["appendonly"]) == ("yes", "yes")
    assert any(name.startswith("appendonlydir/") for name in by_command["aof_files"])
    assert (by_file["running"]["appendonly"], by_file["persisted"]["appendonly"], by_file["persisted"]["save"]) == ("yes", "no", "900 1")
    assert by_file["persisted_from"] == "/conf/redis.conf and command line"
    assert (redis["not-there"]["reachable"], redis["not-there"]["error"]) == (False, "there is no container of this name")


def test_data_is_told_where_it_lands_not_where_the_volume_says(machine: Machines) -> None:
    one = machine(services=True)
    one.sh(REDISES)
    reader = Reader(_collect(one, _desired(one)))
    containers = {container["name"]: container for container in reader.containers}
    [pinned] = containers["by-command"]["mounts"]
    assert (pinned["host_path"], pinned["anonymous"]) == ("/mnt/elsewhere", False)
    assert [mount["anonymous"] for mount in containers["by-file"]["mounts"] if mount["destination"] == "/data"] == [True]
    assert reader.paths["/mnt/elsewhere"]["exists"] is True
    assert str(containers["by-command"]["upper_dir"]).startswith("/var/lib/docker/overlay2/")


def test_what_lies_beneath_a_mount_is_seen_past_it_and_nothing_is_left_mounted(machine: Machines) -> None:
    one = machine()
    one.sh(
        f"mkdir -p /mnt/data/shadowed; touch /mnt/data/file; chattr +i /mnt/data; mkfs.ext4 -q {one.data_device}; mount {one.data_device} /mnt/data"
    )
    before = one.sh("cat /proc/self/mountinfo; ls -A /run")
    reader = Reader(_collect(one, _desired(one)))
    bare = reader.beneath["/mnt/data"]
    assert bare == {"exists": True, "entries": 2, "sample": ["file", "shadowed"], "immutable": True}
    assert reader.paths["/mnt/data/redis"]["nearest"] == "/mnt/data"
    assert reader.paths["/mnt/data/redis"]["mount"] == "/mnt/data"
    assert one.sh("cat /proc/self/mountinfo; ls -A /run") == before


def test_a_docker_that_is_down_is_unknown_not_absent(machine: Machines) -> None:
    one = machine(services=True)
    one.sh("systemctl stop docker.socket docker containerd")
    evidence = _collect(one)
    assert {evidence.probes[name].status for name in ("docker_info", "docker_containers", "redis", "postgres")} == {"failed"}
    assert evidence.probes["docker_config"].status == "ok"


def test_a_service_that_is_frozen_takes_no_other_probe_with_it(machine: Machines) -> None:
    one = machine(services=True)
    one.sh(REDISES)
    one.sh("docker pause by-command >/dev/null")
    began = time.monotonic()
    try:
        evidence = _collect(one, _desired(one))
    finally:
        # A frozen process can't be killed, and the machine would not end.
        one.sh("docker unpause by-command >/dev/null")
    assert time.monotonic() - began < 30
    redis = Reader(evidence).redis
    assert redis["by-command"]["reachable"] is False
    assert redis["by-file"]["reachable"] is True
    assert _statuses(evidence) == {}


def test_a_host_key_that_is_not_pinned_is_refused_and_told(machine: Machines, tmp_path: Any) -> None:
    one = machine()
    (tmp_path / "config").write_text(one.ssh_config.read_text().replace("Include ", f"UserKnownHostsFile {tmp_path}/none\nInclude "))
    route = InventoryHost(name=one.name, variables={"ansible_ssh_common_args": f"-F {tmp_path}/config"})
    seen = AnsibleEvidence(SystemClock()).collect([route], {})[one.name]
    assert not isinstance(seen, Evidence)
    assert "it offers ssh-ed25519 SHA256:" in seen.reason
    assert "Compare that with" in seen.reason
