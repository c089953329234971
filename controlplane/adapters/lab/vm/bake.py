"""Turn a copy of the first lane's boot image into one that boots by itself: `python -m …vm.bake FOLDER`, in mounts of its own.

FOLDER holds boot.img and gets vmlinuz and initrd. The mount ends with this process, however it ends.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import IO

from controlplane.adapters.lab.apt_sources import debian_mirror
from controlplane.adapters.lab.golden import apt_of_the_host, in_tree
from controlplane.adapters.lab.programs import run
from controlplane.adapters.lab.recipe import SUITE

from .recipe import FILES, KERNEL_PACKAGES, LINKS, REMOVED, UNMASKED_UNITS


def install_kernel(tree: Path, log: IO[bytes]) -> None:
    """Install the kernel; what decides its initramfs is there before."""
    for name, text in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    with apt_of_the_host(tree, f"deb {debian_mirror()} {SUITE} main\n"):
        in_tree(tree, ["apt-get", "-q", "update"], log)
        in_tree(tree, ["apt-get", "-q", "-y", "-o", "Dpkg::Options::=--force-confold", "install", *KERNEL_PACKAGES], log)


def configure(tree: Path) -> None:
    """Give back what the first lane took away, and let the network come up by a fixed address."""
    for unit in UNMASKED_UNITS:
        (tree / "etc/systemd/system" / unit).unlink()
    for name in REMOVED:
        (tree / name).unlink()
    for name, target in LINKS.items():
        (tree / name).unlink(missing_ok=True)
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).symlink_to(target)


def bake(folder: Path, log: IO[bytes]) -> None:
    """Do it all."""
    tree = folder / "tree"
    tree.mkdir()
    run(["mount", "-o", "loop", folder / "boot.img", tree])
    install_kernel(tree, log)
    configure(tree)
    for part, name in (("vmlinuz", "vmlinuz-*"), ("initrd", "initrd.img-*")):
        [newest] = (tree / "boot").glob(name)
        shutil.copyfile(newest, folder / part)
    run(["umount", tree])
    tree.rmdir()


if __name__ == "__main__":
    bake(Path(sys.argv[1]), sys.stdout.buffer)
