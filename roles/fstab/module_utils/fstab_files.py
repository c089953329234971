"""Replace files durably and show what changes."""

from __future__ import annotations

import difflib
import hashlib
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


def digest(text: bytes) -> str:
    """Return a text's digest."""
    return "sha256:" + hashlib.sha256(text).hexdigest()


def readable(text: bytes) -> str:
    """Return a text for people and JSON, whatever its bytes are."""
    return text.decode("utf-8", "replace")


def difference(before: bytes, after: bytes, name: str, other: str) -> str:
    """Return a unified diff."""
    texts = [readable(text).splitlines(keepends=True) for text in (before, after)]
    return "".join(difflib.unified_diff(*texts, fromfile=name, tofile=other))


def diff(path: Path, before: bytes, after: bytes) -> dict:
    """Return what `--diff` shows."""
    return {"before": readable(before), "after": readable(after), "before_header": str(path), "after_header": str(path)}
