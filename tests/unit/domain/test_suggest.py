from __future__ import annotations

from typing import Any

import pytest

from controlplane.adapters.strict_yaml import parse_document
from controlplane.domain.evidence import Evidence
from controlplane.domain.faults import fault_at, validated
from controlplane.domain.policy import HostPolicy, Policy
from controlplane.domain.policy_rules import policy_faults
from controlplane.domain.services import RedisService
from controlplane.domain.suggest import suggest_policy
from tests.fakes.evidence_builder import BOOT, DATA, GB, MINIO, POSTGRES, REDIS, EvidenceBuilder, bind, container, device, mount


def valid(*evidence: Evidence) -> Policy:
    text = suggest_policy(evidence)
    document = parse_document(text, "policy.yml")
    policy, faults = validated(Policy, document.data, document)
    faults += [*document.faults, *(fault_at(document, place, message) for place, message in policy_faults(document.data, None))]
    assert [str(fault) for fault in faults] == [], text
    assert policy is not None
    return policy


def host(builder: EvidenceBuilder) -> HostPolicy:
    return valid(builder.build()).hosts["mint-data"]


def boot_only() -> EvidenceBuilder:
    builder = EvidenceBuilder()
    del builder.probes["block"][DATA], builder.probes["signatures"][DATA]
    builder.probes["mounts"] = [one for one in builder.probes["mounts"] if one["mount"] != "/mnt/data"]
    return builder


def test_a_machine_as_it_should_be_is_drafted_as_it_is() -> None:
    drafted = host(EvidenceBuilder())
    [disk] = drafted.disks
    assert (drafted.tier, disk.serial, disk.mount, disk.min_size, disk.max_size) == ("data-disk", "DATA0001", "/mnt/data", 90 * GB, 111 * GB)
    assert (drafted.docker.data_root, drafted.docker.containerd_root) == ("/mnt/data/docker", "/mnt/data/containerd")
    assert {name: (service.kind, service.place) for name, service in drafted.services.items()} == {
        MINIO: ("minio", "/mnt/data/mint-data/minio"),
        POSTGRES: ("postgres", "/mnt/data/mint-data/postgres"),
        REDIS: ("redis", "/mnt/data/mint-data/redis"),
    }
    assert [stack.dir for stack in drafted.stacks] == ["/opt/stacks/mint-data"]


def test_a_blank_disk_and_an_engine_on_the_boot_disk_become_guesses() -> None:
    builder = EvidenceBuilder()
    builder.probes["mounts"] = [one for one in builder.probes["mounts"] if one["mount"] != "/mnt/data"]
    builder.probes["signatures"][DATA] = {"uuid": None, "type": None, "label": None, "blkid": {}, "wipefs": []}
    builder.probes["docker_info"]["root"] = "/var/lib/docker"
    builder.container(REDIS)["mounts"] = [bind("/var/lib/docker/volumes/0f/_data", "/data", type="volume", name="0f", anonymous=True)]
    builder.container(POSTGRES)["mounts"] = [bind("/var/lib/docker/volumes/pg/_data", "/var/lib/postgresql/data", type="volume", name="pg")]
    drafted = host(builder)
    assert drafted.disks[0].mount == "/mnt/data"
    assert drafted.docker.data_root == "/mnt/data/docker"
    assert drafted.services[POSTGRES].volume == "pg"
    redis = drafted.services[REDIS]
    assert isinstance(redis, RedisService)
    assert (redis.place, redis.durability.appendonly) == (f"/mnt/data/mint-data/{REDIS}", True)
    text = suggest_policy([builder.build()])
    assert "# guessed; now /var/lib/docker\n" in text
    assert "# guessed; now an anonymous volume\n" in text
    assert "vdb is blank and in nobody's use; that it is meant for data is a guess, and so is the mount" in text


def test_a_machine_with_one_disk_is_boot_only_and_what_it_keeps_waits_for_a_decision() -> None:
    builder = boot_only().boot_path("/srv/wiki")
    builder.probes["docker_containers"] = [container("wiki", [bind("/srv/wiki", "/data")])]
    drafted = host(builder)
    assert (drafted.tier, drafted.disks, drafted.services) == ("boot-only", (), {})
    assert [(one.container, one.path) for one in drafted.boot_accepted] == [("wiki", "/data")]


