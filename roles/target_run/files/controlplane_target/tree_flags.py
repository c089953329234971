"""chattr's flags: rsync loses them, and an immutable file can't be replaced, so they are taken off before a copy and carried over after it."""

from __future__ import annotations

import os
import stat

from . import inode_flags
from .inode_flags import APPEND, DIRSYNC, IMMUTABLE, NOATIME, NODUMP, SYNC

# The flags that an administrator sets; the rest (extents, encryption, indexes) belong to the filesystem.
CARRIED = IMMUTABLE | APPEND | NODUMP | NOATIME | SYNC | DIRSYNC
BLOCKING = IMMUTABLE | APPEND
_LETTERS = ((SYNC, "S"), (IMMUTABLE, "i"), (APPEND, "a"), (NODUMP, "d"), (NOATIME, "A"), (DIRSYNC, "D"))


def letters(flags: int) -> str:
    """Return the flags as chattr writes them, `-` for none."""
    return "".join(letter for bit, letter in _LETTERS if flags & bit) or "-"


def read(descriptor: int) -> int:
    """Return the carried flags of an open file; 0 where its filesystem knows none."""
    return (inode_flags.read(descriptor) or 0) & CARRIED


def write(path: bytes, flags: int) -> None:
    """Give `path` exactly these carried flags, the filesystem's own ones untouched."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        inode_flags.change(descriptor, put=flags, clear=CARRIED)
    finally:
        os.close(descriptor)


def take_off(root: str) -> int:
    """Take immutable and append-only off everything below `root` (a copy that is about to be written again); return how many had them."""
    device = os.lstat(root).st_dev
    count = 0
    # As deep as a tree may be: a call within a call for each level ends at Python's own limit.
    pending = [os.fsencode(root)]
    while pending:
        path = pending.pop()
        info = os.lstat(path)
        if info.st_dev != device or not (stat.S_ISDIR(info.st_mode) or stat.S_ISREG(info.st_mode)):
            continue
        count += _take_off(path)
        if stat.S_ISDIR(info.st_mode):
            with os.scandir(path) as entries:
                pending += [entry.path for entry in entries]
    return count


def _take_off(path: bytes) -> int:
    """Take both flags off one file or folder; return 1 where it had one."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        flags = read(descriptor)
    finally:
        os.close(descriptor)
    if not flags & BLOCKING:
        return 0
    write(path, flags & ~BLOCKING)
    return 1
