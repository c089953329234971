"""A boot without the data disk, or with somebody else's: ssh is up, Docker is down, nothing is written, and the reason is told."""

from __future__ import annotations

import time
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
    assert machine.run(["systemctl", "is-active", "docker.socket"]).stdout.strip() in {"inactive", "failed"}
    # Nobody hangs on a socket behind which nothing will ever answer.
    asked_at = time.monotonic()
    assert "Cannot connect to the Docker daemon" in machine.run(["timeout", "20", "docker", "ps"]).stderr
    assert time.monotonic() - asked_at < 5
    assert machine.run(["findmnt", MOUNT]).returncode != 0
    # Asking for Docker once more, by hand or through its socket, changes nothing about that.
    assert machine.run(["systemctl", "start", "docker.service"]).returncode != 0
    assert machine.run(["systemctl", "start", "docker.socket"]).returncode != 0
    assert machine.run(["timeout", "20", "docker", "ps"]).returncode != 0
    assert machine.sh(f"ls -A {MOUNT}") == ""
    assert machine.run(["touch", f"{MOUNT}/stray"]).returncode != 0
    told = machine.sh(
        "systemctl status docker.service mnt-data.mount --no-pager || true;"
        " journalctl -b --no-pager -u docker.service -u mnt-data.mount -u init.scope"
    )
    assert "Dependency failed for docker.service" in told or "start failed with result 'dependency'" in told, told
    assert UUID in told, told


def at(machine: LabMachine, unit: str) -> int:
    """Return when the unit became active on the host's monotonic clock, in microseconds; 0 if it did not."""
    return int(machine.sh(f"systemctl show -p ActiveEnterTimestampMonotonic --value {unit}"))


def test_with_its_disk_the_socket_is_up_after_the_mount_and_brings_docker_without_a_cycle(guarded: LabMachine) -> None:
    guarded.sh("systemctl disable --quiet docker.service")
    guarded.reboot()
    assert "ordering cycle" not in guarded.sh("journalctl -b --no-pager")
    assert at(guarded, "docker.socket") >= at(guarded, "mnt-data.mount") > 0
    # Only the socket is started by the boot; the first client starts Docker through it.
    assert guarded.sh("docker info -f '{{.DockerRootDir}}'") == "/mnt/data/docker\n"
    assert guarded.sh("systemctl is-active docker.service") == "active\n"


# With a kernel of its own in tests/vm/test_vm.py.
@pytest.mark.long
def test_without_its_disk_the_machine_boots_to_ssh_and_docker_stays_down(guarded: LabMachine) -> None:
    guarded.down()
    guarded.up(data_disk="none", services=False)
    # What waits for the disk is Docker alone: ssh was there long before the disk's ten seconds were up.
    assert 0 < at(guarded, "sysinit.target") < at(guarded, "ssh.service") < at(guarded, "sysinit.target") + 8_000_000
    assert_docker_is_down_and_the_mountpoint_empty(guarded)

    guarded.down()
    guarded.up(data_disk="own", services=False)
    assert guarded.sh(f"findmnt -no UUID {MOUNT}").strip() == UUID
    assert guarded.sh("docker info -f '{{.DockerRootDir}}'") == "/mnt/data/docker\n"


@pytest.mark.long
def test_with_a_foreign_disk_docker_stays_down_even_if_somebody_mounts_it(guarded: LabMachine) -> None:
    guarded.down()
    guarded.up(data_disk="foreign", services=False)
    assert_docker_is_down_and_the_mountpoint_empty(guarded)

    guarded.sh(f"mount {guarded.data_device} {MOUNT}")
    before = guarded.sh(f"ls -A {MOUNT}")
    assert guarded.run(["systemctl", "start", "docker.socket"]).returncode != 0
    assert guarded.run(["systemctl", "start", "docker.service"]).returncode != 0
    assert f"controlplane: {MOUNT} is not the filesystem {UUID}" in guarded.sh(
        "systemctl status docker.service containerd.service --no-pager || true"
    )
    assert guarded.sh(f"ls -A {MOUNT}") == before
