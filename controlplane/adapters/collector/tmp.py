"""Large files below /tmp and /var/tmp, on the filesystem that holds each of them."""

from __future__ import annotations

import os
from typing import Any

from .mounts import mount_table

ROOTS = ("/tmp", "/var/tmp")  # noqa: S108 - looked at, never written
AT_LEAST = 1_000_000
MOST = 200


def mark_of(info: os.stat_result) -> str:
    """Return what tells this very content of a file from a later one; the machine's own tool says it in the same words.

    Its disk's number is no part of that: it may be another one after a reboot, and below these folders no other filesystem is entered.
    """
    return f"{info.st_ino}:{info.st_size}:{info.st_mtime_ns}"


def large_files(roots: tuple[str, ...] = ROOTS) -> list[tuple[int, str, os.stat_result]]:
    """Return (size, path, status) of every regular file of at least 1 MB, largest first; links and other filesystems are not entered."""
    found = []
    mountpoints = {mount["mount"] for mount in mount_table()}
    pending = [root for root in roots if os.path.isdir(root) and not os.path.islink(root)]
    while pending:
        try:
            entries = list(os.scandir(pending.pop()))
        except (FileNotFoundError, NotADirectoryError):
            continue  # removed while we walked
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.path not in mountpoints:
                    pending.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                try:
                    info = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if info.st_size >= AT_LEAST:
                    found.append((info.st_size, entry.path, info))
    return sorted(found, key=lambda file: (-file[0], file[1]))


def tmp(_asked: dict[str, Any], _seen: dict[str, Any]) -> dict[str, Any]:
    """Return the largest files."""
    found = large_files()
    files = [
        {"path": path, "size": size, "owner": info.st_uid, "mtime": int(info.st_mtime), "mark": mark_of(info)} for size, path, info in found[:MOST]
    ]
    return {"files": files, "truncated": len(found) > MOST}
