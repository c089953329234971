"""What lies beneath mounts: the bare directory, seen past what is mounted on it.

In a mount namespace of our own, the filesystem that holds the directory is bound a second time, without what is mounted on it. Nothing of this
reaches the host, and the namespace ends with this process.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from typing import Any

from .mounts import is_remote, mount_table

_CLONE_NEWNS, _MS_BIND, _MS_REC, _MS_PRIVATE, _MNT_DETACH = 0x20000, 0x1000, 0x4000, 1 << 18, 2
_GETFLAGS = 0x80086601 if struct.calcsize("P") == 8 else 0x80046601
_IMMUTABLE = 0x10
_VIEW = "/run"
SAMPLE = 20


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def is_immutable(path: str) -> bool | None:
    """Say whether the directory has the immutable flag; None where the filesystem has no such flags."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        flags = fcntl.ioctl(fd, _GETFLAGS, struct.pack("l", 0))
    except OSError:
        return None
    finally:
        os.close(fd)
    return bool(struct.unpack("l", flags)[0] & _IMMUTABLE)


def holder_of(path: str, table: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the mount that holds the directory `path` itself: the last one strictly above it."""
    above = [mount for mount in table if mount["mount"] != path and (path + "/").startswith(mount["mount"].rstrip("/") + "/")]
    longest = max(len(mount["mount"]) for mount in above)
    return [mount for mount in above if len(mount["mount"]) == longest][-1]


def _state(folder: str) -> dict[str, Any]:
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return {"exists": False, "entries": 0, "sample": [], "immutable": None}
    return {"exists": True, "entries": len(names), "sample": names[:SAMPLE], "immutable": is_immutable(folder)}


def beneath(asked: dict[str, Any], _seen: dict[str, Any]) -> dict[str, Any]:
    """Return the bare directory of each asked mountpoint; one whose holder is remote or can't be bound is left out."""
    wanted = sorted({os.path.normpath(path) for path in asked.get("mounts", [])} - {"/"})
    if not wanted:
        return {}
    libc = ctypes.CDLL(None, use_errno=True)
    table = mount_table()
    _check(libc.unshare(_CLONE_NEWNS), "unshare")
    _check(libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None), "make mounts private")
    found = {}
    for path in wanted:
        holder = holder_of(path, table)
        if is_remote(holder["fstype"]) or holder["mount"] == _VIEW:
            continue
        _check(libc.mount(os.fsencode(holder["mount"]), os.fsencode(_VIEW), None, _MS_BIND, None), f"bind {holder['mount']}")
        try:
            found[path] = _state(os.path.join(_VIEW, os.path.relpath(path, holder["mount"])))
        finally:
            _check(libc.umount2(os.fsencode(_VIEW), _MNT_DETACH), "umount")
    return found
