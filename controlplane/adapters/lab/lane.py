"""What the lab's two kinds of machines do differently; names, files, records, ssh and verbs are the lab's own.

Rules for a lane:
- `start` first ends whatever a killed run left of the machine, and records each process that it starts.
- `release` finds the machine's leftovers also without a record, and touches only what carries the machine's name or files.
- A machine's spec is written last when it is created: half a machine has none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from controlplane.domain.values import Value

from .home import LabHome, MachineFiles
from .records import DataDisk, MachineSpec

Say = Callable[[str], None]


class Disks(Value):
    """A machine's disks: devices as the machine names them ('' where not attached), and the files behind them."""

    boot_device: str = ""
    boot_file: str = ""
    data_device: str = ""
    data_file: str = ""
    data_serial: str = ""


class Lane(Protocol):
    """One way to run machines."""

    @property
    def warning(self) -> str:
        """What whoever starts a machine has to know ('' for nothing)."""

    @property
    def limit_s(self) -> float:
        """How long a machine may take to come up, in seconds, on a busy host."""

    @property
    def patience(self) -> int:
        """How many times slower than a processor of its own a machine is."""

    @property
    def probe_options(self) -> Sequence[str]:
        """Options of ssh's for asking whether a machine is up yet."""

    def refuse_where_it_cannot_run(self) -> None:
        """Raise `RefusedError` with one line."""

    def image(self, home: LabHome, spec: MachineSpec, services: bool, say: Say) -> Path:
        """Return what machines of this spec are made from, made where it isn't cached."""

    def create(self, home: LabHome, files: MachineFiles, spec: MachineSpec, image: Path) -> None:
        """Make the machine's disks and identity."""

    def start(self, home: LabHome, files: MachineFiles, spec: MachineSpec) -> None:
        """Start the machine on the disks that it has; it is still booting when this returns."""

    def rewind(self, home: LabHome, files: MachineFiles, spec: MachineSpec, image: Path) -> bool:
        """Put the machine back to when it was new and let it run, where that is kept and `spec` and `image` are the same; else do nothing."""

    def settled(self, home: LabHome, files: MachineFiles, *, new: bool) -> None:
        """Do what is due once the machine is up; `new` says that nobody has used it yet."""

    def power_off(self, files: MachineFiles) -> None:
        """Ask a running machine to power off, end it where it doesn't, and release it."""

    def cut(self, files: MachineFiles) -> None:
        """Take a running machine's power away."""

    def release(self, files: MachineFiles) -> None:
        """End what runs of the machine and give back what it held on the host; its disks' files stay."""

    def plug(self, files: MachineFiles, disk: DataDisk) -> None:
        """Attach a data disk to a running machine."""

    def unplug(self, files: MachineFiles) -> None:
        """Detach the data disk of a running machine, as if it had been pulled."""

    def holds(self, files: MachineFiles) -> bool:
        """Say whether anything of the machine is on the host besides its files."""

    def names(self, home: LabHome) -> set[str]:
        """Return the names of the machines of which anything is on the host besides their files."""

    def disks(self, files: MachineFiles, spec: MachineSpec) -> Disks:
        """Return the machine's disks as they are now."""
