"""What the lab writes down about a machine: what it should be (spec) and what runs (record)."""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationError

from controlplane.domain.values import Value

from .home import MachineFiles
from .processes import Process
from .recipe import Engine, ImageStore
from .systems import System

DataDisk = Literal["own", "none", "foreign"]
BootLayout = Literal["whole", "partition", "lvm"]

LaneName = Literal["nspawn", "vm"]


class VmSpec(Value):
    """What only a virtual machine has: its disks by serial, order and layout, and the port of this host that leads to its sshd."""

    boot_serial: str
    data_serial: str
    data_first: bool = False
    boot_layout: BootLayout = "whole"
    port: int = 0


class MachineSpec(Value):
    """A machine as it was asked for, and the loop devices or the virtual hardware that it runs on (sizes in bytes)."""

    engine: Engine
    system: System = "debian-12"
    image_store: ImageStore
    boot_bytes: int
    data_bytes: int
    data_disk: DataDisk
    boot_device: str = ""
    data_device: str = ""
    vm: VmSpec | None = None

    @property
    def lane(self) -> LaneName:
        return "vm" if self.vm else "nspawn"


class Record(Value):
    """The processes of a machine, by number and start time; `boots` counts starts since `up`.

    An nspawn machine has the first three, a virtual machine has its emulator, which reboots without ending.
    """

    supervisor: Process | None = None
    nspawn: Process | None = None
    leader: Process | None = None
    emulator: Process | None = None
    boots: int = 0

    def processes(self) -> list[Process]:
        """Return what was recorded, the supervisor first: it would start the machine again."""
        return [process for process in (self.supervisor, self.nspawn, self.leader, self.emulator) if process]

    def running(self) -> bool:
        """Say whether the machine and what watches it all live."""
        whole = self.emulator is not None or len(self.processes()) == 3
        return whole and all(process.alive() for process in self.processes())

    def may_come_up(self) -> bool:
        """Say whether what would bring the machine up still lives; before the first record there is nothing to judge."""
        keeper = self.emulator or self.supervisor
        return keeper is None or keeper.alive()


def read_spec(files: MachineFiles) -> MachineSpec:
    """Return the machine's spec; raises OSError or ValidationError where there is none."""
    return MachineSpec.model_validate_json(files.spec.read_bytes())


def write_spec(files: MachineFiles, spec: MachineSpec) -> None:
    """Write the machine's spec in one step."""
    partial = files.spec.with_suffix(".partial")
    partial.write_text(spec.model_dump_json(indent=1) + "\n")
    partial.rename(files.spec)


def read_record(files: MachineFiles) -> Record:
    """Return what is recorded of the machine; nothing readable means that nothing is known to run."""
    try:
        return Record.model_validate_json(files.record.read_bytes())
    except (OSError, ValidationError):
        return Record()


def write_record(files: MachineFiles, record: Record) -> None:
    """Write the record in one step."""
    partial = files.record.with_suffix(".partial")
    partial.write_text(record.model_dump_json() + "\n")
    partial.rename(files.record)
