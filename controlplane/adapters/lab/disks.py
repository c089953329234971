"""Disks as loop devices over sparse files; a device is ours only if its backing file lies in the lab's folder.

Rules:
- A device is found by its backing file, never by its number.
- Nothing is attached twice, and nothing is detached that another file backs.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from controlplane.domain.errors import RunFailedError

from .programs import run, succeeds

SYSFS = Path("/sys/block")


def attached(below: Path, *, sysfs: Path = SYSFS) -> dict[str, Path]:
    """Return device -> backing file of the loop devices whose file is `below` or lies below it, deleted ones too."""
    found = {}
    for entry in sorted(sysfs.glob("loop*")):
        try:
            backing = Path((entry / "loop/backing_file").read_text().rstrip("\n").removesuffix(" (deleted)"))
        except OSError:
            continue
        if backing == below or below in backing.parents:
            found[f"/dev/{entry.name}"] = backing
    return found


def attach(file: Path) -> str:
    """Attach a loop device to `file`, or return the one that it has."""
    if found := attached(file):
        return next(iter(found))
    return run(["losetup", "--find", "--show", file]).strip()


def detach_all(below: Path, *, limit_s: float = 10.0) -> None:
    """Detach the loop devices over files `below` and wait until they are free; one that stays busy is an error."""
    deadline = time.monotonic() + limit_s
    while busy := attached(below):
        for device in busy:
            _swap_off(device)
            succeeds(["losetup", "--detach", device])
        if time.monotonic() > deadline:
            raise RunFailedError(f"lab: {', '.join(busy)} over {below} stays busy; find who uses it with: lsof {' '.join(busy)}")
        if attached(below):
            time.sleep(0.05)


def swap_on(device: str, swaps: str) -> list[str]:
    """Return which swap areas of /proc/swaps are `device` or its partitions, as nodes of this host.

    The file shows the node's path as far as it still leads anywhere: after the machine ended, no more than its last part.
    """
    found = []
    for line in swaps.splitlines()[1:]:
        place, kind = line.split()[:2]
        node = f"/dev/{Path(place).name}"
        if kind == "partition" and (node == device or node.startswith(f"{device}p")):
            found.append(node)
    return found


def swap_files(swaps: str) -> list[str]:
    """Return the paths of the swap files of /proc/swaps, as they are shown: from their own filesystem's top once it is unmounted."""
    return [place for place, kind in (line.split()[:2] for line in swaps.splitlines()[1:]) if kind == "file"]


def _swap_off(device: str) -> None:
    # Swap that a machine switched on outlives the machine and keeps the device.
    swaps = Path("/proc/swaps").read_text()
    for node in swap_on(device, swaps):
        succeeds(["swapoff", node])
    for file in swap_files(swaps):
        # Only a path on the device's own filesystem is tried, in a mount that ends with the command.
        script = 'mount "$1" "$2" && [ -f "$2$3" ] && swapoff "$2$3"'
        succeeds(["unshare", "--mount", "sh", "-c", script, "sh", device, "/mnt", file])


def make_blank(file: Path, size: int) -> None:
    """Make a sparse file of `size` bytes where there is none."""
    if not file.exists():
        with file.open("xb") as handle:
            os.truncate(handle.fileno(), size)


def make_foreign(file: Path, size: int) -> None:
    """Make a disk that holds somebody else's filesystem and file, where there is none."""
    if file.exists():
        return
    partial = file.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    make_blank(partial, size)
    run(["mkfs.ext4", "-q", "-L", "foreign", partial])
    partial.rename(file)
