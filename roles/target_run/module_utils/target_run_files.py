"""Replace files durably, each whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write(path: Path, text: bytes, *, mode: int) -> None:
    """Replace a file with one rename, durably; its mode and owner stay, a new one gets `mode` and root."""
    like = path.stat() if path.exists() else None
    for left in path.parent.glob(f".{path.name}.controlplane-*"):
        left.unlink()  # by a run that was killed between writing and renaming; the lease keeps two from being here at once
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.controlplane-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchown(file.fileno(), like.st_uid if like else 0, like.st_gid if like else 0)
            os.fchmod(file.fileno(), like.st_mode & 0o7777 if like else mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make what happened in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make(folder: Path) -> None:
    """Make a folder that only root may enter, with those above it, durably; one that is there stays as it is."""
    if folder.is_dir():
        return
    make(folder.parent)
    folder.mkdir(0o700)
    sync_folder(folder.parent)


def held(path: Path) -> bytes | None:
    """Return what a file holds, None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
