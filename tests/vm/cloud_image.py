"""A small Debian image with cloud-init, as a hypervisor keeps them: built once, cached with the lab's own images.

What a baseline brings lies in an apt source of its own, as on the lab's fresh machines: it reaches no other.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from controlplane.adapters.lab.golden import apt_of_the_host, base_tree, building, in_tree, lay_out_packages
from controlplane.adapters.lab.home import LabHome
from controlplane.adapters.lab.programs import run
from controlplane.adapters.lab.recipe import FRESH_PACKAGES, FRESH_SOURCE, MASKED_UNITS, SUITE, base_digest
from controlplane.adapters.lab.systems import SYSTEMS

PACKAGES = ["cloud-init", "ifupdown", "initramfs-tools", "isc-dhcp-client", "linux-image-cloud-amd64", "netbase", "qemu-guest-agent"]
SIZE = 2 << 30
# What a guest needs to find its root disk; everything else under emulation only costs time.
_MODULES = ["virtio_pci", "virtio_blk", "ext4"]
_EXTLINUX = """DEFAULT debian
PROMPT 0
TIMEOUT 1
LABEL debian
  KERNEL /boot/{kernel}
  INITRD /boot/{initrd}
  APPEND root=LABEL=cloudroot ro console=ttyS0 net.ifnames=0 quiet
"""
# Units that a whole machine needs, other than one that shares its host's kernel.
_NEEDED = {
    "systemd-sysctl.service",
    "systemd-modules-load.service",
    "getty.target",
    "proc-sys-fs-binfmt_misc.automount",
    "systemd-random-seed.service",
}


def _digest() -> str:
    built = (PACKAGES, SIZE, _MODULES, _EXTLINUX, sorted(_NEEDED), MASKED_UNITS)
    parts = ("without apt's log", base_digest(), SUITE, built, FRESH_PACKAGES, FRESH_SOURCE, SYSTEMS["debian-12"])
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def cloud_image(home: LabHome) -> Path:
    """Return the image, built where it isn't there (some minutes)."""
    image = home.cache / f"cloud-{_digest()}.qcow2"
    with home.locked("cloud"):
        if not image.exists():
            with building(home, "cloud") as (scratch, log):
                tree = scratch / "tree"
                tree.mkdir()
                run(["tar", "-C", tree, "--numeric-owner", "--xattrs", "-xpf", base_tree(home, log, print)], log=log)
                with apt_of_the_host(tree):
                    in_tree(tree, ["apt-get", "-q", "update"], log)
                    (tree / "etc/initramfs-tools/conf.d").mkdir(parents=True, exist_ok=True)
                    (tree / "etc/initramfs-tools/conf.d/lab").write_text("MODULES=list\nCOMPRESS=gzip\n")
                    (tree / "etc/initramfs-tools/modules").write_text("\n".join(_MODULES) + "\n")
                    in_tree(tree, ["apt-get", "-q", "-y", "install", *PACKAGES], log)
                lay_out_packages(tree, "debian-12", log)
                _configure(tree)
                disk = scratch / "disk.raw"
                with disk.open("wb") as handle:
                    os.truncate(handle.fileno(), SIZE)
                run(["mkfs.ext4", "-q", "-L", "cloudroot", "-d", tree, disk], log=log)
                _make_bootable(disk, scratch / "mnt")
                partial = scratch / "disk.qcow2"
                run(["qemu-img", "convert", "-O", "qcow2", disk, partial], log=log)
                partial.rename(image)
            for older in home.cache.glob("cloud-*.qcow2"):
                if older != image:
                    older.unlink()
    return image


def _configure(tree: Path) -> None:
    for unit in set(MASKED_UNITS) - _NEEDED:
        link = tree / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    # What apt did here is no part of the machine's life.
    shutil.rmtree(tree / "var/log/apt")
    (tree / "var/log/apt").mkdir()
    (tree / "etc/fstab").write_text("LABEL=cloudroot / ext4 defaults 0 1\n")
    (tree / "etc/machine-id").write_text("")
    (tree / "etc/cloud/cloud.cfg.d/lab.cfg").write_text("datasource_list: [NoCloud, None]\n")
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    folder = tree / "boot/extlinux"
    folder.mkdir()
    [kernel], [initrd] = ([path.name for path in (tree / "boot").glob(pattern)] for pattern in ("vmlinuz-*", "initrd.img-*"))
    (folder / "extlinux.conf").write_text(_EXTLINUX.format(kernel=kernel, initrd=initrd))


def _make_bootable(disk: Path, mountpoint: Path) -> None:
    mountpoint.mkdir()
    loop = run(["losetup", "--find", "--show", disk]).strip()
    try:
        run(["mount", loop, mountpoint])
        try:
            run([shutil.which("extlinux") or "extlinux", "--install", mountpoint / "boot/extlinux"])
        finally:
            run(["umount", mountpoint])
    finally:
        run(["losetup", "--detach", loop])
