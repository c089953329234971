"""Compare two trees completely: the evidence that a copy may take the place of its source.

Rules:
- Each entry on either side: presence, type, owner, mode, size, time, link target, device number, xattrs, ACLs, flags (chattr), hard links, holes.
- Content is read on both sides, and compared byte by byte, where the source's ctime is not before `read_since_ns`, or size or mtime differ. The caller
  syncs the source's filesystem when that time begins: without it a store through an already dirty mapping would move no ctime.
- What an earlier comparison proved equal is skipped only while inode, ctime, mtime, size, owner, mode and links of both sides are as they were, and only if the
  source's ctime was older than that comparison's own beginning: a change in the same clock tick would be invisible.
- What was read and found equal is not read again because of what differs besides, or was put right since, as long as nobody wrote to either side.
- Content is read in the background (tree_content.py), the copy's from its disk.
- A mount below either side is a difference, and so is what can't be read. A filesystem's own `lost+found` is nobody's data (lost_found.py).
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from typing import NamedTuple

from . import lost_found, tree_flags
from .tree_content import OPEN, ContentReader, Outcome
from .tree_patch import is_large

# Of a tree with millions of files no more than so many wait to be read.
_MOST_WAITING = 500
# Holes are cut at block borders, which differ between filesystems by some blocks.
_HOLE_SLACK = 64 << 10
# ctime comes from the kernel's coarse clock, which lags by up to one tick (10 ms at 100 Hz).
CLOCK_LAG_NS = 100_000_000


def clock_ns() -> int:
    """Return a time (epoch ns) that no later change of a file can carry a ctime before."""
    return time.time_ns() - CLOCK_LAG_NS


class Difference(NamedTuple):
    """One way in which one entry differs; `path` is relative, `flags` the source's chattr flags where `what` is flags."""

    path: bytes
    what: str
    source: str
    destination: str
    flags: int = 0

    def __str__(self) -> str:
        return f"{os.fsdecode(self.path) or '.'}: {self.what} is {self.source}, the copy's is {self.destination}"


class Compared:
    """The result: differences, counts, what was proven so that a later comparison can skip it, and the large files on both sides (tree_patch.py)."""

    def __init__(self) -> None:
        self.differences: list[Difference] = []
        self.entries = 0
        self.read = 0
        self.read_bytes = 0
        self.skipped = 0
        self.proven: set[bytes] = set()
        self.large: list[bytes] = []


def _mark(path: bytes, source: os.stat_result, copy: os.stat_result) -> bytes:
    both = tuple((i.st_ino, i.st_ctime_ns, i.st_mtime_ns, i.st_size, i.st_mode, i.st_uid, i.st_gid, i.st_nlink) for i in (source, copy))
    return hashlib.blake2b(path + b"\0" + repr(both).encode(), digest_size=16).digest()


def _content_mark(path: bytes, source: os.stat_result, copy: os.stat_result) -> bytes:
    """Return what holds as long as nobody wrote to either: flags, owner or mode of the copy, which nobody uses, are no part of it."""
    both = (source.st_ctime_ns, *((i.st_ino, i.st_mtime_ns, i.st_size) for i in (source, copy)))
    return hashlib.blake2b(b"content\0" + path + b"\0" + repr(both).encode(), digest_size=16).digest()


