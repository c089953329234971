"""The main job where a kernel of its own boots from the disks: by serial, over a real reboot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.vm.conftest import VirtualMachine
from tests.vm.scenes import do_the_main_job, seed_data

pytestmark = [pytest.mark.vm, pytest.mark.slow]

Make = Callable[..., VirtualMachine]


def test_the_main_job_by_serial_over_a_reboot(vm: Make, tmp_path: Path) -> None:
    do_the_main_job(seed_data(vm(), tmp_path))


def test_the_main_job_to_an_xfs_disk_on_a_machine_that_boots_from_lvm(vm: Make, tmp_path: Path) -> None:
    scene = seed_data(vm(boot_layout="lvm"), tmp_path)
    policy = scene.site.site / "policy.yml"
    policy.write_text(policy.read_text().replace("filesystem: ext4", "filesystem: xfs"))
    do_the_main_job(scene)
    assert scene.host.sh("findmnt -no FSTYPE,OPTIONS /mnt/data").split()[0] == "xfs"
    assert scene.host.sh("findmnt -no SOURCE /").strip() == "/dev/mapper/lab-root"
