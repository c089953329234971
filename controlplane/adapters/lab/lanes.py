"""The lanes by name, and what is done to a machine whatever its lane: also to one that left no spec behind."""

from __future__ import annotations

import shutil

from .home import LabHome, MachineFiles
from .lane import Lane
from .nspawn import NspawnLane
from .records import LaneName, read_record
from .vm.lane import VmLane

LANES: dict[LaneName, Lane] = {"nspawn": NspawnLane(), "vm": VmLane()}


def names(home: LabHome) -> set[str]:
    """Return the names of all machines that have files or anything left on this host."""
    found = {folder.name for folder in home.machines.glob("*") if folder.is_dir()}
    return found.union(*(lane.names(home) for lane in LANES.values()))


def hold(files: MachineFiles) -> bool:
    """Say whether anything of the machine is on the host besides its files."""
    return any(lane.holds(files) for lane in LANES.values())


def power_off(files: MachineFiles) -> None:
    """Ask the machine to power off, and release it; where nothing says what it is, what runs of it is ended."""
    record = read_record(files)
    LANES["vm" if record.emulator else "nspawn"].power_off(files)
    release(files)


def release(files: MachineFiles) -> None:
    """End what runs of the machine in any lane and give back what it held; its disks' files stay."""
    for lane in LANES.values():
        lane.release(files)


def destroy(files: MachineFiles) -> None:
    """Release the machine and delete its files, disks included."""
    release(files)
    shutil.rmtree(files.path, ignore_errors=True)