class _Comparison:
    def __init__(self, source: bytes, copy: bytes, read_since_ns: int, proven: set[bytes], began_ns: int) -> None:
        self.source, self.copy = source, copy
        self.read_since_ns, self.proven, self.began_ns = read_since_ns, proven, began_ns
        self.result = Compared()
        self.reader = ContentReader()
        self.first_source: dict[int, bytes] = {}
        self.first_copy: dict[int, bytes] = {}
        self.device_source = os.lstat(source).st_dev
        self.device_copy = os.lstat(copy).st_dev

    def differ(self, path: bytes, what: str, source: object, copy: object, flags: int = 0) -> None:
        self.result.differences.append(Difference(path, what, str(source), str(copy), flags))

    def compare(self) -> Compared:
        try:
            self._walk()
            self._hear(most=0)
        finally:
            self.reader.close()
        return self.result

    def _hear(self, *, most: int) -> None:
        outcome: Outcome
        for (path, marks), outcome in self.reader.told(most=most):
            if isinstance(outcome, OSError):
                self.differ(path, "readability", outcome.strerror, "not compared")
            elif isinstance(outcome, BaseException):
                raise outcome
            elif outcome is not None:
                self.differ(path, "content", "its own", f"another one from byte {outcome} on")
            else:
                self.result.proven.update(marks)

    def _walk(self) -> None:
        self.entry(b"", os.lstat(self.source), os.lstat(self.copy))
        pending = [b""]
        while pending:
            folder = pending.pop()
            for name, here, there in self._both(folder):
                path = os.path.join(folder, name)
                if here is None or there is None:
                    self.differ(path, "presence", "absent" if here is None else "there", "absent" if there is None else "there")
                    continue
                if here.st_dev != self.device_source or there.st_dev != self.device_copy:
                    self.differ(
                        path,
                        "filesystem",
                        "its own" if here.st_dev == self.device_source else "a mount",
                        "its own" if there.st_dev == self.device_copy else "a mount",
                    )
                    continue
                try:
                    self.entry(path, here, there)
                except OSError as fault:
                    self.differ(path, "readability", fault.strerror, "not compared")
                    continue
                if stat.S_ISDIR(here.st_mode) and stat.S_ISDIR(there.st_mode):
                    pending.append(path)

    def _both(self, folder: bytes) -> list[tuple[bytes, os.stat_result | None, os.stat_result | None]]:
        try:
            here, there = _listing(os.path.join(self.source, folder)), _listing(os.path.join(self.copy, folder))
        except OSError as fault:
            self.differ(folder, "readability", fault.strerror, "not compared")
            return []
        if not folder:
            for top, listing in ((self.source, here), (self.copy, there)):
                if lost_found.is_own(top):
                    listing.pop(os.fsencode(lost_found.NAME), None)
        return [(name, here.get(name), there.get(name)) for name in sorted(here.keys() | there.keys())]

    def entry(self, path: bytes, here: os.stat_result, there: os.stat_result) -> None:
        result = self.result
        result.entries += 1
        # Those that are told of others meanwhile come between no two lines of this one.
        self._hear(most=_MOST_WAITING)
        before = len(result.differences)
        if is_large(here) and is_large(there):
            result.large.append(path)
        self._hard_links(path, here, there)
        mark = _mark(path, here, there)
        if mark in self.proven and len(result.differences) == before:
            result.skipped += 1
            result.proven.add(mark)
            return
        if stat.S_IFMT(here.st_mode) != stat.S_IFMT(there.st_mode):
            self.differ(path, "type", oct(stat.S_IFMT(here.st_mode)), oct(stat.S_IFMT(there.st_mode)))
            return
        self._metadata(path, here, there)
        self._xattrs(path)
        if stat.S_ISLNK(here.st_mode):
            self._same(path, "link target", os.readlink(os.path.join(self.source, path)), os.readlink(os.path.join(self.copy, path)))
        elif stat.S_ISREG(here.st_mode) or stat.S_ISDIR(here.st_mode):
            self._opened(path, here, there)
        elif stat.S_ISCHR(here.st_mode) or stat.S_ISBLK(here.st_mode):
            self._same(path, "device", here.st_rdev, there.st_rdev)
        content = _content_mark(path, here, there)
        marks = [mark] if len(result.differences) == before else []
        marks = [*marks, content] if here.st_ctime_ns < self.began_ns else []
        if stat.S_ISREG(here.st_mode) and self._is_doubtful(here, there) and content not in self.proven:
            result.read += 1
            result.read_bytes += here.st_size
            self.reader.ask((path, marks), os.path.join(self.source, path), os.path.join(self.copy, path))
        else:
            result.proven.update(marks[:-1] if content not in self.proven else marks)

    def _same(self, path: bytes, what: str, here: object, there: object) -> None:
        if here != there:
            self.differ(path, what, here, there)

    def _metadata(self, path: bytes, here: os.stat_result, there: os.stat_result) -> None:
        self._same(path, "owner", f"{here.st_uid}:{here.st_gid}", f"{there.st_uid}:{there.st_gid}")
        self._same(path, "mode", oct(stat.S_IMODE(here.st_mode)), oct(stat.S_IMODE(there.st_mode)))
        self._same(path, "time", here.st_mtime_ns, there.st_mtime_ns)
        if not stat.S_ISDIR(here.st_mode):
            self._same(path, "size", here.st_size, there.st_size)

    def _hard_links(self, path: bytes, here: os.stat_result, there: os.stat_result) -> None:
        if stat.S_ISDIR(here.st_mode) or (here.st_nlink == 1 and there.st_nlink == 1):
            return
        source = self.first_source.setdefault(here.st_ino, path)
        copy = self.first_copy.setdefault(there.st_ino, path)
        if source != copy:
            self.differ(path, "hard link", os.fsdecode(source), os.fsdecode(copy))

    def _xattrs(self, path: bytes) -> None:
        here, there = _xattrs(os.path.join(self.source, path)), _xattrs(os.path.join(self.copy, path))
        if here == there:
            return
        for name in sorted(here.keys() | there.keys()):
            what = "ACL" if name.startswith("system.posix_acl") else "xattr"
            if here.get(name) != there.get(name):
                self.differ(path, f"{what} {name}", _shown(here.get(name)), _shown(there.get(name)))

    def _opened(self, path: bytes, here: os.stat_result, there: os.stat_result) -> None:
        source = os.open(os.path.join(self.source, path), OPEN)
        try:
            copy = os.open(os.path.join(self.copy, path), OPEN)
            try:
                flags, copied = tree_flags.read(source), tree_flags.read(copy)
                if flags != copied:
                    self.differ(path, "flags", tree_flags.letters(flags), tree_flags.letters(copied), flags)
                if stat.S_ISREG(here.st_mode):
                    self._holes(path, source, copy, here, there)
            finally:
                os.close(copy)
        finally:
            os.close(source)

    def _is_doubtful(self, here: os.stat_result, there: os.stat_result) -> bool:
        doubtful = here.st_ctime_ns >= self.read_since_ns or here.st_size != there.st_size or here.st_mtime_ns != there.st_mtime_ns
        return doubtful and here.st_size + there.st_size > 0

    def _holes(self, path: bytes, source: int, copy: int, here: os.stat_result, there: os.stat_result) -> None:
        if here.st_blocks * 512 + 4096 <= here.st_size and there.st_blocks > here.st_blocks:
            held, filled = _data_bytes(source, here.st_size), _data_bytes(copy, there.st_size)
            if filled > held + _HOLE_SLACK:
                self.differ(path, "sparseness", f"{held} bytes of data", f"{filled} bytes of data")


def _listing(folder: bytes) -> dict[bytes, os.stat_result]:
    with os.scandir(folder) as entries:
        return {entry.name: entry.stat(follow_symlinks=False) for entry in entries}


def _xattrs(path: bytes) -> dict[str, bytes]:
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)}


def _shown(value: bytes | None) -> str:
    return "absent" if value is None else value.hex()[:60] or "empty"


def _data_bytes(descriptor: int, size: int) -> int:
    total = position = 0
    while position < size:
        try:
            begin = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError:
            break
        position = os.lseek(descriptor, begin, os.SEEK_HOLE)
        total += min(position, size) - begin
    return total


def compare_trees(source: str, copy: str, *, read_since_ns: int, began_ns: int, proven: set[bytes] | None = None) -> Compared:
    """Compare `copy` with `source`; `began_ns` is the wall clock before this comparison and before the sync that preceded it (epoch ns)."""
    return _Comparison(os.fsencode(source), os.fsencode(copy), read_since_ns, proven or set(), began_ns).compare()
