"""One digest over a whole tree's metadata: did anything below this path change since it was recorded?

Rules:
- Standard library of Python 3.9 only: the same file runs on the target and inside the collector; both copies are byte-equal.
- It is made of what `lstat` tells, of no content: a write that afterwards puts size and mtime back is not seen, nor are the targets of links, xattrs,
  ACLs and chattr's flags. Any other write, and every entry that is new, gone, renamed, or of another owner or mode, changes it.
- Links are not followed. What is mounted below the path is named, never entered.
- What can't be read raises `OSError`: an incomplete fingerprint would look like a change, or hide one.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time

_KINDS = (
    (stat.S_ISREG, "f"),
    (stat.S_ISDIR, "d"),
    (stat.S_ISLNK, "l"),
    (stat.S_ISCHR, "c"),
    (stat.S_ISBLK, "b"),
    (stat.S_ISFIFO, "p"),
    (stat.S_ISSOCK, "s"),
)


class TooLateError(Exception):
    """The time that was given was over before the whole tree was read."""


def _line(relative: bytes, info: os.stat_result) -> bytes:
    kind = next((letter for test, letter in _KINDS if test(info.st_mode)), "?")
    size = info.st_size if kind == "f" else 0
    fields = (kind, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, size, info.st_mtime_ns)
    # NUL ends each field, because a name may hold anything else, newlines as well.
    return b"".join(str(field).encode() + b"\0" for field in fields) + relative + b"\0"


def fingerprint_tree(path: str, until: float | None = None) -> tuple[str, int, int]:
    """Return `sha256:<hex>` over the sorted lines of `path` and all below it, the number of entries below it, and the bytes that they occupy.

    A line is type, mode, uid, gid, size (regular files only), mtime in ns and relative path; a mountpoint below is its type `m` and path. Bytes are
    allocated ones, a hard-linked file counted once: what removing the tree would free. Raises `TooLateError` once the monotonic clock passes `until`.
    """
    top = os.lstat(path)
    lines = [_line(b".", top)]
    seen: set[int] = set()
    occupied = 0
    pending = [b""] if stat.S_ISDIR(top.st_mode) else []
    if not pending:
        occupied = top.st_blocks * 512
    while pending:
        folder = pending.pop()
        with os.scandir(os.path.join(os.fsencode(path), folder)) as entries:
            for entry in entries:
                if until is not None and time.monotonic() > until:
                    raise TooLateError(f"{path} was not read to its end in time")
                relative = os.path.join(folder, entry.name)
                info = entry.stat(follow_symlinks=False)
                if info.st_dev != top.st_dev:
                    lines.append(b"m\0" + relative + b"\0")
                    continue
                lines.append(_line(relative, info))
                if info.st_nlink == 1 or stat.S_ISDIR(info.st_mode) or info.st_ino not in seen:
                    occupied += info.st_blocks * 512
                    seen.add(info.st_ino)
                if stat.S_ISDIR(info.st_mode):
                    pending.append(relative)
    digest = hashlib.sha256()
    for line in sorted(lines):
        digest.update(line)
    return f"sha256:{digest.hexdigest()}", len(lines) - 1, occupied
