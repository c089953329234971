"""Create, start, rewind, cut and release virtual machines.

Rules:
- A machine's boot disk is a frozen image of its own, with its own host key, machine-id and UUID, under an overlay: two machines
  never share an identity, and so each keeps a snapshot of its own first start.
- The snapshot is taken before anybody has used the machine, and is used only for the same spec, image and emulator.
- Only what carries the machine's own folder in its command line is ended.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from controlplane.adapters.lab import disks, processes
from controlplane.adapters.lab.golden import copy_image
from controlplane.adapters.lab.home import LabHome, MachineFiles
from controlplane.adapters.lab.lane import Disks, Say
from controlplane.adapters.lab.processes import Process
from controlplane.adapters.lab.programs import run
from controlplane.adapters.lab.records import DataDisk, MachineSpec, Record, read_record, read_spec, write_record, write_spec
from controlplane.adapters.lab.requirements import refuse_where_it_cannot_run
from controlplane.adapters.lab.ssh import ssh_run, write_entry, write_identity
from controlplane.domain.errors import RefusedError, RunFailedError

from . import emulators
from .hardware import BY_ID, EMULATOR, SNAPSHOT, block_device, block_node, boot_overlay, data_file, data_serial, machine_argv
from .image import personalise, vm_image
from .layout import lay_out, refuse_without_tools, root_of
from .qmp import monitor

# The clock of a rewound machine stands where it stood, and so does its random generator (0x5207 is RNDRESEEDCRNG).
_SETTLE = "date -u -s @{now:.3f} >/dev/null && cat > /dev/urandom && python3 -c \"import fcntl; fcntl.ioctl(open('/dev/urandom', 'wb'), 0x5207)\""


def way_to(port: int) -> dict[str, str]:
    """Return how ssh gets to the machine; the limits are those of a guest that shares two cores with others."""
    return {"HostName": "127.0.0.1", "Port": str(port), "ConnectTimeout": "30", "ServerAliveCountMax": "15"}


class VmLane:
    """See `Lane`."""

    warning = ""
    limit_s = 600.0
    patience = 8
    # The emulated network takes a connection before the guest is up, and nobody answers it.
    probe_options: Sequence[str] = ("-o", "ConnectTimeout=10")

    def refuse_where_it_cannot_run(self) -> None:
        refuse_where_it_cannot_run(vm=True)

    def image(self, home: LabHome, spec: MachineSpec, services: bool, say: Say) -> Path:  # noqa: ARG002 - importing would take minutes
        if spec.system != "debian-12":
            raise RefusedError(f"Virtual machines run debian-12; {spec.system} runs without --vm. Nothing was changed.")
        if spec.vm:
            refuse_without_tools(spec.vm.boot_layout)
        return vm_image(home, spec, say)

    def create(self, home: LabHome, files: MachineFiles, spec: MachineSpec, image: Path) -> None:
        files.path.mkdir(mode=0o755, parents=True, exist_ok=True)
        copy_image(image / "boot.img", files.boot)
        for part in ("vmlinuz", "initrd"):
            shutil.copyfile(image / part, files.path / part)
        write_identity(home, files, spec)
        personalise(files)
        lay_out(files.boot, spec.vm.boot_layout if spec.vm else "whole")
        # From here on it is only read.
        files.boot.chmod(0o444)
        _make_overlay(files.boot, boot_overlay(files))
        _make_blank(files, spec)
        (files.path / "image").write_text(image.name)
        write_spec(files, spec)

    def start(self, home: LabHome, files: MachineFiles, spec: MachineSpec) -> None:
        self.release(files)
        if spec.data_disk == "foreign":
            _make_foreign(files, spec)
        self._start(home, files, spec, rewind=False)

    def rewind(self, home: LabHome, files: MachineFiles, spec: MachineSpec, image: Path) -> bool:
        try:
            kept = json.loads((files.path / "first-start.json").read_text())
            # What a spec has come to say since then had its default.
            kept["spec"] = MachineSpec.model_validate(kept["spec"]).model_dump()
        except (OSError, ValueError, KeyError, TypeError):
            return False
        if kept != _identity(spec, image.name):
            return False
        self.release(files)
        # Disks that were attached later are not in the snapshot: they become what they are on a new machine.
        if spec.data_disk != "own":
            _make_blank(files, spec)
        if spec.data_disk != "foreign":
            for file in (files.foreign, files.foreign.with_suffix(".qcow2")):
                file.unlink(missing_ok=True)
        self._start(home, files, spec, rewind=True)
        return True

    def settled(self, home: LabHome, files: MachineFiles, *, new: bool) -> None:
        done = ssh_run(home, files.name, ["sh", "-c", _SETTLE.format(now=time.time())], stdin=os.urandom(64))
        if done.returncode != 0:
            raise RunFailedError(f"lab: {files.name} did not take the time: {done.stderr.strip()}")
        if new:
            with home.locked(f"machine-{files.name}"), monitor(files.path, files.name, limit_s=300) as emulator:
                emulator.monitor(f"savevm {SNAPSHOT}")
                partial = files.path / "first-start.partial"
                partial.write_text(json.dumps(_identity(read_spec(files), (files.path / "image").read_text())))
                partial.rename(files.path / "first-start.json")

    def power_off(self, files: MachineFiles, *, limit_s: float = 120.0) -> None:
        record = read_record(files)
        if record.running() and record.emulator:
            # An emulator that doesn't answer is ended all the same.
            with suppress(RunFailedError), monitor(files.path, files.name) as emulator:
                emulator.ask("system_powerdown")
            deadline = time.monotonic() + limit_s
            while record.emulator.alive() and time.monotonic() < deadline:
                time.sleep(0.1)
        self.release(files)

    def cut(self, files: MachineFiles) -> None:
        record = read_record(files)
        if not record.running() or not record.emulator:
            raise RunFailedError(f"lab: {files.name} is not running, so its power can't be cut. Nothing was changed.")
        record.emulator.kill(signal.SIGKILL)
        self.release(files)

    def release(self, files: MachineFiles) -> None:
        record = read_record(files)
        processes.end([*([record.emulator] if record.emulator else []), *emulators.running(files.path.parent).get(files.path, [])])
        for name in ("qmp.sock", "qemu.pid"):
            (files.path / name).unlink(missing_ok=True)
        if record.emulator:
            files.record.unlink(missing_ok=True)

    def plug(self, files: MachineFiles, disk: DataDisk) -> None:
        spec = read_spec(files)
        file = data_file(files, disk)
        if spec.data_disk != "none" or spec.vm is None or file is None:
            raise RefusedError(f"{files.name} runs with data disk '{spec.data_disk}' and takes no other one. Nothing was changed.")
        if disk == "foreign":
            _make_foreign(files, spec)
        with monitor(files.path, files.name) as emulator:
            emulator.ask("blockdev-add", block_node("data", file))
            emulator.ask("device_add", block_device("data", data_serial(spec.vm, disk)))
        write_spec(files, spec.model_copy(update={"data_disk": disk}))

    def unplug(self, files: MachineFiles) -> None:
        spec = read_spec(files)
        if spec.data_disk == "none":
            raise RefusedError(f"{files.name} runs without a data disk. Nothing was changed.")
        with monitor(files.path, files.name) as emulator:
            emulator.ask("device_del", {"id": "data-disk"})
            emulator.wait_for("DEVICE_DELETED", device="data-disk")
            emulator.ask("blockdev-del", {"node-name": "data"})
        write_spec(files, spec.model_copy(update={"data_disk": "none"}))

    def holds(self, files: MachineFiles) -> bool:
        return files.path in emulators.running(files.path.parent)

    def names(self, home: LabHome) -> set[str]:
        return {folder.name for folder in emulators.running(home.machines)}

    def disks(self, files: MachineFiles, spec: MachineSpec) -> Disks:
        assert spec.vm is not None  # noqa: S101 - only virtual machines come here
        data, serial = data_file(files, spec.data_disk), data_serial(spec.vm, spec.data_disk)
        runs = read_record(files).running()
        return Disks(
            boot_device=f"{BY_ID}{spec.vm.boot_serial}" if runs else "",
            boot_file=str(boot_overlay(files)),
            data_device=f"{BY_ID}{serial}" if runs and serial else "",
            data_file=str(data) if data else "",
            data_serial=serial,
        )

    def _start(self, home: LabHome, files: MachineFiles, spec: MachineSpec, *, rewind: bool) -> None:
        hardware = spec.vm
        assert hardware is not None  # noqa: S101 - only virtual machines come here
        root = root_of(files.boot, hardware.boot_layout)

        def with_port(port: int) -> MachineSpec:
            return spec.model_copy(update={"vm": hardware.model_copy(update={"port": port})})

        def started(process: Process, port: int) -> None:
            write_record(files, Record(emulator=process, boots=1))
            write_spec(files, with_port(port))
            write_entry(home, files, way_to(port))

        emulators.start(
            files.path,
            lambda port: machine_argv(files, with_port(port), root=root, rewind=rewind),
            port=hardware.port,
            started=started,
        )


def _make_overlay(below: Path, overlay: Path) -> None:
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", below.name, overlay])


def _make_blank(files: MachineFiles, spec: MachineSpec) -> None:
    run(["qemu-img", "create", "-q", "-f", "qcow2", files.data.with_suffix(".qcow2"), str(spec.data_bytes)])


def _make_foreign(files: MachineFiles, spec: MachineSpec) -> None:
    disks.make_foreign(files.foreign, spec.data_bytes)
    overlay = files.foreign.with_suffix(".qcow2")
    if not overlay.exists():
        _make_overlay(files.foreign, overlay)


def _identity(spec: MachineSpec, image: str) -> dict[str, Any]:
    """Return what a snapshot is good for: the same machine, made from the same image, in the same emulator."""
    same = spec.model_copy(update={"vm": spec.vm.model_copy(update={"port": 0}) if spec.vm else None})
    return {"spec": same.model_dump(), "image": image, "emulator": run([EMULATOR, "--version"]).splitlines()[0]}
