"""The values that a machine on Proxmox VE is made with, and how it is compared; pure, without an API."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from tests.unit.roles.loading import module_util

shape = module_util("vm_provision", "vm_provision_proxmox_shape")

GB = 1000**3
RUN = "CAP-20260102-100000__infra.vm.provision__R0001"
WANT: dict[str, Any] = {
    "boot": {"image": "local:import/debian-12.qcow2", "size": 8 * GB, "storage": "tank"},
    "disks": [{"serial": "DATA0001", "size": 4 * GB, "storage": "big"}, {"serial": "DATA0002", "size": 2 * 1024**3, "storage": "tank"}],
    "network": {"bridge": "vmbr0", "vlan": 12},
    "run": RUN,
}


@pytest.mark.parametrize("size", [1, 1024, 4 * GB, 2 * 1024**3, 8 * GB + 1, 600 * GB + 4096])
def test_a_size_is_asked_for_exactly_to_the_kib_and_never_smaller(size: int) -> None:
    asked = Fraction(shape.gib(size)) * 1024**3
    assert 0 <= asked - size < 1024
    assert asked == shape.whole_kib(size) * 1024


def test_every_disk_is_in_the_one_call_with_its_serial() -> None:
    assert shape.drives(WANT) == {
        "scsi0": "tank:0,import-from=local:import/debian-12.qcow2,discard=on",
        "scsi1": "big:3.7252902984619140625,serial=DATA0001,discard=on",
        "scsi2": "tank:2,serial=DATA0002,discard=on",
    }


def test_card_identity_and_seed_follow_from_the_run() -> None:
    assert shape.card(WANT) == f"virtio={shape.mac(RUN)},bridge=vmbr0,tag=12"
    assert shape.card({**WANT, "network": {"bridge": "vmbr1"}}).endswith(",bridge=vmbr1")
    assert shape.mac(RUN).startswith("BC:24:11:")
    assert shape.seed_name(101, RUN) == shape.seed_name(101, RUN) != shape.seed_name(101, f"{RUN}x")
    assert shape.identity(RUN) == shape.identity(RUN)


def test_a_mark_is_read_back_and_only_its_own_line_changes_when_the_machine_is_made() -> None:
    text = shape.mark(RUN, host_key="ssh-ed25519 AAAA", seed="local:iso/x.iso")
    assert shape.read_mark(text) == {"run": RUN, "made": "no", "host-key": "ssh-ed25519 AAAA", "seed": "local:iso/x.iso"}
    made = shape.as_made(f"ours, ask Ann\n{text}\n")
    assert (shape.read_mark(made)["made"], made.startswith("ours, ask Ann\n")) == ("yes", True)
    assert shape.read_mark("made by hand") == {}


def test_disks_that_are_missing_or_too_small_are_told_and_a_small_boot_disk_is_not() -> None:
    config = {"scsi0": "tank:vm-101-disk-0,size=2G", "scsi1": "big:vm-101-disk-1,serial=DATA0001,size=3906250K"}
    assert shape.differences({**WANT, "disks": WANT["disks"][:1]}, config) == []
    assert shape.differences(WANT, config) == ["disk DATA0002 is missing"]
    config["scsi1"] = "big:vm-101-disk-1,serial=DATA0001,size=3G"
    assert shape.differences({**WANT, "disks": WANT["disks"][:1]}, config) == [f"disk DATA0001 has {3 * 1024**3} bytes, {4 * GB} were asked for"]
    assert shape.differences({**WANT, "disks": []}, {"ide2": "none,media=cdrom"}) == ["scsi0 is missing or its size is not told"]
