"""Bring large files of a copy up to date in place: rsync would write each anew as a whole, for a page that changed, while a service stands still.

Rules:
- It comes before rsync's pass over a copy that nobody uses yet. Rsync and the comparison go by what it left as by any copy.
- Only what size or time say is not the same is read, on both sides; only what differs is written.
- A file that is not whole yet bears the time of its last write, not its source's: whoever comes after a kill copies it anew.
- What has several names or holes on either side is rsync's.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable

from .tree_content import CHUNK, OPEN, is_same, read_at

# Below that a file is as quickly written anew.
LARGE = 8 << 20
_FULL_BLOCKS = 512
_SECOND_NS = 1_000_000_000
# The kernel stamps files by its tick, which is at most 10 ms (HZ=100); a filesystem of small inodes, by whole seconds.
_TICK_NS = 20_000_000


def is_large(info: os.stat_result) -> bool:
    """Say whether a file is one that is worth it, and can be patched."""
    whole = info.st_blocks * _FULL_BLOCKS >= info.st_size
    return stat.S_ISREG(info.st_mode) and info.st_size >= LARGE and info.st_nlink == 1 and whole


def patch(source: str, copy: str, relatives: Iterable[bytes]) -> int:
    """Bring those of the copy's files that can be up to date; return how many bytes were written.

    Raises `OSError` where the copy can't be written; what vanished, or is another kind of thing by now, is left to rsync.
    """
    written, buffers = 0, (bytearray(CHUNK), bytearray(CHUNK))
    for relative in relatives:
        paths = [os.path.join(os.fsencode(top), relative) for top in (source, copy)]
        try:
            here = os.open(paths[0], OPEN)
        except OSError:
            continue
        try:
            there = os.open(paths[1], os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            os.close(here)
            continue
        try:
            written += _patched(here, there, *buffers)
        finally:
            os.close(there)
            os.close(here)
    return written


def _patched(here: int, there: int, one: bytearray, other: bytearray) -> int:
    # Its time is what it was before it was read: a write in the meantime leaves a later one, and the next pass looks again.
    wanted, held = os.fstat(here), os.fstat(there)
    if not is_large(wanted) or not is_large(held) or (wanted.st_size, wanted.st_mtime_ns) == (held.st_size, held.st_mtime_ns):
        return 0
    _let_its_tick_pass(wanted.st_mtime_ns)
    written = at = 0
    while length := read_at(here, one, at):
        copied = read_at(there, other, at)
        if length != copied or not is_same(one, other, length):
            _write_at(there, memoryview(one)[:length], at)
            written += length
        at += length
    os.ftruncate(there, at)
    os.utime(there, ns=(held.st_atime_ns, wanted.st_mtime_ns))
    return written


def _let_its_tick_pass(modified_ns: int) -> None:
    # A half-written copy that the kernel stamped in the same tick as its source would bear its source's time, and pass for whole.
    tick = _TICK_NS if modified_ns % _SECOND_NS else _SECOND_NS + _TICK_NS
    if 0 <= (left := modified_ns + tick - time.time_ns()) <= tick:
        time.sleep(left / _SECOND_NS)


def _write_at(descriptor: int, data: memoryview, at: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], at + done)
