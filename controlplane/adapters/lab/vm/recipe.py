"""What a virtual machine's boot image has besides the first lane's: a kernel, and all that a shared kernel forbade."""

from __future__ import annotations

import hashlib

KERNEL_PACKAGES = (
    "linux-image-cloud-amd64",
    "initramfs-tools",
    # Without it Debian's Docker starts no container where the kernel has AppArmor.
    "apparmor",
    # What disks can be made of besides partitions and filesystems.
    "btrfs-progs",
    "cryptsetup-bin",
    "lvm2",
)
INITRAMFS_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "ext4")
# Masked in the first lane because they set the host's kernel, or wait for what only a real one has.
UNMASKED_UNITS = (
    "dev-hugepages.mount",
    "kmod-static-nodes.service",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-binfmt.service",
    "systemd-journald-audit.socket",
    "systemd-modules-load.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-sysctl.service",
)
# The first lane's own stand-ins for a boot.
REMOVED = ("etc/systemd/system/systemd-udev-trigger.service.d/lab.conf", "usr/local/sbin/lab-coldplug", "usr/local/sbin/lab-init")
GUEST_ADDRESS = "10.0.2.15"
FILES = {
    "etc/initramfs-tools/conf.d/lab": "MODULES=list\nCOMPRESS=gzip\n",
    "etc/initramfs-tools/modules": "\n".join((*INITRAMFS_MODULES, "")),
    "etc/systemd/network/10-lab.network": (f"[Match]\nName=eth0\n\n[Network]\nAddress={GUEST_ADDRESS}/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"),
}
LINKS = {
    "etc/systemd/system/multi-user.target.wants/systemd-networkd.service": "/lib/systemd/system/systemd-networkd.service",
    "etc/systemd/system/systemd-networkd-wait-online.service": "/dev/null",
}


def vm_digest(first_lane_image: str) -> str:
    """Return the digest of the image that is made from the first lane's image of this name."""
    parts = (first_lane_image, KERNEL_PACKAGES, UNMASKED_UNITS, REMOVED, sorted(FILES.items()), sorted(LINKS.items()))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