@pytest.mark.parametrize(
    "used",
    [{"holders": ["254:32"]}, {"partitions": ["254:17"]}, {"read_only": True}, {"size": GB - 1}, {"serial": None}],
    ids=["held", "partitioned", "read-only", "small", "nameless"],
)
def test_a_disk_that_is_not_plainly_free_is_not_drafted(used: dict[str, Any]) -> None:
    builder = boot_only()
    builder.probes["docker_containers"] = []
    builder.probes["block"]["254:16"] = device("vdb", 100 * GB) | {"serial": "DATA0001"} | used
    builder.probes["signatures"]["254:16"] = {"uuid": None, "type": None, "label": None, "blkid": {}, "wipefs": []}
    assert host(builder).disks == ()


@pytest.mark.parametrize("name", ["zram1", "nbd0", "zd0"])
def test_a_blank_device_that_is_no_disk_is_not_drafted_and_spoils_no_other_guess(name: str) -> None:
    builder = EvidenceBuilder()
    builder.probes["block"]["252:0"] = device(name, 100 * GB, serial="X")
    builder.probes["signatures"]["252:0"] = {"uuid": None, "type": None, "label": None, "blkid": {}, "wipefs": []}
    assert [disk.serial for disk in host(builder).disks] == ["DATA0001"]


def test_a_mounted_device_of_which_nothing_shows_its_disks_is_said() -> None:
    builder = EvidenceBuilder()
    builder.probes["block"][DATA]["name"] = "drbd0"
    assert host(builder).disks == ()
    told = "# Which disks there are could not be seen (drbd0 (254:16) is a stacked device and the host showed nothing under it)"
    assert told in suggest_policy([builder.build()])


def test_a_partition_is_named_by_its_filesystem() -> None:
    builder = EvidenceBuilder()
    builder.probes["block"]["254:17"] = device("vdb1", 99 * GB, partition_of=DATA)
    builder.probes["block"][DATA]["partitions"] = ["254:17"]
    builder.probes["signatures"]["254:17"] = builder.probes["signatures"][DATA]
    builder.probes["mounts"][1] = mount("/mnt/data", "254:17")
    [disk] = host(builder).disks
    assert disk.identity_kind == "uuid"


@pytest.mark.parametrize("probe", ["block", "mounts", "signatures", "docker_info", "docker_containers", "docker_config"])
@pytest.mark.parametrize("status", ["failed", "timeout"])
def test_what_was_not_seen_is_said_and_not_guessed(probe: str, status: str) -> None:
    builder = EvidenceBuilder().fail(probe, status)
    valid(builder.build())
    assert "could not be seen" in suggest_policy([builder.build()])


def test_a_machine_without_docker_is_drafted_without_it() -> None:
    drafted = host(EvidenceBuilder().without_docker())
    assert (drafted.tier, drafted.services, drafted.docker.data_root) == ("data-disk", {}, None)


def test_what_a_machine_calls_itself_can_not_write_into_the_draft() -> None:
    builder = EvidenceBuilder()
    evil = "x\nhosts: {evil: {tier: boot-only}}\n#"
    builder.container(MINIO)["image"] = evil
    builder.probes["docker_containers"].append(container("bad\nname: 1", [bind("/x", "/y")]))
    builder.probes["docker_containers"].append(container("dir", [bind("/mnt/data/{{ x }}", "/{{ x }}")], compose_dir=evil, compose_project=evil))
    builder.probes["docker_containers"].append(container("other", [bind(evil, "/true"), bind("/mnt/data/a b", "/yes #no")]))
    assert list(valid(builder.build()).hosts) == ["mint-data"]


def test_several_hosts_are_sorted_and_none_is_a_valid_policy() -> None:
    assert list(valid(EvidenceBuilder().build("b"), boot_only().build("a")).hosts) == ["a", "b"]
    assert valid().hosts == {}
    assert BOOT not in suggest_policy([EvidenceBuilder().build()])
