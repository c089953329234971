"""What the lab's images are made of; the digest of a recipe is the name of its cached image."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, get_args

from .systems import SYSTEMS, System

# "none" is a machine as its image brings it: Docker and what a baseline may name lie in an apt source of its own.
Engine = Literal["26", "20.10", "none"]
ImageStore = Literal["graph", "containerd"]
ENGINES: tuple[str, ...] = get_args(Engine)
IMAGE_STORES: tuple[str, ...] = get_args(ImageStore)

SUITE = SYSTEMS["debian-12"].suite
# Docker with Compose v2 as Debian packages it; these need only a libc that bookworm has and replace nothing else.
NEWER_SUITE = "trixie"
BASE_PACKAGES = [
    "acl",
    "attr",
    "ca-certificates",
    "dbus",
    "e2fsprogs",
    "fdisk",
    "iproute2",
    "iptables",
    "kmod",
    "netcat-openbsd",
    "openssh-server",
    "parted",
    "procps",
    "psmisc",
    "python3",
    "rsync",
    "sudo",
    "systemd",
    "systemd-sysv",
    "udev",
    "util-linux",
    "xfsprogs",
]
ENGINE_PACKAGES: dict[Engine, tuple[str, ...]] = {
    "26": ("docker.io", "docker-cli", "docker-compose", "docker-buildx"),
    "20.10": ("docker.io",),
    "none": (),
}
# What a fresh machine can be told to install, besides its system's Docker; of these two only one can be installed.
FRESH_PACKAGES = ("cron", "prometheus-node-exporter", "qemu-guest-agent", "systemd-timesyncd", "tini")
FRESH_ALTERNATIVE = ("chrony",)
FRESH_SOURCE = "deb [trusted=yes] file:/srv/packages ./\n"
SERVICE_PACKAGES = ["ca-certificates", "nodejs", "postgresql", "redis-server"]
S3_STORE = "s3rver@3.7.1"
SERVICE_IMAGE = "lab/services:1"
# The same databases a Debian release later: Redis 8.0 and PostgreSQL 17.
NEWER_SERVICE_PACKAGES = ["postgresql", "redis-server"]
NEWER_SERVICE_IMAGE = "lab/services:13"

# A machine is for trying roles: nothing starts by itself that isn't needed, and nothing may set the kernel that it
# shares with the host (systemd-sysctl, modules, binfmt).
MASKED_UNITS = [
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "systemd-tmpfiles-clean.timer",
    "systemd-sysctl.service",
    "systemd-modules-load.service",
    "systemd-binfmt.service",
    "proc-sys-fs-binfmt_misc.automount",
    "systemd-random-seed.service",
    "systemd-firstboot.service",
    "systemd-pstore.service",
    "kmod-static-nodes.service",
    "systemd-timesyncd.service",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "sys-kernel-config.mount",
    "sys-fs-fuse-connections.mount",
    "dev-hugepages.mount",
    "systemd-journald-audit.socket",
    "console-getty.service",
    "systemd-repart.service",
]

CONTENT = Path(__file__).parent / "content"


def digest_of(folder: str, *parts: object) -> str:
    """Return 16 hex digits over `parts` and over every file of `folder` that goes into the image."""
    total = hashlib.sha256()
    for file in sorted((CONTENT / folder).iterdir()):
        total.update(file.name.encode() + b"\0" + file.read_bytes())
    total.update(repr(parts).encode())
    return total.hexdigest()[:16]


def base_digest(system: System = "debian-12") -> str:
    """Return the digest of the tree without Docker; it doesn't depend on the files that are copied in later."""
    return hashlib.sha256(repr((SYSTEMS[system].suite, BASE_PACKAGES)).encode()).hexdigest()[:16]


def golden_digest(engine: Engine, boot_bytes: int, system: System = "debian-12") -> str:
    """Return the digest of the boot image for `engine` on a disk of `boot_bytes`."""
    parts: tuple[object, ...] = (base_digest(system), engine, NEWER_SUITE, ENGINE_PACKAGES[engine], MASKED_UNITS, boot_bytes)
    if engine == "none":
        parts += (SYSTEMS[system], FRESH_PACKAGES, FRESH_ALTERNATIVE)
    return digest_of("machine", *parts)


def services_digest(trimmed: tuple[str, ...], *, newer: bool = False) -> str:
    """Return the digest of the service image; `trimmed` is what is left out of it."""
    if newer:
        return digest_of("services", NEWER_SUITE, NEWER_SERVICE_PACKAGES, NEWER_SERVICE_IMAGE, trimmed)
    return digest_of("services", SUITE, SERVICE_PACKAGES, S3_STORE, SERVICE_IMAGE, trimmed)
