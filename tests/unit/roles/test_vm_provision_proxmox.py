"""The values that a machine on Proxmox VE is made with, and how it is compared; pure, without an API."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from controlplane.adapters import proxmox_config
from tests.unit.roles.loading import library, module_util

birth = module_util("vm_provision", "vm_provision_birth")
shape = module_util("vm_provision", "vm_provision_proxmox_shape")
module_util("vm_provision", "vm_provision_proxmox")
looking = library("vm_provision", "vm_provision_api_look")

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
    text = shape.mark(RUN, host_key="ssh-ed25519 AAAA", seed="local:iso/x.iso", birth="user=12 ssh_keys=34")
    written = {"run": RUN, "made": "no", "host-key": "ssh-ed25519 AAAA", "seed": "local:iso/x.iso", "birth": "user=12 ssh_keys=34"}
    assert shape.read_mark(text) == written
    # The program reads the same, but for the CD that only the role needs.
    assert proxmox_config.mark({"description": text}) == {name: value for name, value in written.items() if name != "seed"}
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


ASKED: dict[str, Any] = {
    **WANT,
    "id": 101,
    "name": "mint-data",
    "hypervisor": {"seeds": "local"},
    "disks": WANT["disks"][:1],
    "address": {"address": "192.0.2.10/24", "gateway": "192.0.2.1", "nameservers": []},
    "user": "ops",
    "ssh_keys": ["ssh-ed25519 AAAA ops"],
}
CD = "local:iso/controlplane-101.iso"


def made_of(want: dict[str, Any], *, made: bool = False) -> dict[str, Any]:
    """Return the configuration of a machine that a run began as `want`."""
    text = shape.mark("CAP-0", host_key="ssh-ed25519 AAAA", seed=CD, birth=birth.birth(want))
    drives = {"scsi0": "tank:vm-101-disk-0,size=2G", "scsi1": "big:vm-101-disk-1,serial=DATA0001,size=3906250K"}
    return {"name": "mint-data", "description": shape.as_made(text) if made else text, **drives}


def test_a_machine_that_was_begun_with_another_login_is_not_finished_as_this_one() -> None:
    assert looking.objections(None, ASKED, made_of(ASKED)) == []
    other = made_of(ASKED | {"user": "admin", "ssh_keys": ["ssh-ed25519 BBBB"]})
    told = "machine 101, made by CAP-0, is not as it was asked for (it was begun with another value of user, ssh_keys): look at it there"
    assert looking.objections(None, ASKED, other) == [told]
    assert looking.objections(None, ASKED, made_of(ASKED | {"user": "admin"}, made=True)) == []


class _Storage:
    """A node that is asked for the content of a storage only."""

    node = "pve"

    def __init__(self, *volumes: str, refused: bool = False) -> None:
        self.volumes, self.refused = volumes, refused

    def read(self, *_path: str, **_given: str) -> list[dict[str, str]]:
        if self.refused:
            raise looking.ProxmoxError("403 Permission check failed")
        return [{"volid": volume} for volume in self.volumes]


def test_what_an_earlier_run_left_is_told() -> None:
    went_on = {"went_on_with": "CAP-0", "notes": ["went on with machine 101, which run CAP-0 left half made"]}
    assert looking.told_of(_Storage(), ASKED, made_of(ASKED), CD) == went_on
    assert looking.told_of(_Storage(), ASKED, made_of(ASKED, made=True), CD) == {}
    over = {"written_over": [CD], "notes": [f"found the CD {CD}, left by an earlier attempt without a machine, and wrote over it"]}
    assert looking.told_of(_Storage("local:iso/other.iso", CD), ASKED, None, CD) == over
    assert [looking.told_of(node, ASKED, None, CD) for node in (_Storage("local:iso/other.iso"), _Storage(CD, refused=True))] == [{}, {}]
