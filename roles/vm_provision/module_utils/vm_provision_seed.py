"""The host key that a machine is born with, and the disk that cloud-init reads it from.

Rules:
- Both lie in a folder that only root can enter, and are gone when the machine has answered.
- A key is there whole or not at all.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ansible.module_utils import vm_provision_shape as shape
from ansible.module_utils.vm_provision_libvirt import run


def key_folder(home, run_key):
    """Return where the machine's private host key lies until it has answered."""
    return Path(home) / run_key / "vm_provision"


def host_key(folder):
    """Return the public key that lies in the folder as 'type base64', empty where none does."""
    try:
        words = (folder / "host_key.pub").read_text().split()
    except OSError:
        return ""
    return " ".join(words[:2])


def make_host_key(folder, name):
    """Make the folder with a new key pair in it and return the public one; what an interrupted run left half made there goes."""
    scratch = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700, parents=True)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(scratch / "host_key"))
    _sync(scratch / "host_key", scratch / "host_key.pub", scratch)
    scratch.rename(folder)
    _sync(folder.parent)
    return host_key(folder)


def make_seed(folder, want, *, uuid, mac, tool):
    """Write the disk for cloud-init and return its path; it holds the private key."""
    path = folder / "seed.iso"
    path.unlink(missing_ok=True)
    texts = {
        "user-data": shape.user_data(want, (folder / "host_key").read_text(), (folder / "host_key.pub").read_text().strip()),
        "meta-data": shape.meta_data(want["name"], uuid),
        "network-config": shape.network_config(want["address"], mac),
    }
    before = os.umask(0o077)
    try:
        for name, text in texts.items():
            (folder / name).write_text(text)
        command = [tool, "-as", "mkisofs"] if tool == "xorriso" else [tool]
        run(*command, "-quiet", "-V", "cidata", "-r", "-J", "-o", str(path), *(str(folder / name) for name in texts))
    finally:
        os.umask(before)
        for name in texts:
            (folder / name).unlink(missing_ok=True)
    return path


def forget(folder):
    """Remove the private key and everything that was made from it."""
    for each in (folder, folder.with_name(f"{folder.name}.new")):
        if each.exists():
            shutil.rmtree(each)


def _sync(*paths):
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
