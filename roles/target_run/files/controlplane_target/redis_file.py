"""The configuration file of a Redis: opened as the very one that its container sees, and written in place.

Rules:
- It is never replaced: a container to which the file itself is bound sees no other one.
- While it is written all of its text from before lies aside, for root alone; what can't be written whole is put back.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import inside
from .faults import FailedFault, RefusedFault
from .files import remove, write_atomic
from .redis_server import Server


@contextmanager
def opened(server: Server, path: str, flags: int) -> Iterator[tuple[str, int]]:
    """Open the configuration file on this host: the very one that the container sees. Raises `RefusedFault`."""
    place = server.place_of(path)
    try:
        with inside.opened_plainly(place, flags) as held:
            with inside.opened(server.pid, path, os.O_PATH) as seen:
                one, other = os.fstat(seen), os.fstat(held)
            if (one.st_dev, one.st_ino) != (other.st_dev, other.st_ino):
                raise RefusedFault(
                    f"{place} was replaced since {server.name} started, which still sees the file before it: restart it first, with AOF as it is. "
                    "Nothing was changed."
                )
            yield place, held
    except OSError as fault:
        raise RefusedFault(f"{path} of {server.name} can't be used, or {place} is a link: {fault.strerror}. Nothing was changed.") from fault


def text(held: int) -> str:
    """Return what an open file holds."""
    return _content(held).decode("utf-8", "surrogateescape")


def _content(held: int) -> bytes:
    data = b""
    while more := os.pread(held, 1 << 20, len(data)):
        data += more
    return data


def write(held: int, place: str, wanted: str, aside: Path) -> bool:
    """Write a file without replacing it: a container to which the file itself is bound sees no other one. `aside` has its old text meanwhile.

    Raises `FailedFault` where it could not be written, with the old text put back.
    """
    old = _content(held)
    write_atomic(aside, old, mode=0o600)
    try:
        data = wanted.encode("utf-8", "surrogateescape")
        _reserve(held, len(data))
        _put(held, data)
    except OSError as fault:
        try:
            _put_back(held, old)
        except OSError as other:
            raise FailedFault(
                f"{place} could not be written ({fault.strerror}), nor put back ({other.strerror}): its text from before is {aside}. Copy it there ('cat "
                f"{aside} > {place}', not mv) before anything restarts this Redis, then run this again"
            ) from fault
        remove(aside)
        raise FailedFault(f"{place} could not be written ({fault.strerror}), and is as it was. Mend that, then run this again") from fault
    remove(aside)
    return True


def mend(held: int, wanted: str, aside: Path) -> None:
    """Put back what a write that was cut off left: of each byte the old one, that of `wanted`, or none yet. Somebody's own text is left. Raises `OSError`."""
    seen, old, new = _content(held), aside.read_bytes(), wanted.encode("utf-8", "surrogateescape")
    length = max(len(old), len(new))
    sides = zip(seen, old.ljust(length, b"\0"), new.ljust(length, b"\0"))
    if min(len(old), len(new)) <= len(seen) <= length and all(one in (before, after, 0) for one, before, after in sides):
        _put(held, old)


def _reserve(held: int, size: int) -> None:
    """Let a full disk be told before the first byte. Raises `OSError`."""
    try:
        os.posix_fallocate(held, 0, size)
    except OSError as fault:
        # Not every filesystem can.
        if fault.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise


def _put(held: int, data: bytes) -> None:
    """Make `data` all that the open file has. Raises `OSError`."""
    written = 0
    while written < len(data):
        written += os.pwrite(held, data[written:], written)
    os.ftruncate(held, len(data))
    os.fsync(held)


def _put_back(held: int, old: bytes) -> None:
    """Make `old` all that the file has again; where it still begins with that, nothing is written. Raises `OSError`."""
    if not _content(held).startswith(old):
        _put(held, old)
    os.ftruncate(held, len(old))
    os.fsync(held)
