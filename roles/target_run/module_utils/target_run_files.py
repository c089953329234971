"""Replace files durably, each whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# Between a file's name and what mkstemp adds, while it is written.
_UNFINISHED = ".controlplane-"


def write(path: Path, text: bytes, *, mode: int, own: bool = False) -> None:
    """Replace a file with one rename, durably; its mode and owner stay; a new one, and one of the run's `own`, is ours with `mode`."""
    for left in path.parent.glob(f".{path.name}{_UNFINISHED}*"):
        left.unlink(missing_ok=True)  # by a run that was killed between writing and renaming
    put(path, text, mode=mode, own=own)
    sync(path.parent)


def put(path: Path, text: bytes, *, mode: int, own: bool) -> None:
    """Do the same, but leave it to the caller to sync the folder, and to remove what a killed run left there."""
    like = path.stat() if path.exists() and not own else None
    handle, name = tempfile.mkstemp(prefix=f".{path.name}{_UNFINISHED}", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchown(file.fileno(), like.st_uid if like else os.geteuid(), like.st_gid if like else os.getegid())
            os.fchmod(file.fileno(), like.st_mode & 0o7777 if like else mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Make a file's content, or what happened in a folder, durable."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make(folder: Path) -> None:
    """Make a folder that only root may enter, with those above it, durably; one that is there stays as it is."""
    if folder.is_dir():
        return
    make(folder.parent)
    folder.mkdir(0o700, exist_ok=True)
    sync(folder.parent)


def held(path: Path) -> bytes | None:
    """Return what a file holds, None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
