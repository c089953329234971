"""What a virtual machine's hardware is: pure functions from its spec to the emulator's command line.

Rules:
- Disks are known by their serials; nothing depends on which comes first.
- The network leads nowhere: the guest reaches nothing, and only this host's loopback reaches its sshd.
- The emulation is always in software: the same on every host, and no device of this host is asked for.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from controlplane.adapters.lab.home import MachineFiles
from controlplane.adapters.lab.records import BootLayout, DataDisk, MachineSpec, VmSpec

from .recipe import GUEST_ADDRESS

EMULATOR = "qemu-system-x86_64"
MEMORY_MIB = 1024
PROCESSORS = 2
SNAPSHOT = "first-start"
BY_ID = "/dev/disk/by-id/virtio-"


def hardware_of(name: str, *, data_first: bool = False, boot_layout: BootLayout = "whole") -> VmSpec:
    """Return the hardware of a new machine; serials come of its name, so that a policy can be written before."""
    number = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10_000
    return VmSpec(boot_serial=f"BOOT{number:04}", data_serial=f"DATA{number:04}", data_first=data_first, boot_layout=boot_layout)


def data_serial(vm: VmSpec, disk: DataDisk) -> str:
    """Return the serial of the data disk that is attached; somebody else's disk has another one."""
    return {"own": vm.data_serial, "foreign": vm.data_serial.replace("DATA", "ELSE"), "none": ""}[disk]


def boot_overlay(files: MachineFiles) -> Path:
    """Return what the machine writes to its boot disk, over the frozen image."""
    return files.boot.with_suffix(".qcow2")


def data_file(files: MachineFiles, disk: DataDisk) -> Path | None:
    """Return the file of a data disk."""
    return {"own": files.data.with_suffix(".qcow2"), "foreign": files.foreign.with_suffix(".qcow2"), "none": None}[disk]


def pid_file(folder: Path) -> Path:
    """Return the file whose name in a command line says that this emulator is the machine in `folder`."""
    return folder / "qemu.pid"


def machine_argv(files: MachineFiles, spec: MachineSpec, *, root: str, rewind: bool = False) -> list[str]:
    """Return the command that is the machine, whose kernel is told `root`; with `rewind` it goes on from its first start."""
    assert spec.vm is not None  # noqa: S101 - only virtual machines come here
    disks = [_slot("boot"), _slot("data")]
    if spec.vm.data_first:
        disks.reverse()
    disks.append(_disk("boot", boot_overlay(files), spec.vm.boot_serial))
    if data := data_file(files, spec.data_disk):
        disks.append(_disk("data", data, data_serial(spec.vm, spec.data_disk)))
    kernel = f"root={root} ro console=ttyS0 net.ifnames=0 loglevel=4 systemd.show_status=error"
    words = [
        [EMULATOR, "-name", files.name, "-pidfile", str(pid_file(files.path))],
        ["-machine", "q35", "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max", "-smp", str(PROCESSORS), "-m", str(MEMORY_MIB)],
        ["-nodefaults", "-no-user-config", "-display", "none", "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny"],
        ["-kernel", "vmlinuz", "-initrd", "initrd", "-append", kernel],
        ["-chardev", "file,id=console,path=console.log,append=on", "-serial", "chardev:console"],
        ["-qmp", "unix:qmp.sock,server=on,wait=off", "-rtc", "base=utc", "-device", "virtio-rng-pci"],
        *disks,
        ["-netdev", f"user,id=net,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:{spec.vm.port}-{GUEST_ADDRESS}:22"],
        ["-device", "virtio-net-pci,netdev=net,romfile="],
        ["-loadvm", SNAPSHOT] if rewind else [],
    ]
    return [word for part in words for word in part]


def block_node(name: str, file: Path) -> dict[str, Any]:
    """Return a disk's file as the emulator's protocol describes it; its cache is written back, as a disk's own is."""
    return {"driver": "qcow2", "node-name": name, "discard": "unmap", "file": {"driver": "file", "filename": file.name}}


def block_device(name: str, serial: str) -> dict[str, str]:
    """Return the device over a file, in the slot of its name."""
    return {"driver": "virtio-blk-pci", "id": f"{name}-disk", "bus": f"{name}-slot", "drive": name, "serial": serial}


def _slot(name: str) -> list[str]:
    # A port of its own: the order of the ports decides which disk is found first, and what is in one can be pulled and plugged.
    return ["-device", json.dumps({"driver": "pcie-root-port", "id": f"{name}-slot", "chassis": {"boot": 1, "data": 2}[name]})]


def _disk(name: str, file: Path, serial: str) -> list[str]:
    return ["-blockdev", json.dumps(block_node(name, file)), "-device", json.dumps(block_device(name, serial))]
