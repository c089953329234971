"""What a virtual machine's hardware is, read from the command line that starts it."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.lab.home import LabHome, MachineFiles
from controlplane.adapters.lab.recipe import MASKED_UNITS
from controlplane.adapters.lab.records import DataDisk, MachineSpec
from controlplane.adapters.lab.vm.hardware import hardware_of, machine_argv
from controlplane.adapters.lab.vm.recipe import UNMASKED_UNITS, vm_digest


def spec(name: str = "db", *, data_disk: DataDisk = "own", data_first: bool = False) -> MachineSpec:
    vm = hardware_of(name, data_first=data_first).model_copy(update={"port": 2222})
    return MachineSpec(engine="26", image_store="graph", boot_bytes=1, data_bytes=1, data_disk=data_disk, vm=vm)


@pytest.fixture
def files(tmp_path: Path) -> MachineFiles:
    return LabHome(tmp_path).machine("db")


def values(argv: list[str], option: str) -> list[str]:
    return [value for name, value in itertools.pairwise(argv) if name == option]


def devices(argv: list[str], driver: str) -> list[dict[str, Any]]:
    found = [json.loads(value) for value in values(argv, "-device") if value.startswith("{")]
    return [device for device in found if device["driver"] == driver]


def test_both_disks_carry_the_serials_that_the_machines_name_gives_them(files: MachineFiles) -> None:
    assert hardware_of("db") == hardware_of("db")
    assert hardware_of("db").data_serial != hardware_of("mint-data").data_serial
    disks = devices(machine_argv(files, spec(), root="UUID=u"), "virtio-blk-pci")
    number = hardware_of("db").data_serial.removeprefix("DATA")
    assert [(disk["drive"], disk["serial"]) for disk in disks] == [("boot", f"BOOT{number}"), ("data", f"DATA{number}")]
    assert number.isdigit()
    assert len(number) == 4


def test_a_machine_without_its_data_disk_has_the_slot_for_it(files: MachineFiles) -> None:
    argv = machine_argv(files, spec(data_disk="none"), root="UUID=u")
    assert [disk["drive"] for disk in devices(argv, "virtio-blk-pci")] == ["boot"]
    assert [port["id"] for port in devices(argv, "pcie-root-port")] == ["boot-slot", "data-slot"]


def test_somebody_elses_disk_has_another_serial_and_file(files: MachineFiles) -> None:
    argv = machine_argv(files, spec(data_disk="foreign"), root="UUID=u")
    assert devices(argv, "virtio-blk-pci")[1]["serial"].startswith("ELSE")
    assert [json.loads(value)["file"]["filename"] for value in values(argv, "-blockdev")] == ["boot.qcow2", "foreign.qcow2"]


def test_the_order_of_the_slots_decides_which_disk_is_found_first(files: MachineFiles) -> None:
    ports = devices(machine_argv(files, spec(data_first=True), root="UUID=u"), "pcie-root-port")
    assert [port["id"] for port in ports] == ["data-slot", "boot-slot"]


def test_the_guest_reaches_nothing_and_is_reached_from_the_loopback_alone(files: MachineFiles) -> None:
    [network] = values(machine_argv(files, spec(), root="UUID=u"), "-netdev")
    assert network == "user,id=net,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:2222-10.0.2.15:22"


def test_the_emulation_is_in_software_on_every_host(files: MachineFiles) -> None:
    argv = machine_argv(files, spec(), root="UUID=u")
    [accelerator] = values(argv, "-accel")
    assert accelerator.startswith("tcg,")
    assert "kvm" not in " ".join(argv)


def test_the_root_is_named_by_its_uuid_and_a_rewind_by_the_snapshot(files: MachineFiles) -> None:
    argv = machine_argv(files, spec(), root="UUID=1234")
    assert values(argv, "-append")[0].split()[0] == "root=UUID=1234"
    assert values(argv, "-loadvm") == []
    assert values(machine_argv(files, spec(), root="UUID=1234", rewind=True), "-loadvm") == ["first-start"]


def test_only_what_the_first_lane_masked_is_given_back() -> None:
    assert set(UNMASKED_UNITS) < set(MASKED_UNITS)


def test_another_first_lane_image_makes_another_image() -> None:
    assert vm_digest("a.img") == vm_digest("a.img") != vm_digest("b.img")
