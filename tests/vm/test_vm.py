"""Virtual machines themselves: their disks by serial, their reboots, power cuts and snapshots, and that nothing is left after them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.adapters.lab import processes
from controlplane.adapters.lab.lab import Lab
from controlplane.adapters.lab.records import read_record
from controlplane.domain.errors import RefusedError
from tests.vm.conftest import VirtualMachine

pytestmark = pytest.mark.vm

Make = Callable[..., VirtualMachine]


def emulators_of(name: str) -> list[str]:
    """Return the command lines that name the machine, without those of tests."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if words.startswith("qemu-system") and f"/{name}/" in words:
                found.append(words)
    return found


def identity(host: VirtualMachine) -> list[str]:
    return host.sh("cat /etc/machine-id /etc/hostname /etc/ssh/ssh_host_ed25519_key.pub; findmnt -no UUID /").split("\n")


def test_a_machine_boots_its_own_kernel_from_disks_that_are_known_by_their_serials(vm: Make) -> None:
    host = vm()
    assert host.by_id() == {host.serial.replace("DATA", "BOOT"): "/dev/vda", host.serial: "/dev/vdb"}
    assert host.sh("findmnt -no SOURCE,FSTYPE /").split() == ["/dev/vda", "ext4"]
    assert host.sh("uname -r").strip().endswith("-cloud-amd64")
    assert host.sh(f"blkid -p {host.data_device} || echo blank").strip() == "blank"
    assert host.status.system == "running"
    assert host.sh("docker run --rm lab/services:1 echo ran").strip() == "ran"


def test_a_reset_goes_back_to_the_first_start_within_seconds_and_knows_what_time_it_is(vm: Make) -> None:
    host = vm()
    before = (host.boot_id(), identity(host))
    host.sh(f"echo used > /root/used && mkfs.ext4 -q {host.data_device} && sync")
    host = vm()
    assert (host.boot_id(), identity(host)) == before
    assert host.sh("ls /root").strip() == ""
    assert host.sh(f"blkid -p {host.data_device} || echo blank").strip() == "blank"
    assert abs(float(host.sh("date +%s.%N")) - time.time()) < 30


def mount_by_uuid(host: VirtualMachine) -> None:
    """Make a filesystem on the data disk and mount it by fstab, as a site would that names disks by serial."""
    host.sh(f"mkfs.ext4 -q {host.data_device} && udevadm settle && mkdir /mnt/data")
    uuid = host.sh(f"blkid -p -o value -s UUID {host.data_device}").strip()
    line = f"UUID={uuid} /mnt/data ext4 defaults,nofail,x-systemd.device-timeout=30s 0 2"
    host.sh(f"echo '{line}' >> /etc/fstab && systemctl daemon-reload && mount /mnt/data")


def guard_docker(host: VirtualMachine) -> None:
    """Put Docker's root on the data disk, and let neither daemon start without it."""
    host.sh("systemctl stop docker.socket docker containerd && cp -a /var/lib/docker /mnt/data/", timeout=600)
    host.run(["tee", "/etc/docker/daemon.json"], stdin=b'{"data-root": "/mnt/data/docker"}')
    drop_in = "[Unit]\\nRequiresMountsFor=/mnt/data\\nAssertPathIsMountPoint=/mnt/data\\n"
    for unit in ("docker.service", "containerd.service"):
        host.sh(f"mkdir -p /etc/systemd/system/{unit}.d && printf '{drop_in}' > /etc/systemd/system/{unit}.d/guard.conf")
    host.sh("systemctl daemon-reload && systemctl start docker && sync", timeout=600)


def state_of_docker(host: VirtualMachine) -> str:
    return host.run(["systemctl", "is-active", "docker.service"]).stdout.strip()


def test_docker_starts_after_its_disk_at_each_boot_stays_down_without_it_and_comes_back_once_it_appears(vm: Make) -> None:
    host = vm()
    mount_by_uuid(host)
    guard_docker(host)
    boot = host.boot_id()
    host.reboot()
    assert host.boot_id() != boot
    assert host.sh("findmnt -no SOURCE /mnt/data").strip() == "/dev/vdb"
    assert host.sh("docker info -f '{{.DockerRootDir}}'").strip() == "/mnt/data/docker"
    host.down()
    host.up(data_disk="none", services=False)
    assert list(host.by_id().values()) == ["/dev/vda"]
    assert state_of_docker(host) != "active"
    assert host.sh("ls -A /mnt/data").strip() == ""
    host.plug()
    host.sh("udevadm settle && systemctl start mnt-data.mount && systemctl start docker", timeout=600)
    assert host.serial in host.by_id()
    assert host.sh("docker info -f '{{.DockerRootDir}}'").strip() == "/mnt/data/docker"


def test_a_power_cut_keeps_what_was_synced_and_the_disks_are_found_again_in_the_other_order(vm: Make) -> None:
    host = vm()
    mount_by_uuid(host)
    for folder in ("/mnt/data", "/root"):
        host.sh(f"echo kept > {folder}/kept && sync -f {folder} && echo lost > {folder}/lost")
    boot = host.boot_id()
    host.cut()
    assert emulators_of(host.name) == []
    host.up(data_first=True, services=False)
    assert host.boot_id() != boot
    assert host.by_id() == {host.serial.replace("DATA", "BOOT"): "/dev/vdb", host.serial: "/dev/vda"}
    assert host.sh("findmnt -no SOURCE / && findmnt -no SOURCE /mnt/data").split() == ["/dev/vdb", "/dev/vda"]
    for folder in ("/mnt/data", "/root"):
        assert host.sh(f"cat {folder}/kept").strip() == "kept"
        assert host.sh(f"cat {folder}/lost 2>/dev/null || true").strip() == ""


