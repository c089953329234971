"""Disks, filesystems and mounts, what fstab says, and where paths lie."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from controlplane.domain.evidence_shapes.closed import closed


@closed
class Mount(TypedDict):
    """One line of /proc/self/mountinfo, octal escapes decoded."""

    id: int
    parent: int
    dev: str
    root: str
    mount: str
    options: list[str]
    fstype: str
    source: str
    super_options: list[str]


@closed
class BlockDevice(TypedDict):
    """One entry of /sys/class/block; `slaves`, `holders`, `partitions` and `partition_of` are device numbers."""

    name: str
    size: int
    read_only: bool
    slaves: list[str]
    holders: list[str]
    partition_of: str | None
    partitions: list[str]
    loop_file: str | None
    dm_name: str | None
    dm_uuid: str | None
    serial: str | None
    wwn: str | None
    links: list[str]
    node: str | None


@closed
class Signature(TypedDict):
    """What `blkid -p` and `wipefs -n` say of one device, and what `lsblk`/swaps/md claim of it; empty lists mean blank."""

    uuid: str | None
    type: str | None
    label: str | None
    blkid: dict[str, str]
    wipefs: list[str]


@closed
class FstabEntry(TypedDict):
    line: int
    spec: str
    file: str
    vfstype: str
    options: list[str]
    freq: int
    passno: int


@closed
class Fstab(TypedDict):
    """/etc/fstab: exact text, decoded entries, lines that are no entry, and what `findmnt --verify` printed."""

    text: str
    mtime: float
    entries: list[FstabEntry]
    bad_lines: list[int]
    verify_rc: int
    verify_output: str


@closed
class Usage(TypedDict):
    """One statvfs; `available` is what an unprivileged process may still use."""

    size: int
    free: int
    available: int
    inodes: int
    inodes_free: int


@closed
class PathPlace(TypedDict):
    """Where a host path really lies: symlinks resolved, `nearest` the nearest existing ancestor, `dev` its device number, `mount` its mountpoint.

    `empty`: whether a directory holds nothing but a filesystem's own lost+found; None for what is no directory or can't be listed.
    """

    exists: bool
    real: str
    nearest: str
    dev: str
    mount: str
    kind: Literal["dir", "file", "other", "absent"]
    uid: int | None
    gid: int | None
    mode: int | None
    empty: bool | None


@closed
class Beneath(TypedDict):
    """The directory under a mount, seen past it: number of entries, some names, and whether it is immutable (chattr +i)."""

    exists: bool
    entries: int
    sample: list[str]
    immutable: bool | None
