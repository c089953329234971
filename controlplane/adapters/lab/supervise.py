"""Keep one machine running: mount its boot disk, start it, start it again when it reboots, leave when it powers off.

Runs as a process of its own, in a mount namespace of its own, and outlives the command that started it:
`python -m controlplane.adapters.lab.supervise MACHINE_FOLDER`.

Rules:
- It writes down each process that it starts (record.json), so that leftovers are found by what was recorded.
- SIGTERM powers the machine off; nothing else ends a running machine from here.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from . import cgroups
from .disks import attached
from .home import MachineFiles
from .processes import Process
from .programs import environment, run
from .records import MachineSpec, Record, read_spec, write_record

REBOOT = 133  # what systemd-nspawn --keep-unit ends with when the machine asked for a reboot


def nspawn_argv(files: MachineFiles, spec: MachineSpec) -> list[str]:
    """Return the command that is the machine; the only device nodes in it are its own disks."""
    nodes = [f"--bind={device}" for device in (spec.boot_device, spec.data_device) if device]
    return [
        "systemd-nspawn",
        "--quiet",
        f"--machine={files.name}",
        f"--directory={files.root}",
        *nodes,
        "--settings=no",
        "--capability=all",
        f"--network-namespace-path={files.namespace_path}",
        "--register=no",
        "--keep-unit",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--console=read-only",
        "--kill-signal=SIGRTMIN+3",
        "/usr/local/sbin/lab-init",
    ]


def mount_boot_disk(files: MachineFiles, spec: MachineSpec) -> None:
    """Mount the boot disk where only this process and the machine see it."""
    if spec.boot_device not in attached(files.boot):
        raise SystemExit(f"{spec.boot_device} is not over {files.boot}")
    files.root.mkdir(exist_ok=True)
    run(["mount", spec.boot_device, files.root])
    Path("/run/systemd/nspawn").mkdir(parents=True, exist_ok=True)
    # nspawn refuses to clean up below this path when it is on a disk, and then doesn't start again after a reboot.
    run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run/systemd/nspawn"])


def personalise(files: MachineFiles) -> None:
    """Copy the machine's own files (host name, keys) into a boot disk that is fresh from the golden image."""
    if files.personal.exists():
        run(["cp", "-a", f"{files.personal}/.", files.root])
        run(["chroot", files.root, "chown", "-R", "ops:ops", "/home/ops"])
        shutil.rmtree(files.personal)


def leader_of(nspawn: Process, limit_s: float = 20.0) -> Process | None:
    """Return the machine's PID 1 as the host sees it: the child of nspawn in a network namespace of its own."""
    deadline = time.monotonic() + limit_s
    own = Path("/proc/self/ns/net").stat().st_ino
    while nspawn.alive() and time.monotonic() < deadline:
        try:
            children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text().split()
            for child in children:
                proc = Path("/proc") / child
                if (proc / "comm").read_text().strip() == "systemd" and (proc / "ns/net").stat().st_ino != own:
                    return Process.of(int(child))
        except OSError:
            pass
        time.sleep(0.05)
    return None


def supervise(files: MachineFiles) -> int:
    """Run the machine until it powers off; return nspawn's exit code."""
    spec = read_spec(files)
    myself = Process.of(os.getpid())
    mount_boot_disk(files, spec)
    personalise(files)
    argv = cgroups.wrap(files.namespace, nspawn_argv(files, spec))
    extra = {"SYSTEMD_SECCOMP": "0", "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "1", "SYSTEMD_NSPAWN_TMPFS_TMP": "0"}
    child: subprocess.Popen[bytes] | None = None

    def power_off(_number: int, _frame: FrameType | None) -> None:
        if child is not None:
            child.terminate()

    signal.signal(signal.SIGTERM, power_off)
    boots, code = 0, REBOOT
    while code == REBOOT:
        boots += 1
        doors = cgroups.prepare(files.namespace)

        def enter(doors: list[Path] = doors) -> None:
            for door in doors:
                door.write_text("0")

        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, env=environment(extra), preexec_fn=enter)  # noqa: PLW1509 - single-threaded; enters cgroups
        nspawn = Process.of(child.pid)
        write_record(files, Record(supervisor=myself, nspawn=nspawn, leader=None, boots=boots))
        leader = leader_of(nspawn) if nspawn else None
        write_record(files, Record(supervisor=myself, nspawn=nspawn, leader=leader, boots=boots))
        code = child.wait()
        print(f"nspawn ended with {code}", flush=True)  # noqa: T201 - standard output is the machine's console log
    run(["umount", files.root])
    return code


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    sys.exit(supervise(MachineFiles(folder.name, folder, sys.argv[2])))
