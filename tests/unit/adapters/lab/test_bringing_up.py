"""Which machines are made, put back or only started, and by which lane, with lanes that only remember what they were asked."""
# ruff: noqa: ARG002 - a fake has the whole interface, whatever it makes of it

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from controlplane.adapters.lab import bringing_up, lanes
from controlplane.adapters.lab.home import LabHome, MachineFiles
from controlplane.adapters.lab.lab import Lab
from controlplane.adapters.lab.lane import Disks, Say
from controlplane.adapters.lab.nspawn import NspawnLane
from controlplane.adapters.lab.records import DataDisk, LaneName, MachineSpec, write_spec
from controlplane.domain.errors import RefusedError


class FakeLane:
    """Remembers calls; a machine with a file `kept` can be put back to its first start."""

    warning = ""
    limit_s = 1.0
    patience = 1
    probe_options: Sequence[str] = ()

    def __init__(self, name: LaneName, calls: list[str]) -> None:
        self.name = name
        self.calls = calls

    def refuse_where_it_cannot_run(self) -> None:
        pass

    def image(self, home: LabHome, spec: MachineSpec, services: bool, say: Say) -> Path:
        self.calls.append(f"{self.name} image")
        return home.cache / "image"

    def create(self, home: LabHome, files: MachineFiles, spec: MachineSpec, image: Path) -> None:
        files.path.mkdir(parents=True)
        write_spec(files, spec)
        self.calls.append(f"{self.name} create {files.name} {spec.data_disk}")

    def start(self, home: LabHome, files: MachineFiles, spec: MachineSpec) -> None:
        first = " data first" if spec.vm and spec.vm.data_first else ""
        self.calls.append(f"{self.name} start {files.name} {spec.data_disk}{first}")

    def rewind(self, home: LabHome, files: MachineFiles, spec: MachineSpec, image: Path) -> bool:
        kept = (files.path / "kept").exists()
        self.calls.extend([f"{self.name} rewind {files.name}"] if kept else [])
        return kept

    def settled(self, home: LabHome, files: MachineFiles, *, new: bool) -> None:
        self.calls.append(f"{self.name} settled {files.name}{' new' if new else ''}")

    def power_off(self, files: MachineFiles) -> None: ...
    def cut(self, files: MachineFiles) -> None: ...
    def release(self, files: MachineFiles) -> None: ...
    def plug(self, files: MachineFiles, disk: DataDisk) -> None: ...
    def unplug(self, files: MachineFiles) -> None: ...

    def holds(self, files: MachineFiles) -> bool:
        return False

    def names(self, home: LabHome) -> set[str]:
        return set()

    def disks(self, files: MachineFiles, spec: MachineSpec) -> Disks:
        return Disks()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []
    monkeypatch.setitem(lanes.LANES, "nspawn", FakeLane("nspawn", made))
    monkeypatch.setitem(lanes.LANES, "vm", FakeLane("vm", made))
    monkeypatch.setattr(bringing_up, "wait", lambda *_, **__: "running")
    monkeypatch.setattr(bringing_up, "ensure_services", lambda *_: made.append("services"))
    monkeypatch.setattr(bringing_up, "ensure_access", lambda _: None)
    return made


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(LabHome(tmp_path))


def made(lab: Lab, calls: list[str], name: str, *, vm: bool = False, kept: bool = False) -> None:
    lab.up([name], vm=vm)
    if kept:
        (lab.home.machine(name).path / "kept").touch()
    calls.clear()


def test_what_a_lane_shares_with_this_host_is_said_before_anything_is_made(lab: Lab, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes.LANES["nspawn"], "warning", "it shares the kernel")
    lab.warn = calls.append
    lab.up(["db"])
    assert calls[0] == "it shares the kernel"
    calls.clear()
    lab.up(["other"], vm=True)
    assert calls[0] == "vm image"
    assert "kernel" in NspawnLane.warning


def test_a_new_machine_is_made_started_and_settled_as_new(lab: Lab, calls: list[str]) -> None:
    [status] = lab.up(["db"], vm=True)
    assert calls == ["vm image", "vm create db own", "vm start db own", "services", "vm settled db new"]
    assert (status.name, status.lane, status.system) == ("db", "vm", "running")


def test_a_machine_that_exists_starts_as_what_it_is(lab: Lab, calls: list[str]) -> None:
    made(lab, calls, "db", vm=True)
    lab.up(["db"], data_disk="none", data_first=True, services=False)
    assert calls == ["vm start db none data first", "vm settled db"]


def test_a_machine_that_is_no_virtual_one_is_not_made_one_by_up_and_none_of_the_others_is_touched(lab: Lab, calls: list[str]) -> None:
    made(lab, calls, "db")
    with pytest.raises(RefusedError) as refusal:
        lab.up(["other", "db"], vm=True)
    assert str(refusal.value) == ("db: no virtual machine. Make it anew as one with 'controlplane lab reset --vm db'. Nothing was changed.")
    assert calls == []
    assert not lab.home.machine("other").path.exists()


def test_a_reset_puts_a_machine_back_where_its_first_start_is_kept(lab: Lab, calls: list[str]) -> None:
    made(lab, calls, "db", vm=True, kept=True)
    lab.reset(["db"])
    assert calls == ["vm image", "vm rewind db", "vm settled db"]


def test_a_reset_makes_a_machine_anew_where_nothing_is_kept_and_each_stays_in_its_lane(lab: Lab, calls: list[str]) -> None:
    made(lab, calls, "db", vm=True)
    made(lab, calls, "play")
    lab.reset(["db", "play"], services=False)
    assert calls[:2] == ["nspawn image", "vm image"]
    assert calls[2:6] == ["vm create db own", "vm start db own", "nspawn create play own", "nspawn start play own"]
    assert sorted(calls[6:]) == ["nspawn settled play new", "vm settled db new"]


def test_a_reset_makes_a_virtual_machine_of_one_that_was_none(lab: Lab, calls: list[str]) -> None:
    made(lab, calls, "db")
    lab.reset(["db"], vm=True, services=False)
    assert calls == ["vm image", "vm create db own", "vm start db own", "vm settled db new"]
    assert lab.home.machine("db").spec.exists()


def test_a_machine_whose_spec_is_unreadable_can_be_made_anew(lab: Lab, calls: list[str]) -> None:
    made(lab, calls, "db")
    lab.home.machine("db").spec.write_text("{")
    lab.reset(["db"], services=False)
    assert calls == ["nspawn image", "nspawn create db own", "nspawn start db own", "nspawn settled db new"]
