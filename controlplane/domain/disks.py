"""Disks and NFS exports as a policy declares them."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from controlplane.domain.evidence_shapes.disks import BlockDevice
from controlplane.domain.names import AsTuple, check_name
from controlplane.domain.paths import AnyPath, PlacePath, check_path, is_below
from controlplane.domain.sizes import Size
from controlplane.domain.values import Value

IdentityKind = Literal["serial", "wwn", "by_id", "by_path", "loop_file", "uuid"]
IDENTITY_KINDS: tuple[IdentityKind, ...] = ("serial", "wwn", "by_id", "by_path", "loop_file", "uuid")
KERNEL_NAME = (
    "{!r} is a name that the kernel hands out anew at each boot, so it can be another disk tomorrow: "
    "name the disk by serial, wwn, by_id or by_path (`ls -l /dev/disk/by-id` on the machine shows them)"
)
_KERNEL_DEVICE = re.compile(r"(/dev/)?(sd[a-z]+|vd[a-z]+|xvd[a-z]+|hd[a-z]+|nvme[0-9]+n[0-9]+|loop[0-9]+|dm-[0-9]+)(p?[0-9]+)?")
_OPTION = r"[A-Za-z0-9][A-Za-z0-9._=:/+@-]{0,127}"
_REFUSED_OPTIONS = {
    "bind": "it would mount a directory instead of the disk",
    "rbind": "it would mount a directory instead of the disk",
    "noauto": "the disk would not be mounted at boot",
    "remount": "it belongs to a command, not to fstab",
    "ro": "nothing could be placed on it",
    "x-systemd.makefs": "systemd would format the disk on a guess",
}


def is_kernel_name(text: str) -> bool:
    """Return whether `text` is a name such as /dev/sdb, which another disk may have after the next boot."""
    return _KERNEL_DEVICE.fullmatch(text) is not None


def _identity(text: str) -> str:
    if is_kernel_name(text):
        raise ValueError(KERNEL_NAME.format(text))
    return check_name(text, r"[A-Za-z0-9][A-Za-z0-9._:+#=@-]{0,254}", "disk identity")


def one_spelling(kind: IdentityKind, text: str) -> str:
    """Return the identity as it is written for any spelling of it: a link by its name alone, a filesystem's UUID in small letters."""
    match kind:
        case "by_id":
            return text.removeprefix("/dev/disk/by-id/")
        case "by_path":
            return text.removeprefix("/dev/disk/by-path/")
        case "uuid":
            return text.lower()
        case _:
            return text


def _link(kind: Literal["by_id", "by_path"], text: str) -> str:
    return _identity(one_spelling(kind, text))


def _uuid(text: str) -> str:
    if is_kernel_name(text):
        raise ValueError(KERNEL_NAME.format(text))
    return check_name(text, r"[0-9A-Fa-f][0-9A-Fa-f-]{7,35}", "filesystem UUID")


def _loop_file(text: str) -> str:
    if text == "/dev" or is_below(text, "/dev"):
        raise ValueError(
            f"{text!r} is a device, and loop_file is the path of the file behind a loop device; names of devices change from boot to boot: "
            "name a disk by serial, wwn, by_id or by_path (`ls -l /dev/disk/by-id` on the machine shows them)"
        )
    return text


def _option(text: str) -> str:
    check_name(text, _OPTION, "mount option")
    name = text.split("=", 1)[0]
    if name in _REFUSED_OPTIONS:
        raise ValueError(f"{text!r} is refused: {_REFUSED_OPTIONS[name]}; leave it out")
    return text


def _nfs_option(text: str) -> str:
    check_name(text, _OPTION, "mount option")
    if text.split("=", 1)[0] in ("ro", "rw"):
        raise ValueError(f"{text!r} is said by `mode`; leave it out of the options")
    return _option(text)


def _export(text: str) -> str:
    host, _, path = text.rpartition(":/")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]+\]", host, re.ASCII) or re.search(r"\s", text):
        raise ValueError(f"{text!r} is no NFS export: write it as server:/path")
    check_path("/" + path)
    return text


class Disk(Value):
    """A block device, found by exactly one identity, and the one mount that it serves."""

    serial: Annotated[str, AfterValidator(_identity)] | None = Field(None, description="Serial number, as lsblk -o SERIAL shows it")
    wwn: Annotated[str, AfterValidator(_identity)] | None = Field(None, description="World wide name, as lsblk -o WWN shows it")
    by_id: Annotated[str, AfterValidator(lambda text: _link("by_id", text))] | None = Field(None, description="Name below /dev/disk/by-id")
    by_path: Annotated[str, AfterValidator(lambda text: _link("by_path", text))] | None = Field(None, description="Name below /dev/disk/by-path")
    loop_file: Annotated[AnyPath, AfterValidator(_loop_file)] | None = Field(
        None, description="Backing file of a loop device, as sysfs shows it (labs only)"
    )
    uuid: Annotated[str, AfterValidator(_uuid)] | None = Field(None, description="UUID of a filesystem that is made already")
    min_size: Size | None = Field(None, description="A smaller disk is refused; required unless the disk is named by uuid")
    max_size: Size | None = Field(None, description="A larger disk is refused; required unless the disk is named by uuid")
    filesystem: Literal["ext4", "xfs"] = Field("ext4", description="Filesystem that is made, or that is there already")
    mount: PlacePath = Field(description="Where it is mounted")
    options: Annotated[tuple[Annotated[str, AfterValidator(_option)], ...], AsTuple] = Field(
        (), description="Mount options beside nofail and the device timeout"
    )

    @cached_property
    def identity_kind(self) -> IdentityKind:
        """Name the key that identifies this disk."""
        return next(kind for kind in IDENTITY_KINDS if getattr(self, kind) is not None)

    @cached_property
    def identity(self) -> str:
        """Return the value under `identity_kind`."""
        value = getattr(self, self.identity_kind)
        return str(value)

    @property
    def label(self) -> str:
        """Return how messages and plans name this disk, such as `serial DATA0001`."""
        return f"{self.identity_kind} {self.identity}"


def carries(disk: Disk, device: BlockDevice) -> bool:
    """Say whether a device has the identity by which a disk is declared; a filesystem's UUID is no identity of a device."""
    match disk.identity_kind:
        case "by_id":
            return f"/dev/disk/by-id/{disk.identity}" in device["links"]
        case "by_path":
            return f"/dev/disk/by-path/{disk.identity}" in device["links"]
        case "serial" | "wwn" | "loop_file" as kind:
            return device[kind] == disk.identity
        case "uuid":
            return False


class NfsMount(Value):
    """An NFS export with a mount entry of its own."""

    source: Annotated[str, AfterValidator(_export)] = Field(description="server:/path")
    mount: PlacePath = Field(description="Where it is mounted")
    mode: Literal["rw", "ro"] = Field("rw", description="Read-write or read-only")
    options: Annotated[tuple[Annotated[str, AfterValidator(_nfs_option)], ...], AsTuple] = Field((), description="Further mount options")
