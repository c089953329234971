"""Start, stop, cut and release one nspawn machine.

Rules:
- Whatever a killed run left of the machine is released before it is started.
- Only what carries the machine's own name or backing files is touched: its processes, loop devices, namespace, cgroups.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from controlplane.domain.errors import RunFailedError

from . import cgroups, disks, netns, processes
from .golden import copy_image
from .home import LabHome, MachineFiles
from .processes import Process
from .programs import environment, succeeds
from .records import MachineSpec, Record, read_record, write_spec
from .ssh import write_entry, write_identity


def create(home: LabHome, files: MachineFiles, spec: MachineSpec, golden: Path) -> None:
    """Make the machine's disks and identity from the golden image; the spec is written last, so that half a machine has none."""
    files.path.mkdir(mode=0o755, parents=True, exist_ok=True)
    copy_image(golden, files.boot)
    disks.make_blank(files.data, spec.data_bytes)
    write_identity(home, files, spec)
    write_entry(home, files, way_to(files))
    write_spec(files, spec)


def way_to(files: MachineFiles) -> dict[str, str]:
    """Return how ssh gets to the machine: it has no address, so a connection enters its network namespace."""
    return {
        "HostName": files.name,
        "ProxyCommand": f"nsenter --net={files.namespace_path} nc 127.0.0.1 22",
        "ConnectTimeout": "10",
        "ServerAliveCountMax": "5",
    }


def start(files: MachineFiles, spec: MachineSpec) -> Record:
    """Attach the disks and start the supervisor; return its first record (the machine is still booting)."""
    release(files)
    if spec.data_disk == "foreign":
        disks.make_foreign(files.foreign, spec.data_bytes)
    data = {"own": files.data, "foreign": files.foreign, "none": None}[spec.data_disk]
    spec = spec.model_copy(update={"boot_device": disks.attach(files.boot), "data_device": disks.attach(data) if data else ""})
    write_spec(files, spec)
    succeeds(["e2fsck", "-p", spec.boot_device])
    netns.ensure(files.namespace)
    argv = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "controlplane.adapters.lab.supervise"]
    with files.console.open("ab") as console:
        child = subprocess.Popen(
            [*argv, str(files.path), files.namespace],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            cwd="/",
            start_new_session=True,
            env=environment({"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}),
        )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        record = read_record(files)
        if record.supervisor and record.supervisor.pid == child.pid and record.leader:
            return record
        if child.poll() is not None:
            break
        time.sleep(0.05)
    release(files)
    raise RunFailedError(f"lab: {files.name} did not start; its console is in {files.console}. Nothing of it is left running.")


def _end_processes(files: MachineFiles) -> None:
    # The supervisor first: it would take the end of the others for a reboot and start the machine again.
    record = read_record(files)
    processes.end([record.supervisor] if record.supervisor else [])
    known = [*record.processes(), *cgroups.members(files.namespace), *processes.in_namespace(files.namespace_path)]
    own = Process.of(os.getpid())
    cgroups.thaw(files.namespace)
    processes.end([process for process in known if process != own])


def release(files: MachineFiles) -> None:
    """End what runs of the machine and give back its namespace, loop devices and cgroups; its disks' files stay."""
    _end_processes(files)
    files.record.unlink(missing_ok=True)
    netns.remove(files.namespace)
    disks.detach_all(files.path)
    cgroups.remove(files.namespace)
    with suppress(OSError):
        files.root.rmdir()


def power_off(files: MachineFiles, *, limit_s: float = 60.0) -> None:
    """Ask a running machine to power off, end it where it doesn't within the limit, and release it."""
    record = read_record(files)
    if record.running() and record.supervisor:
        record.supervisor.kill(signal.SIGTERM)
        deadline = time.monotonic() + limit_s
        while record.supervisor.alive() and time.monotonic() < deadline:
            time.sleep(0.05)
    release(files)


def cut(files: MachineFiles) -> None:
    """Take the power away: what was not synced to the machine's disks is gone; it stays off until it is started."""
    record = read_record(files)
    if not record.running() or not record.leader or not record.supervisor:
        raise RunFailedError(f"lab: {files.name} is not running, so its power can't be cut. Nothing was changed.")
    record.supervisor.kill()
    own = set(disks.attached(files.path))
    seen: set[str] = set()
    for line in Path(f"/proc/{record.leader.pid}/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        device, mounted = after.split(" ")[1], before.split(" ")[4]
        if device in own and device not in seen:
            place = Path(f"/proc/{record.leader.pid}/root{mounted.encode().decode('unicode_escape')}")
            # Filesystems that don't know the call keep what their page cache had; ext4 and xfs do know it.
            if succeeds(["xfs_io", "-x", "-c", "shutdown", place]):
                seen.add(device)
    release(files)


def destroy(files: MachineFiles) -> None:
    """Release the machine and delete its files, disks included."""
    release(files)
    shutil.rmtree(files.path, ignore_errors=True)
