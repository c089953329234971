"""chattr's flags of one open file or folder."""

from __future__ import annotations

import errno
import fcntl
import struct

# The numbers of the calls hold the size of a long.
_GET, _SET = (0x80086601, 0x40086602) if struct.calcsize("l") == 8 else (0x80046601, 0x40046602)
IMMUTABLE, APPEND, NODUMP, NOATIME, SYNC, DIRSYNC = 0x10, 0x20, 0x40, 0x80, 0x8, 0x10000
_UNKNOWN_HERE = (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def read(descriptor: int) -> int | None:
    """Return all flags, None where the filesystem knows none. Raises OSError."""
    try:
        raw = fcntl.ioctl(descriptor, _GET, b"\0" * 8)
    except OSError as fault:
        if fault.errno in _UNKNOWN_HERE:
            return None
        raise
    return int(struct.unpack("=l", raw[:4])[0])


def change(descriptor: int, *, put: int = 0, clear: int = 0) -> bool:
    """Put these flags and clear those, the others untouched; return whether that made a difference. Raises OSError."""
    raw = fcntl.ioctl(descriptor, _GET, b"\0" * 8)
    held = struct.unpack("=l", raw[:4])[0]
    wanted = (held & ~clear) | put
    if wanted != held:
        fcntl.ioctl(descriptor, _SET, struct.pack("=l", wanted) + b"\0" * 4)
    return bool(wanted != held)
