"""Build the golden boot image: a Debian tree with Docker, made once per recipe and copied for every machine.

Rules:
- A half-built image never has the name of a finished one: it is built beside it and renamed.
- The mirror is the one that this machine's own apt sources name.
- What apt is told on the host (proxy, certificates, dates) holds in the tree while it is built, and is removed then.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from controlplane.domain.errors import RunFailedError

from .apt_sources import debian_mirror
from .home import LabHome
from .programs import run
from .recipe import (
    BASE_PACKAGES,
    CONTENT,
    ENGINE_PACKAGES,
    FRESH_ALTERNATIVE,
    FRESH_PACKAGES,
    FRESH_SOURCE,
    MASKED_UNITS,
    NEWER_SUITE,
    SUITE,
    Engine,
    base_digest,
    golden_digest,
)
from .records import MachineSpec
from .systems import SYSTEMS, Keyring, Release, System

Say = Callable[[str], None]


@contextmanager
def building(home: LabHome, name: str) -> Iterator[tuple[Path, IO[bytes]]]:
    """Yield a scratch folder and the build's log; remove the folder whatever happens."""
    home.cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    for stale in home.cache.glob(f"build-{name}-*"):
        shutil.rmtree(stale, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"build-{name}-", dir=home.cache))
    scratch.chmod(0o755)
    try:
        with (home.cache / f"{name}.log").open("wb") as log:
            yield scratch, log
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def mirror_of(release: Release) -> str:
    """Return where a release comes from: the host's own mirror for Debian, the distribution's archive else."""
    return release.mirror or debian_mirror()


def _keyring(mirror: str, keyring: Keyring, folder: Path) -> Path:
    """Return the file with a distribution's keys, out of its package, which has to be the one that is known."""
    package = folder / "keyring.deb"
    try:
        with urllib.request.urlopen(f"{mirror}/{keyring.path}", timeout=60) as answer:  # noqa: S310 - an address of ours
            package.write_bytes(answer.read())
    except OSError as error:
        raise RunFailedError(f"lab: {mirror} can't be had: {error}. Nothing was changed.") from None
    if hashlib.sha256(package.read_bytes()).hexdigest() != keyring.sha256:
        raise RunFailedError(f"lab: {mirror}/{keyring.path} is not the package that is known. Nothing was changed.")
    run(["dpkg-deb", "-x", package, folder])
    return folder / keyring.member


def _debootstrap(system: System, scratch: Path, log: IO[bytes]) -> Path:
    """Make the tree of a system in a folder below `scratch`."""
    release, tree = SYSTEMS[system], scratch / "tree"
    mirror = mirror_of(release)
    argv: list[str | Path] = ["debootstrap", "--variant=minbase", f"--include={','.join(BASE_PACKAGES)}"]
    argv += [f"--components={','.join(release.components)}"]
    if release.keyring:
        argv.append(f"--keyring={_keyring(mirror, release.keyring, scratch)}")
    argv += [release.suite, tree, mirror]
    # A release that is newer than this debootstrap is made as the ones before it.
    scripts = Path("/usr/share/debootstrap/scripts")
    if not (scripts / release.suite).exists():
        argv.append(scripts / ("gutsy" if system.startswith("ubuntu") else "sid"))
    run(argv, log=log)
    return tree


def base_tree(home: LabHome, log: IO[bytes], say: Say, system: System = "debian-12") -> Path:
    """Return the cached tar of the tree without Docker, made by debootstrap where it isn't there."""
    tar = home.cache / f"base-{base_digest(system)}.tar"
    if tar.exists():
        return tar
    say(f"debootstrap of {system} (about a minute)")
    with tempfile.TemporaryDirectory(prefix="build-base-", dir=home.cache) as scratch:
        tree = _debootstrap(system, Path(scratch), log)
        shutil.rmtree(tree / "var/cache/apt/archives", ignore_errors=True)
        partial = Path(scratch) / "base.tar"
        run(["tar", "-C", tree, "--numeric-owner", "--xattrs", "-cf", partial, "."], log=log)
        partial.rename(tar)
    return tar


def in_tree(tree: Path, argv: list[str], log: IO[bytes]) -> None:
    """Run a program in the tree, in namespaces of its own: what it starts or mounts ends with it."""
    inner = 'mount -t proc proc "$1/proc" && shift && exec chroot "$@"'
    namespaces = ["unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child"]
    run([*namespaces, "sh", "-c", inner, "sh", tree, tree, *argv], log=log)


