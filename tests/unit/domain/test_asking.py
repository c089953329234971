"""What the collector is asked to look at."""

from __future__ import annotations

from controlplane.domain.asking import what_to_ask
from controlplane.domain.desired import DesiredHost
from controlplane.domain.disks import Disk, NfsMount
from controlplane.domain.policy import Docker
from controlplane.domain.services import Auth, RedisService, Stack, WriteSurface
from tests.fakes.machine_builder import brought_up, declared_machine


def test_without_a_desired_state_nothing_more_is_asked() -> None:
    nothing: dict[str, object] = {"paths": [], "mounts": [], "services": {}, "write_surfaces": [], "store": False, "limits": {}}
    assert what_to_ask(None) == nothing
    assert what_to_ask(DesiredHost.general("a")) == nothing


def test_every_place_that_the_desired_state_names_is_asked_for() -> None:
    desired = DesiredHost(
        host="a",
        disks=(Disk(serial="DATA0001", min_size=1, max_size=2, mount="/mnt/data"),),
        nfs=(NfsMount(source="nas:/tank", mount="/mnt/docker"),),
        docker=Docker(data_root="/mnt/data/docker", containerd_root="/mnt/data/containerd"),
        services={"cache": RedisService(data="/data", place="/mnt/data/redis", auth=Auth(password_env="REDIS_PASSWORD"))},
        stacks=(Stack(project="p", dir="/opt/stacks/p"),),
        write_surfaces=(WriteSurface(container="web", path="/tmp/uploads", place="/mnt/data/uploads"),),
    )
    asked = what_to_ask(desired)
    assert asked["mounts"] == ["/mnt/data", "/mnt/docker"]
    assert asked["paths"] == [
        "/mnt/data",
        "/mnt/data/containerd",
        "/mnt/data/docker",
        "/mnt/data/redis",
        "/mnt/data/uploads",
        "/mnt/docker",
        "/opt/stacks/p",
    ]
    assert asked["services"] == {
        "cache": {"kind": "redis", "data": "/data", "place": "/mnt/data/redis", "volume": None, "auth": {"password_env": "REDIS_PASSWORD"}}
    }
    assert asked["write_surfaces"] == [{"container": "web", "path": "/tmp/uploads", "place": "/mnt/data/uploads", "limited": False}]


def test_a_declared_machine_is_asked_for_what_its_baseline_names() -> None:
    asked = what_to_ask(DesiredHost(host="a", machine=brought_up()))
    assert asked["packages"] == ["rsync", "openssh-server", "cron", "systemd-timesyncd", "docker.io", "borgbackup"]
    assert asked["units"] == ["ssh.service", "cron.service", "systemd-timesyncd.service", "docker.service", "borg.timer", "node-exporter.service"]
    assert asked["network"] is True


def test_a_machine_of_which_only_nameservers_are_declared_is_asked_for_its_network_too() -> None:
    assert what_to_ask(DesiredHost(host="a", machine=declared_machine()))["network"] is False
    assert what_to_ask(DesiredHost(host="a", machine=declared_machine(nameservers=("192.0.2.53",))))["network"] is True
