"""Say in one line why the lab can't run here, before it touches anything."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from controlplane.domain.errors import RefusedError

from .programs import search_path

# program -> Debian package
PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "nc": "netcat-openbsd",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "losetup": "mount",
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "xfs_io": "xfsprogs",
    "npm": "npm",
}
# What virtual machines need besides: their boot image is made from the first lane's.
VM_PROGRAMS = {"qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils"}
ELSEWHERE = "Point the program at a host of your own instead: controlplane audit --target root@your-host"


def missing_reason(
    *,
    uid: int | None = None,
    os_release: Path = Path("/etc/os-release"),
    path: str | None = None,
    vm: bool = False,
    processor: str | None = None,
) -> str | None:
    """Return why the lab (with `vm`, its virtual machines) can't run here, or None."""
    if (os.geteuid() if uid is None else uid) != 0:
        return "it needs root"
    lines = os_release.read_text().splitlines() if os_release.exists() else []
    if "ID=debian" not in [line.replace('"', "") for line in lines]:
        return "it needs Debian"
    wanted = {**PROGRAMS, **VM_PROGRAMS} if vm else PROGRAMS
    packages = sorted({package for program, package in wanted.items() if shutil.which(program, path=path or search_path()) is None})
    if packages:
        return f"programs are missing; install them with: apt-get install {' '.join(packages)}"
    if vm and (processor or platform.machine()) != "x86_64":
        return "its virtual machines need an x86_64 host: they run what this host's Debian runs"
    if not Path("/dev/loop-control").exists():
        return "there is no /dev/loop-control (kernel module loop)"
    return None


def why_not(*, vm: bool = False) -> str | None:
    """Return one line on what can't run here and how to go on without it, or None."""
    reason = missing_reason(vm=vm)
    return f"{'Virtual machines' if vm else 'The lab'} can't run here: {reason}. {ELSEWHERE}" if reason else None


def refuse_where_it_cannot_run(*, vm: bool = False) -> None:
    """Raise `RefusedError` with one line unless this is root on Debian with everything that the lab starts."""
    if reason := missing_reason(vm=vm):
        raise RefusedError(f"The lab can't run here: {reason}. Nothing was changed. {ELSEWHERE}")
