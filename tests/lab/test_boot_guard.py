"""A boot without the data disk, or with somebody else's: ssh is up, Docker is down, nothing is written, and the reason is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.playing import play
from tests.lab.test_data_disk import MOUNT, UUID
from tests.lab.test_data_disk import wanted as disk
from tests.lab.test_fstab import wanted as entries

pytestmark = [pytest.mark.lab, pytest.mark.slow]


@pytest.fixture
def guarded(machine: Callable[..., LabMachine], tmp_path: Path) -> LabMachine:
    """Return a machine whose Docker has its root on the data disk, placed and guarded by the roles."""
    one = machine(data_bytes=2**31)
    for role, variables in (("data_disk", disk(one)), ("fstab", entries())):
        played = play(one, role, variables, tmp_path)
        assert played.code == 0, played.text
    one.sh(
        'systemctl stop docker.socket docker && mkdir -p /etc/docker && echo \'{"data-root": "/mnt/data/docker"}\' > /etc/docker/daemon.json'
        " && systemctl start docker && docker info -f '{{.DockerRootDir}}'"
    )
    return one


def assert_docker_is_down_and_the_mountpoint_empty(machine: LabMachine) -> None:
    assert machine.sh("echo ssh is up") == "ssh is up\n"
    assert machine.run(["systemctl", "is-active", "docker.service"]).stdout.strip() in {"inactive", "failed"}
    assert machine.run(["systemctl", "is-active", "containerd.service"]).stdout.strip() in {"inactive", "failed"}
    assert machine.run(["findmnt", MOUNT]).returncode != 0
    # Asking for Docker once more, by hand or through its socket, changes nothing about that.
    assert machine.run(["systemctl", "start", "docker.service"]).returncode != 0
    assert machine.run(["timeout", "20", "docker", "ps"]).returncode != 0
    assert machine.sh(f"ls -A {MOUNT}") == ""
    assert machine.run(["touch", f"{MOUNT}/stray"]).returncode != 0
    told = machine.sh(
        "systemctl status docker.service mnt-data.mount --no-pager || true;"
        " journalctl -b --no-pager -u docker.service -u mnt-data.mount -u init.scope"
    )
    assert "Dependency failed for docker.service" in told or "start failed with result 'dependency'" in told, told
    assert UUID in told, told


def test_without_its_disk_the_machine_boots_to_ssh_and_docker_stays_down(guarded: LabMachine) -> None:
    guarded.down()
    guarded.up(data_disk="none", services=False)
    assert_docker_is_down_and_the_mountpoint_empty(guarded)

    guarded.down()
    guarded.up(data_disk="own", services=False)
    assert guarded.sh(f"findmnt -no UUID {MOUNT}").strip() == UUID
    assert guarded.sh("docker info -f '{{.DockerRootDir}}'") == "/mnt/data/docker\n"


def test_with_a_foreign_disk_docker_stays_down_even_if_somebody_mounts_it(guarded: LabMachine) -> None:
    guarded.down()
    guarded.up(data_disk="foreign", services=False)
    assert_docker_is_down_and_the_mountpoint_empty(guarded)

    guarded.sh(f"mount {guarded.data_device} {MOUNT}")
    before = guarded.sh(f"ls -A {MOUNT}")
    assert guarded.run(["systemctl", "start", "docker.service"]).returncode != 0
    assert f"controlplane: {MOUNT} is not the filesystem {UUID}" in guarded.sh(
        "systemctl status docker.service containerd.service --no-pager || true"
    )
    assert guarded.sh(f"ls -A {MOUNT}") == before