@contextmanager
def apt_of_the_host(tree: Path, sources: str = "") -> Iterator[None]:
    """Let apt in the tree reach what the host's apt reaches, with more `sources` than the tree's own, and start no service."""
    settings = run(["apt-config", "dump", "Acquire"])
    kept = [line for line in settings.splitlines() if "IndexTargets" not in line and '""' not in line]
    files = {
        "etc/apt/apt.conf.d/00lab": "\n".join([*kept, 'Acquire::Languages "none";', 'APT::Install-Recommends "0";', ""]),
        "etc/apt/sources.list.d/lab-build.list": sources,
        "usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
        "etc/resolv.conf": Path("/etc/resolv.conf").read_text(),
    }
    for name, text in files.items():
        (tree / name).unlink(missing_ok=True)
        (tree / name).write_text(text)
    (tree / "usr/sbin/policy-rc.d").chmod(0o755)
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    if certificates.exists():
        (tree / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
        shutil.copy(certificates, tree / "etc/ssl/certs/ca-certificates.crt")
    yield
    for name in files:
        (tree / name).unlink(missing_ok=True)
    for junk in ("var/lib/apt/lists", "var/cache/apt"):
        shutil.rmtree(tree / junk, ignore_errors=True)
        (tree / junk / "partial").mkdir(parents=True, exist_ok=True)


def install_engine(tree: Path, engine: Engine, log: IO[bytes]) -> None:
    """Install Docker; only Docker's own packages may come from the newer suite."""
    mirror = debian_mirror()
    (tree / "etc/apt/sources.list").write_text(
        f"deb {mirror} {SUITE} main\n# Docker and Compose only, see preferences.d/lab\ndeb {mirror} {NEWER_SUITE} main\n"
    )
    (tree / "etc/apt/preferences.d/lab").write_text(f"Package: *\nPin: release n={NEWER_SUITE}\nPin-Priority: 50\n")
    with apt_of_the_host(tree):
        in_tree(tree, ["apt-get", "-q", "update"], log)
        newer = ["-t", NEWER_SUITE] if engine == "26" else []
        in_tree(tree, ["apt-get", "-q", "-y", "install", *newer, *ENGINE_PACKAGES[engine]], log)
        if engine == "20.10":
            # Bookworm's own Compose is version 1: take the plugin alone, its package would replace the engine's client.
            fetch = (
                f"cd /root && apt-get -q download docker-compose/{NEWER_SUITE} && dpkg-deb -x docker-compose_*.deb /root/c"
                " && mkdir -p /usr/libexec/docker/cli-plugins"
                " && cp /root/c/usr/libexec/docker/cli-plugins/docker-compose /usr/libexec/docker/cli-plugins/"
                " && rm -r /root/c /root/docker-compose_*.deb"
            )
            in_tree(tree, ["sh", "-c", fetch], log)


def lay_out_packages(tree: Path, system: System, log: IO[bytes]) -> None:
    """Leave the packages that a baseline may name, with all that they need, in an apt source of the machine's own."""
    release = SYSTEMS[system]
    build = "".join(f"deb {mirror_of(release)} {suite} {' '.join(release.components)}\n" for suite in release.pockets)
    newer = []
    if system == "debian-12":
        # The engine of the other machines of this system.
        build += f"deb {mirror_of(release)} {NEWER_SUITE} main\n"
        (tree / "etc/apt/preferences.d/lab").write_text(f"Package: *\nPin: release n={NEWER_SUITE}\nPin-Priority: 50\n")
        newer = ["-t", NEWER_SUITE]
    (tree / "etc/apt/sources.list").write_text("")
    for stale in (tree / "etc/apt/sources.list.d").iterdir():
        stale.unlink()
    (tree / "srv/packages/partial").mkdir(parents=True)
    fetch = ["apt-get", "-q", "-y", "-o", "Dir::Cache::archives=/srv/packages", "--download-only", "install"]
    with apt_of_the_host(tree, build):
        in_tree(tree, ["apt-get", "-q", "update"], log)
        for argv in ([*fetch, *newer, *release.docker], [*fetch, *FRESH_PACKAGES], [*fetch, *FRESH_ALTERNATIVE]):
            in_tree(tree, argv, log)
    (tree / "etc/apt/preferences.d/lab").unlink(missing_ok=True)
    shutil.rmtree(tree / "srv/packages/partial")
    index = "\n".join(_stanza(package) for package in sorted((tree / "srv/packages").glob("*.deb")))
    (tree / "srv/packages/Packages").write_text(index)
    (tree / "etc/apt/sources.list").write_text(FRESH_SOURCE)


def _stanza(package: Path) -> str:
    """Return what an apt source says of one package."""
    content = package.read_bytes()
    told = run(["dpkg-deb", "--field", package]).rstrip("\n")
    return f"{told}\nFilename: ./{package.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"


def configure(tree: Path, log: IO[bytes]) -> None:
    """Make the tree boot quickly as a machine, with a login `ops` that has to become root by sudo."""
    for script in ("lab-init", "lab-coldplug"):
        shutil.copy(CONTENT / "machine" / script, tree / "usr/local/sbin" / script)
        (tree / "usr/local/sbin" / script).chmod(0o755)
    for unit in MASKED_UNITS:
        link = tree / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    drop_ins = {
        "systemd-udev-trigger.service": "[Service]\nExecStart=\nExecStart=-/usr/local/sbin/lab-coldplug\n",
        # The clean-up at each boot is what a VM has too; a stop that hangs must not hold a test for 90 s.
        "docker.service": "[Service]\nTimeoutStopSec=30\n",
    }
    for unit, text in drop_ins.items():
        folder = tree / "etc/systemd/system" / f"{unit}.d"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "lab.conf").write_text(text)
    (tree / "etc/sudoers.d/ops").write_text("ops ALL=(ALL:ALL) NOPASSWD: ALL\n")
    (tree / "etc/sudoers.d/ops").chmod(0o440)
    (tree / "etc/ssh/sshd_config.d/lab.conf").write_text(
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\nUseDNS no\nMaxSessions 64\nMaxStartups 64\n"
    )
    (tree / "etc/default/locale").write_text("LANG=C.UTF-8\n")
    (tree / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (tree / "etc/resolv.conf").unlink(missing_ok=True)
    (tree / "etc/fstab").write_text("# <file system> <mount point> <type> <options> <dump> <pass>\n")
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    in_tree(tree, ["useradd", "--create-home", "--shell", "/bin/bash", "ops"], log)
    in_tree(tree, ["systemctl", "set-default", "multi-user.target"], log)
    # Without a machine-id systemd takes this for a first boot and enables every unit again.
    (tree / "etc/machine-id").write_text("")


def golden_image(home: LabHome, spec: MachineSpec, say: Say) -> Path:
    """Return the cached boot image for `spec`, built where it isn't there (two minutes)."""
    engine, boot_bytes, system = spec.engine, spec.boot_bytes, spec.system
    digest = golden_digest(engine, boot_bytes, system)
    family = f"{'golden' if system == 'debian-12' else system}-{engine}-{boot_bytes}"
    image = home.cache / f"{family}-{digest}.img"
    with home.locked("golden"):
        if image.exists():
            return image
        with building(home, f"golden-{system}-{engine}") as (scratch, log):
            base = base_tree(home, log, say, system)
            tree = scratch / "tree"
            tree.mkdir()
            run(["tar", "-C", tree, "--numeric-owner", "--xattrs", "-xpf", base], log=log)
            if engine == "none":
                say("laying out packages in the golden image")
                lay_out_packages(tree, system, log)
            else:
                say(f"installing Docker {engine} with Compose v2 into the golden image")
                install_engine(tree, engine, log)
            configure(tree, log)
            say("making the golden boot image")
            partial = scratch / "boot.img"
            with partial.open("wb") as handle:
                os.truncate(handle.fileno(), boot_bytes)
            # With the checksum seed in the superblock each copy gets a UUID of its own in no time.
            run(["mkfs.ext4", "-q", "-O", "metadata_csum_seed", "-L", "boot", "-d", tree, partial], log=log)
            partial.rename(image)
        for older in home.cache.glob(f"{family}-*.img"):
            if older != image:
                older.unlink()
    return image


def copy_image(source: Path, target: Path) -> None:
    """Copy an image, as a reflink where the filesystem can, else sparsely; the name appears when it is whole."""
    partial = target.with_suffix(".partial")
    run(["cp", "--reflink=auto", "--sparse=always", source, partial])
    run(["tune2fs", "-U", "random", partial])
    partial.rename(target)
