"""Folders to mount on, made so that nobody can write to them while nothing is mounted there."""

from __future__ import annotations

import os
from pathlib import Path

from . import inode_flags
from .files import sync_directory


def is_immutable(path: str) -> bool:
    """Say whether a folder has the flag; a filesystem without flags has none set. Raises OSError where the folder can't be opened."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return bool((inode_flags.read(handle) or 0) & inode_flags.IMMUTABLE)
    except OSError:
        return False
    finally:
        os.close(handle)


def make(path: str) -> None:
    """Make the folder and what is missing above it (0755), durably, and set its flag; an empty one that is there only gets the flag.

    Raises OSError, and leaves nothing behind then: the next run would find a folder without the flag, and mount over it.
    """
    missing = [one for one in (Path(path), *Path(path).parents) if not one.exists()]
    # The process's umask must not decide who can reach the data.
    old = os.umask(0o022)
    try:
        Path(path).mkdir(0o755, parents=True, exist_ok=True)
    finally:
        os.umask(old)
    try:
        if names := sorted(one.name for one in Path(path).iterdir()):
            raise OSError(f"it holds {', '.join(names[:5])}")
        _set_immutable(path)
    except OSError:
        for one in missing:
            one.rmdir()
        raise
    for one in missing:
        sync_directory(one.parent)


def _set_immutable(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        inode_flags.change(handle, put=inode_flags.IMMUTABLE)
        os.fsync(handle)
    finally:
        os.close(handle)
