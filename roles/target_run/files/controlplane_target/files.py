"""Read and write small files so that a power cut leaves the old text or the new one, never half of either."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Write `data` to `path` durably: temporary file beside it, fsync, rename, fsync of the directory. Keeps the xattrs of what was there."""
    temporary = path.with_name(f".{path.name}.controlplane-new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if owner is not None:
            os.fchown(descriptor, *owner)
        os.fchmod(descriptor, mode)
        if path.exists():
            for name in os.listxattr(path):
                os.setxattr(descriptor, name, os.getxattr(path, name))
        os.fsync(descriptor)
        os.rename(temporary, path)
    except BaseException:
        # Only a killed writer leaves it, and the next one replaces it.
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    sync_directory(path.parent)


def write_like(path: Path, data: bytes, *, mode: int) -> None:
    """Replace a file of the host durably; its mode and owner stay, and a new one is ours with `mode`."""
    like = path.stat() if path.exists() else None
    owner = (like.st_uid, like.st_gid) if like else (os.geteuid(), os.getegid())
    write_atomic(path, data, mode=stat.S_IMODE(like.st_mode) if like else mode, owner=owner)


def read_bytes(path: Path) -> bytes | None:
    """Return what a file holds, None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def write_json(path: Path, data: Any) -> None:
    """Write `data` as readable JSON, durably, mode 0600."""
    write_atomic(path, (json.dumps(data, indent=1, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> Any:
    """Return what the JSON file holds, None where there is no such file."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None


def remove(path: Path) -> None:
    """Remove a file if it is there, durably."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_file(path: Path) -> None:
    """Make a file's content durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Make renames and removals in `path` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def snapshot(path: Path) -> dict[str, Any]:
    """Return {path, exists, text (base64), mode, uid, gid} of a configuration file, for a byte-equal return."""
    try:
        info = path.lstat()
    except FileNotFoundError:
        return {"path": str(path), "exists": False}
    text = base64.b64encode(path.read_bytes()).decode()
    return {"path": str(path), "exists": True, "text": text, "mode": stat.S_IMODE(info.st_mode), "uid": info.st_uid, "gid": info.st_gid}


def restore(shot: dict[str, Any]) -> None:
    """Bring a file back to its snapshot; does nothing where it is so already."""
    path = Path(shot["path"])
    if snapshot(path) == shot:
        return
    if not shot["exists"]:
        remove(path)
        return
    made = [parent for parent in (path.parent, *path.parent.parents) if not parent.exists()]
    for parent in reversed(made):
        parent.mkdir(mode=0o755)
        sync_directory(parent.parent)
    write_atomic(path, base64.b64decode(shot["text"]), mode=shot["mode"], owner=(shot["uid"], shot["gid"]))


def text_of(shot: dict[str, Any]) -> bytes | None:
    """Return the bytes that a snapshot holds, None where the file was absent."""
    return base64.b64decode(shot["text"]) if shot["exists"] else None
