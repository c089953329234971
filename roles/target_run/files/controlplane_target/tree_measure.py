"""How much room a live tree takes: allocated bytes and entries, hard links once, mounts below left out."""

from __future__ import annotations

import os
import stat

from . import lost_found


def measure(path: str) -> tuple[int, int]:
    """Return (allocated bytes, entries) of a tree that may change meanwhile; an absent one is (0, 0)."""
    try:
        top = os.lstat(path)
    except FileNotFoundError:
        return 0, 0
    size, entries = top.st_blocks * 512, 1
    seen: set[int] = set()
    pending = [path]
    while pending:
        try:
            listing = list(os.scandir(pending.pop()))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in listing:
            try:
                info = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if info.st_dev != top.st_dev:
                continue
            if not stat.S_ISDIR(info.st_mode) and info.st_nlink > 1:
                if info.st_ino in seen:
                    continue
                seen.add(info.st_ino)
            size += info.st_blocks * 512
            entries += 1
            if stat.S_ISDIR(info.st_mode):
                pending.append(entry.path)
    return size, entries


def is_empty(path: str) -> bool:
    """Return whether the path is absent, or a directory with nothing but a filesystem's own lost+found."""
    try:
        return not lost_found.names_in(path)
    except FileNotFoundError:
        return True
