"""Open files as a running container sees them, without any of its links leading out of it.

Source: openat2(2); Linux 5.6 or newer.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from .faults import FailedFault

_OPENAT2 = 437
_NO_MAGIC, _NO_LINKS, _BENEATH, _IN_ROOT = 0x02, 0x04, 0x08, 0x10


class _How(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


@contextmanager
def opened(pid: int, path: str, flags: int = os.O_RDONLY) -> Iterator[int]:
    """Open `path` in the root of the process `pid`; its links lead nowhere else. Raises `OSError`."""
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        descriptor = _openat2(root, path, flags, _IN_ROOT | _NO_MAGIC)
    finally:
        os.close(root)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def opened_below(folder: str, relative: str, flags: int = os.O_PATH | os.O_DIRECTORY) -> Iterator[int]:
    """Open what lies at `relative` in a folder of this host, with no link on the way there and nothing that leads out of it. Raises `OSError`."""
    root = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        descriptor = _openat2(root, relative, flags, _BENEATH | _NO_MAGIC | _NO_LINKS)
    finally:
        os.close(root)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def opened_plainly(path: str, flags: int = os.O_RDONLY) -> Iterator[int]:
    """Open a plain file of the host by a path in which nothing is a link. Raises `OSError`, `FailedFault` where it is no plain file."""
    descriptor = _openat2(-100, path, flags | os.O_NONBLOCK, _NO_LINKS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FailedFault(f"{path} is no plain file")
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _openat2(folder: int, path: str, flags: int, resolve: int) -> int:
    how = _How(flags | os.O_CLOEXEC, 0, resolve)
    libc = ctypes.CDLL(None, use_errno=True)
    found = int(libc.syscall(_OPENAT2, folder, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how)))
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return found


def read(pid: int, path: str, most: int = 1 << 20) -> bytes:
    """Return what a file of the container holds. Raises `OSError`, `FailedFault` where it is larger than `most` bytes."""
    with opened(pid, path, os.O_RDONLY | os.O_NONBLOCK) as descriptor, os.fdopen(os.dup(descriptor), "rb") as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise FailedFault(f"{path} is larger than {most} bytes")
    return data
