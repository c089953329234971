"""What lies between a virtual machine's boot disk and its root filesystem: nothing, a partition, or a volume group in a partition.

Rules:
- The filesystem is made and filled before, as a bare image; a layout is put around it, byte for byte.
- Nothing is mounted or activated for that: this host's device-mapper is not asked, and LVM is shown the one device.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from controlplane.adapters.lab.disks import detach_all, make_blank
from controlplane.adapters.lab.programs import run, search_path
from controlplane.adapters.lab.records import BootLayout
from controlplane.domain.errors import RefusedError, RunFailedError

MIB = 2**20
# Where partitions and LVM's data begin.
_START = MIB
# For a second partition table at the end, and for LVM to round up to a whole extent.
_ROOM = 16 * MIB
_GROUP, _VOLUME = "lab", "root"
_TYPES = {"partition": "linux", "lvm": "lvm"}


def refuse_without_tools(layout: BootLayout) -> None:
    """Raise `RefusedError` where this host lacks what makes a layout."""
    wanted = {"whole": {}, "partition": {"sfdisk": "fdisk"}, "lvm": {"sfdisk": "fdisk", "lvm": "lvm2"}}[layout]
    packages = sorted(package for program, package in wanted.items() if shutil.which(program, path=search_path()) is None)
    if packages:
        raise RefusedError(f"Boot layout '{layout}' needs programs that are missing: apt-get install {' '.join(packages)}. Nothing was changed.")


def lay_out(boot: Path, layout: BootLayout) -> None:
    """Turn the bare filesystem in `boot` into a disk of this layout."""
    if layout == "lvm":
        _wrap(boot, _volume_group)
    if layout != "whole":
        _wrap(boot, lambda disk, size: _partition(disk, size, _TYPES[layout]))


def root_of(boot: Path, layout: BootLayout) -> str:
    """Return how the kernel's command line names the root filesystem."""
    if layout == "lvm":
        return f"/dev/mapper/{_GROUP}-{_VOLUME}"
    start = _START if layout == "partition" else 0
    return "UUID=" + run(["blkid", "-p", "-O", str(start), "-o", "value", "-s", "UUID", boot]).strip()


def _wrap(boot: Path, prepare: Callable[[Path, int], None]) -> None:
    """Replace `boot` with a larger disk that `prepare` has got ready for `boot`'s bytes at `_START`."""
    size = boot.stat().st_size
    disk = boot.with_suffix(".partial")
    disk.unlink(missing_ok=True)
    make_blank(disk, size + _ROOM)
    prepare(disk, size)
    run(["dd", f"if={boot}", f"of={disk}", "bs=1M", f"seek={_START // MIB}", "conv=sparse,notrunc", "status=none"])
    disk.replace(boot)


def _partition(disk: Path, size: int, kind: str) -> None:
    with tempfile.TemporaryFile() as script:
        script.write(f"label: gpt\nstart={_START // 512}, size={size // 512}, type={kind}\n".encode())
        script.seek(0)
        run(["sfdisk", "-q", disk], stdin=script)


def _volume_group(disk: Path, size: int) -> None:
    device = run(["losetup", "--find", "--show", disk]).strip()
    asked = f'devices{{use_devicesfile=0 filter=["a|^{device}$|","r|.*|"]}} backup{{backup=0 archive=0}}'

    def lvm(verb: str, *words: str) -> str:
        return run(["lvm", verb, "--driverloaded", "n", "--config", asked, *words])

    try:
        with Path(device).open("rb") as held:
            # As long as it is locked, this host's udev leaves it alone and activates nothing that it finds there.
            fcntl.flock(held, fcntl.LOCK_EX)
            lvm("pvcreate", "-qq", device)
            lvm("vgcreate", "-qq", _GROUP, device)
            lvm("lvcreate", "-qq", "--activate", "n", "--zero", "n", "--wipesignatures", "n", "--size", f"{size}b", "--name", _VOLUME, _GROUP)
            start = lvm("pvs", "--noheadings", "--units", "b", "--nosuffix", "-o", "pe_start", device).strip()
            segments = lvm("lvs", "--noheadings", "-o", "seg_pe_ranges", _GROUP).split()
            # It ends with the lock.
            run(["losetup", "--detach", device])
    finally:
        detach_all(disk)
    if start != str(_START) or len(segments) != 1 or not segments[0].startswith(f"{device}:0-"):
        raise RunFailedError(f"lab: LVM put the volume of {disk} at {start} in {' '.join(segments)}, not in one piece at {_START}")
