"""What a machine is now, as verbs show it."""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationError

from controlplane.domain.errors import RunFailedError
from controlplane.domain.values import Value

from . import lanes
from .home import MachineFiles
from .records import MachineSpec, Record, read_record, read_spec

State = Literal["running", "off", "leftover", "absent"]


class MachineStatus(Value):
    """What a machine is now; devices as the machine names them, and the files behind them ('' where there is none).

    `os` is what it was made with, `system` its systemd's word for its state; `port` is the one on this host's loopback that leads
    to a virtual machine's sshd.
    """

    name: str
    state: State
    lane: str = ""
    os: str = ""
    engine: str = ""
    image_store: str = ""
    data_disk: str = ""
    boot_device: str = ""
    boot_file: str = ""
    data_device: str = ""
    data_file: str = ""
    data_serial: str = ""
    namespace: str = ""
    port: int = 0
    boots: int = 0
    system: str = ""


def spec_of(files: MachineFiles) -> MachineSpec:
    """Return the machine's spec; an unreadable one is an error that says what to do."""
    try:
        return read_spec(files)
    except (OSError, ValidationError) as error:
        raise RunFailedError(
            f"lab: {files.spec} is unreadable ({type(error).__name__}). Make the machine anew with 'controlplane lab reset {files.name}'."
        ) from None


def status_of(files: MachineFiles, *, system: str = "") -> MachineStatus:
    """Return what the machine is now; `system` is what its systemd said of itself."""
    record = read_record(files)
    left = record != Record() or lanes.hold(files)
    if not files.spec.exists():
        return MachineStatus(name=files.name, state="leftover" if left else "absent", namespace=files.namespace)
    state: State = "running" if record.running() else "leftover" if left else "off"
    spec = spec_of(files)
    return MachineStatus(
        name=files.name,
        state=state,
        lane=spec.lane,
        os=spec.system,
        engine=spec.engine,
        image_store=spec.image_store,
        data_disk=spec.data_disk,
        **lanes.LANES[spec.lane].disks(files, spec).model_dump(),
        namespace="" if spec.vm else files.namespace,
        port=spec.vm.port if spec.vm else 0,
        boots=record.boots,
        system=system,
    )