def test_a_data_disk_can_be_pulled_and_another_one_plugged_in(vm: Make) -> None:
    host = vm()
    mine = host.serial
    host.sh(f"mkfs.ext4 -q -L mine {host.data_device}")
    host.unplug()
    assert host.sh("udevadm settle; ls /dev/disk/by-id").split() == [f"virtio-{mine.replace('DATA', 'BOOT')}"]
    host.plug("foreign")
    assert host.sh(f"udevadm settle; blkid -p -o value -s LABEL {host.data_device}").strip() == "foreign"
    assert host.serial == mine.replace("DATA", "ELSE")
    with pytest.raises(RefusedError) as refusal:
        host.plug("own")
    assert str(refusal.value) == f"{host.name} runs with data disk 'foreign' and takes no other one. Nothing was changed."
    host.unplug()
    host.plug("own")
    assert host.sh(f"udevadm settle; blkid -p -o value -s LABEL {host.data_device}").strip() == "mine"


def test_after_down_nothing_runs(vm: Make, lab: Lab) -> None:
    host = vm()
    assert len(emulators_of(host.name)) == 1
    lab.down([host.name])
    assert emulators_of(host.name) == []
    assert {status.name: status.state for status in lab.status()}[host.name] == "off"


@pytest.mark.parametrize("left", ["an emulator without a record", "a record without its emulator"])
def test_what_a_killed_run_left_is_shown_and_cleaned(vm: Make, lab: Lab, left: str) -> None:
    host = vm()
    files = lab.home.machine(host.name)
    if left == "an emulator without a record":
        files.record.unlink()
    else:
        processes.end(read_record(files).processes())
    assert {status.name: status.state for status in lab.status()}[host.name] == "leftover"
    lab.down([host.name])
    assert emulators_of(host.name) == []
    assert not files.record.exists()
    assert {status.name: status.state for status in lab.status()}[host.name] == "off"


@pytest.mark.slow
def test_two_machines_share_no_identity_and_do_not_see_each_other(vm: Make) -> None:
    first, second = vm(), vm(1)
    assert set(identity(first)) & set(identity(second)) == {""}
    assert first.serial != second.serial
    assert first.run(["nc", "-z", "-w", "2", "10.0.2.2", str(second.status.port)]).returncode != 0
    second.lab.down([second.name], destroy=True)


def loops_below(folder: Path) -> list[str]:
    loops = subprocess.run(["losetup", "-n", "-O", "BACK-FILE"], check=True, capture_output=True, text=True).stdout
    return [line for line in loops.splitlines() if line.startswith(f"{folder}/")]


@pytest.mark.parametrize("after_s", [1.6, 4.0, *(pytest.param(later, marks=pytest.mark.slow) for later in (0.8, 2.4, 3.2, 6.0, 8.0))])
def test_an_up_that_is_killed_anywhere_leaves_nothing_that_down_does_not_end(lab: Lab, after_s: float) -> None:
    name = f"t-{os.getpid()}-9"
    up = [sys.executable, "-m", "controlplane", "lab", "up", "--vm", name]
    killed = subprocess.Popen(up, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after_s)
    killed.kill()
    killed.wait()
    lab.down([name], destroy=True)
    assert emulators_of(name) == []
    assert loops_below(lab.home.machine(name).path) == []
    assert name not in lab.known()


@pytest.mark.slow
def test_ups_that_are_killed_one_after_the_other_are_mended_by_the_next_one(vm: Make) -> None:
    host = vm(2)
    host.lab.down([host.name], destroy=True)
    up = [sys.executable, "-m", "controlplane", "lab", "up", "--vm", host.name]
    for after_s in (1.5, 3.0, 4.5, 7.0):
        killed = subprocess.Popen(up, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(after_s)
        killed.kill()
        killed.wait()
    host.up(vm=True, services=False)
    assert host.status.system == "running"
    assert len(emulators_of(host.name)) == 1


@pytest.mark.slow
def test_a_machine_whose_boot_disk_is_full_boots_and_is_reached(vm: Make) -> None:
    host = vm()
    host.sh("fallocate -l $(df --output=avail -B1 / | tail -n1) /root/full")
    # What is kept for root goes as well.
    assert "No space left" in host.run(["sh", "-c", "cat /dev/zero > /root/more"]).stderr
    host.reboot()
    assert host.sh("findmnt -no SOURCE /").strip() == "/dev/vda"


@pytest.mark.slow
def test_a_filesystem_on_encrypted_lvm_is_what_a_real_kernel_makes_of_it(vm: Make) -> None:
    host = vm()
    host.sh(f"pvcreate -q {host.data_device} && vgcreate -q data {host.data_device} && lvcreate -q -y -L 1G -n safe data")
    host.sh("printf key | cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 256 --hash sha256 /dev/data/safe open")
    host.sh("mkfs.ext4 -q /dev/mapper/open && mount /dev/mapper/open /mnt && echo kept > /mnt/kept")
    assert host.sh("lsblk -snlo TYPE /dev/mapper/open").split() == ["crypt", "lvm", "disk"]
