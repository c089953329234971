"""The lab itself: what a machine is, what is left after it, and that a killed run is cleaned up."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from controlplane.adapters.lab import processes
from controlplane.adapters.lab.lab import Lab
from controlplane.adapters.lab.records import read_record
from controlplane.domain.errors import RefusedError

if TYPE_CHECKING:
    from tests.lab.conftest import LabMachine

    Make = Callable[..., LabMachine]

pytestmark = pytest.mark.lab


def held_by_the_host(tag: str) -> dict[str, list[str]]:
    """Return what machines can hold on the host, by kind, of the machines whose name contains `tag`."""
    loops = subprocess.run(["losetup", "-n", "-O", "BACK-FILE"], check=True, capture_output=True, text=True).stdout
    processes = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if tag in words and "pytest" not in words:
                processes.append(words)
    return {
        "loops": [line for line in loops.splitlines() if tag in line],
        "namespaces": [entry.name for entry in Path("/run/netns").glob(f"*{tag}*")],
        "mounts": [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if tag in line],
        "cgroups": [str(entry) for entry in Path("/sys/fs/cgroup").glob(f"*/*{tag}*")],
        "processes": processes,
    }


NOTHING: dict[str, list[str]] = {"loops": [], "namespaces": [], "mounts": [], "cgroups": [], "processes": []}


def test_a_machine_has_its_root_on_its_own_ext4_disk_and_a_blank_second_disk(machine: Make) -> None:
    host = machine()
    assert host.sh("findmnt -no SOURCE,FSTYPE /").split() == [host.status.boot_device, "ext4"]
    assert host.sh(f"cat /sys/block/{Path(host.data_device).name}/loop/backing_file").strip() == str(host.data_file)
    assert host.sh(f"blkid -p {host.data_device} || echo blank").strip() == "blank"
    assert host.sh("cat /proc/1/comm").strip() == "systemd"
    assert host.sh("findmnt -no FSTYPE --target /tmp").strip() == "ext4"


def test_only_the_machines_own_disks_have_device_nodes_in_it(machine: Make) -> None:
    first, second = machine(), machine(data_disk=False)
    nodes = "find /dev -type b | sort"
    assert first.sh(nodes).split() == sorted([first.status.boot_device, first.status.data_device])
    assert second.sh(nodes).split() == [second.status.boot_device]


def test_a_filesystem_on_the_data_disk_gets_its_uuid_link_and_is_mounted_by_fstab_after_a_reboot(machine: Make) -> None:
    host = machine()
    host.sh(f"mkfs.ext4 -q {host.data_device} && udevadm settle")
    uuid = host.sh(f"blkid -p -o value -s UUID {host.data_device}").strip()
    assert host.sh(f"readlink -f /dev/disk/by-uuid/{uuid}").strip() == host.data_device
    host.sh(f"mkdir /mnt/data && echo 'UUID={uuid} /mnt/data ext4 defaults,nofail 0 2' >> /etc/fstab && systemctl daemon-reload")
    boot = host.sh("cat /proc/sys/kernel/random/boot_id")
    host.reboot()
    assert host.sh("cat /proc/sys/kernel/random/boot_id") != boot
    assert host.sh("findmnt -no SOURCE /mnt/data").strip() == host.data_device
    assert host.status.system == "running"


def test_a_power_cut_keeps_what_was_synced_and_loses_what_was_not(machine: Make) -> None:
    host = machine()
    host.sh(f"mkfs.ext4 -q {host.data_device} && mkdir /mnt/data && mount {host.data_device} /mnt/data")
    for folder in ("/mnt/data", "/root"):
        host.sh(f"echo kept > {folder}/kept && sync -f {folder} && echo lost > {folder}/lost")
    host.cut()
    assert held_by_the_host(host.name) == NOTHING
    host.up(services=False)
    host.sh(f"mount {host.data_device} /mnt/data")
    for folder in ("/mnt/data", "/root"):
        assert host.sh(f"cat {folder}/kept").strip() == "kept"
        assert host.sh(f"cat {folder}/lost 2>/dev/null || true").strip() == ""


def test_a_machine_starts_without_its_data_disk_and_with_a_foreign_one(machine: Make) -> None:
    host = machine()
    host.sh(f"mkfs.ext4 -q -L mine {host.data_device}")
    host.down()
    host.up(data_disk="none", services=False)
    assert host.sh("find /dev -type b").split() == [host.status.boot_device]
    host.down()
    host.up(data_disk="foreign", services=False)
    assert host.sh(f"blkid -p -o value -s LABEL {host.data_device}").strip() == "foreign"
    host.down()
    host.up(data_disk="own", services=False)
    assert host.sh(f"blkid -p -o value -s LABEL {host.data_device}").strip() == "mine"


def test_a_running_machine_refuses_another_data_disk_and_keeps_running(machine: Make) -> None:
    host = machine()
    boots = read_record(host.lab.home.machine(host.name))
    with pytest.raises(RefusedError) as refusal:
        host.up(data_disk="none")
    assert str(refusal.value) == (
        f"{host.name} runs with data disk 'own', not 'none'. Power it off first with 'controlplane lab down {host.name}'. Nothing was changed."
    )
    assert read_record(host.lab.home.machine(host.name)) == boots


def test_after_down_nothing_of_a_machine_is_left_on_the_host(machine: Make, lab: Lab) -> None:
    host = machine()
    assert len(held_by_the_host(host.name)["loops"]) == 2
    lab.down([host.name])
    assert held_by_the_host(host.name) == NOTHING
    host.up(services=False)
    lab.down([host.name], destroy=True)
    assert held_by_the_host(host.name) == NOTHING
    assert host.name not in lab.known()


@pytest.mark.parametrize(
    "victims", [pytest.param(("supervisor",), marks=pytest.mark.long), pytest.param(("nspawn",), marks=pytest.mark.long), ("supervisor", "nspawn")]
)
def test_after_a_kill_up_converges_on_the_same_disks(machine: Make, victims: tuple[str, ...]) -> None:
    host = machine()
    host.sh("echo kept > /root/kept && sync")
    record = read_record(host.lab.home.machine(host.name))
    processes.end(getattr(record, victim) for victim in victims)
    host.up(services=False)
    assert host.sh("cat /root/kept").strip() == "kept"
    assert read_record(host.lab.home.machine(host.name)).running()
    host.down()
    assert held_by_the_host(host.name) == NOTHING


def test_a_second_up_leaves_a_running_machine_alone(machine: Make) -> None:
    host = machine()
    before = host.sh("cat /proc/sys/kernel/random/boot_id")
    host.up(services=False)
    assert host.sh("cat /proc/sys/kernel/random/boot_id") == before


def test_swap_that_a_machine_switched_on_does_not_outlive_it(machine: Make) -> None:
    host = machine()
    before = Path("/proc/swaps").read_text()
    host.sh(f"mkswap -q {host.data_device} && swapon {host.data_device}")
    host.sh("dd if=/dev/zero of=/var/swap bs=1M count=8 status=none && chmod 600 /var/swap && mkswap -q /var/swap && swapon /var/swap")
    assert len(Path("/proc/swaps").read_text().splitlines()) == len(before.splitlines()) + 2
    processes.end(read_record(host.lab.home.machine(host.name)).processes())
    host.down()
    assert Path("/proc/swaps").read_text() == before
    assert held_by_the_host(host.name) == NOTHING


def test_containers_run_publish_ports_and_reach_each_other_by_bridge(machine: Make) -> None:
    host = machine(services=True)
    host.sh("docker run -d --name web -p 127.0.0.1:8080:80 lab/services:1 serve-app web 80")
    host.sh("for i in $(seq 50); do nc -z 127.0.0.1 8080 && break; sleep 0.1; done")
    fetch = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/health', timeout=5).status)"
    assert host.sh(f'python3 -c "{fetch}"').strip() == "200"
    host.sh("docker network create n && docker network connect n web")
    inside = "fetch('http://web/health').then(r => console.log(r.status))"
    assert host.sh(f'docker run --rm --network n lab/services:1 node -e "{inside}"').strip() == "200"


def test_a_login_without_root_becomes_root_by_sudo(machine: Make) -> None:
    host = machine()
    argv = ["ssh", "-F", str(host.ssh_config), f"ops@{host.name}", "id -un; sudo -n id -un"]
    assert subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split() == ["ops", "root"]


@pytest.mark.slow
def test_bookworms_own_engine_runs_with_compose_version_2(machine: Make) -> None:
    host = machine(engine="20.10")
    assert host.sh("docker version -f '{{.Server.Version}}'").startswith("20.10.")
    assert host.sh("docker compose version --short").strip().startswith("2.")


def test_the_containerd_image_store_keeps_layers_below_containerds_root(machine: Make) -> None:
    host = machine(image_store="containerd", services=True)
    assert "io.containerd.snapshotter.v1" in host.sh("docker info -f '{{.DriverStatus}}'")
    assert host.sh("docker run --rm lab/services:1 echo ran").strip() == "ran"


@pytest.mark.slow
@pytest.mark.parametrize("engine", [pytest.param("26", marks=pytest.mark.long), "20.10"])
def test_seeded_data_is_the_same_after_a_power_cut_and_after_a_reboot(machine: Make, engine: str) -> None:
    host = machine(services=True, engine=engine)
    before = host.lab.seed(host.name, stack="mint-data", rows=500, keys=100, objects=3, object_bytes=1000)
    assert before["containers"] == {
        "mint-modules-import": "exited",
        "mint-modules-minio": "running",
        "mint-modules-postgres": "running",
        "mint-modules-redis": "running",
    }
    assert (before["postgres"]["rows"], before["redis"]["keys"], len(before["objects"])) == (500, 100, 3)
    host.cut()
    host.up()
    assert host.lab.sentinels(host.name) == before
    host.reboot()
    assert host.lab.sentinels(host.name) == before


def test_sentinels_show_one_changed_row_key_and_object(machine: Make) -> None:
    host = machine(services=True)
    before = host.lab.seed(host.name, stack="mint-data", rows=50, keys=10, objects=2, object_bytes=100)
    host.sh("docker exec mint-modules-postgres psql -U postgres -c \"update orders set body = 'x' where id = 7\"")
    host.sh("docker exec mint-modules-redis redis-cli set quote:3 other")
    host.sh("docker exec mint-modules-minio node -e \"fetch('http://127.0.0.1:9000/artwork/artwork/1.bin', {method: 'PUT', body: 'x'})\"")
    after = host.lab.sentinels(host.name)
    assert after["postgres"]["rows"] == 50
    assert after["postgres"]["md5"] != before["postgres"]["md5"]
    assert after["redis"]["sha1"] != before["redis"]["sha1"]
    assert {key for key in after["objects"] if after["objects"][key] != before["objects"][key]} == {"artwork/1.bin"}


def test_the_stateless_stack_answers_on_its_ports_and_writes_into_its_writable_layer(machine: Make) -> None:
    host = machine(services=True, data_disk=False)
    found = host.lab.seed(host.name, stack="mint-apps")
    assert found["http"] == {"order-intake": 200, "files-api": 200, "quote-page": 200}
    assert "A /tmp/quote-page-uploads/quote-1.pdf" in host.sh("docker diff quote-page").splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [*(pytest.param(after_s, marks=pytest.mark.long) for after_s in (0.6, 1.8, 3.0)), 1.2, 2.4])
def test_an_up_that_is_killed_anywhere_is_mended_by_the_next_one(machine: Make, lab: Lab, after_s: float) -> None:
    host = machine()
    lab.down([host.name], destroy=True)
    up = [sys.executable, "-m", "controlplane", "lab", "up", host.name]
    killed = subprocess.Popen(up, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after_s)
    killed.kill()
    killed.wait()
    host.up(services=False)
    assert host.sh("findmnt -no SOURCE,FSTYPE /").split() == [host.status.boot_device, "ext4"]
    assert host.status.system == "running"
    lab.down([host.name], destroy=True)
    assert held_by_the_host(host.name) == NOTHING


def test_what_a_killed_run_left_without_files_is_found_and_cleaned(machine: Make, lab: Lab) -> None:
    host = machine()
    record = read_record(lab.home.machine(host.name))
    processes.end([process for process in (record.supervisor, record.nspawn) if process])
    shutil.rmtree(lab.home.machine(host.name).path, ignore_errors=True)
    assert {status.name: status.state for status in lab.status()}[host.name] == "leftover"
    lab.down([host.name])
    assert held_by_the_host(host.name) == NOTHING
    assert host.name not in lab.known()


def test_two_machines_at_once_do_not_see_each_other(machine: Make) -> None:
    first, second = machine(), machine()
    first.sh("nohup python3 -m http.server 8000 --bind 127.0.0.1 >/dev/null 2>&1 & sleep 1; nc -z 127.0.0.1 8000")
    assert second.run(["nc", "-z", "127.0.0.1", "8000"]).returncode == 1
    assert first.sh("cat /etc/machine-id") != second.sh("cat /etc/machine-id")
    assert first.sh("findmnt -no UUID /") != second.sh("findmnt -no UUID /")
    second.sh("systemctl stop docker.socket docker")
    assert first.sh("systemctl is-active docker").strip() == "active"
