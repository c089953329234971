"""What a kernel of its own puts between a filesystem and its disk: followed to that disk, which is never made anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.operating import STEPS
from tests.vm.conftest import VirtualMachine
from tests.vm.scenes import MOUNT, Site

pytestmark = [pytest.mark.vm, pytest.mark.slow]

Make = Callable[..., VirtualMachine]
_LVM = "pvcreate -qq {disk} && vgcreate -qq data {disk} && lvcreate -qq -L 1G -n it data && udevadm settle && device=/dev/data/it"
# As few rounds as the tool takes: an emulated processor derives the key.
_LUKS = (
    "echo -n secret > /run/key && cryptsetup -q luksFormat --pbkdf pbkdf2 --pbkdf-force-iterations 1000 {disk} /run/key"
    " && cryptsetup open --key-file /run/key {disk} it && udevadm settle && device=/dev/mapper/it"
)
_USE = (
    " && mkfs.ext4 -q $device && mkdir -p /mnt/data && mount -o noatime $device /mnt/data && mkdir /mnt/data/docker"
    " && echo mine > /mnt/data/letters && blkid -p -o value -s UUID $device"
)


@pytest.mark.parametrize(
    ("make", "away", "kind"),
    [(_LVM, "vgchange -qq -an data", "LVM2_member"), (_LUKS, "cryptsetup close it", "crypto_LUKS")],
    ids=["lvm", "luks"],
)
def test_a_filesystem_on_device_mapper_is_traced_to_its_disk_and_its_disk_is_never_made_anew(
    vm: Make, tmp_path: Path, make: str, away: str, kind: str
) -> None:
    host = vm()
    host.sh(make.format(disk=host.data_device) + _USE, timeout=600)
    site = Site(host, tmp_path)
    # It lies on the disk that the policy names by its serial: nothing is made, and the move goes there.
    assert "storage.data_disk" not in {step["capability"] for step in site.plan()["steps"]}
    found = {finding["surface"]: finding for finding in site.audit().json["findings"]}
    assert found[f"mount:{MOUNT}"]["verdict"] == "MET", found[f"mount:{MOUNT}"]
    assert "boot disk" in found["docker.data_root"]["reason"], found["docker.data_root"]

    # Out of use it is still somebody's.
    host.sh(f"umount /mnt/data && {away} && udevadm settle", timeout=600)
    before = host.sh(f"head -c 16M {host.data_device} | sha256sum")
    [refused] = [one["reason"] for one in site.plan(code=4)["refusals"] if one["capability"] == "storage.data_disk"]
    assert kind in refused
    assert host.sh(f"head -c 16M {host.data_device} | sha256sum") == before


@pytest.mark.parametrize(("layout", "root"), [("partition", "/dev/vda1"), ("lvm", "/dev/mapper/lab-root")])
def test_a_root_in_a_partition_or_on_lvm_is_traced_to_its_disk_which_is_never_taken_for_data(
    vm: Make, tmp_path: Path, layout: str, root: str
) -> None:
    host = vm(boot_layout=layout)
    assert host.sh("findmnt -no SOURCE /").strip() == root
    boot = host.boot_serial
    site = Site(host, tmp_path)
    found = {finding["surface"]: finding for finding in site.audit().json["findings"]}
    assert found["docker.data_root"]["verdict"] == "DRIFTED"
    assert "boot disk vda" in found["docker.data_root"]["reason"], found["docker.data_root"]
    assert [step["capability"] for step in site.plan()["steps"]] == STEPS

    policy = site.site / "policy.yml"
    policy.write_text(policy.read_text().replace(f"serial: {host.serial}", f"serial: {boot}"))
    [refused] = [one["reason"] for one in site.plan("boot.json", code=4)["refusals"] if one["capability"] == "storage.data_disk"]
    assert "boot disk" in refused, refused
