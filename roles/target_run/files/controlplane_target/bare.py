"""The bare directory beneath a mount: look at it and set or clear its immutable flag, while the mount stays as it is.

Rules:
- Nothing is unmounted. In a mount namespace of this process alone the directory above is bound a second time, without what is mounted below it.
- A directory that holds entries never gets the flag: they are named instead, and somebody has to look at them.
- A filesystem that knows no such flag is a refusal, not a success.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import inode_flags
from .faults import RefusedFault
from .state import Home

_NEW_NAMESPACE, _BIND, _RECURSIVE, _PRIVATE, _DETACH = 0x20000, 0x1000, 0x4000, 1 << 18, 2
SAMPLE = 5


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


@contextmanager
def opened(path: str) -> Iterator[int]:
    """Open the directory `path` beneath whatever is mounted on it."""
    parent, name = os.path.split(path)
    libc = ctypes.CDLL(None, use_errno=True)
    place = tempfile.mkdtemp(prefix="controlplane-bare-", dir="/run")
    try:
        _checked(libc.unshare(_NEW_NAMESPACE), "unshare")
        _checked(libc.mount(None, b"/", None, _RECURSIVE | _PRIVATE, None), "make mounts private")
        _checked(libc.mount(os.fsencode(parent), os.fsencode(place), None, _BIND, None), f"bind {parent}")
        try:
            handle = os.open(os.path.join(place, name), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                yield handle
            finally:
                os.close(handle)
        finally:
            _checked(libc.umount2(os.fsencode(place), _DETACH), f"unbind {parent}")
    finally:
        os.rmdir(place)


def _state(handle: int) -> dict[str, Any]:
    names = sorted(os.listdir(handle))
    flags = inode_flags.read(handle)
    immutable = None if flags is None else bool(flags & inode_flags.IMMUTABLE)
    return {"entries": len(names), "sample": names[:SAMPLE], "immutable": immutable}


def _write(handle: int, *, immutable: bool) -> None:
    if immutable:
        inode_flags.change(handle, put=inode_flags.IMMUTABLE)
    else:
        inode_flags.change(handle, clear=inode_flags.IMMUTABLE)
    os.fsync(handle)


def objection(path: str, seen: dict[str, Any]) -> str:
    """Return what speaks against making the directory immutable, empty if nothing."""
    if seen["entries"]:
        more = f" and {seen['entries'] - SAMPLE} more" if seen["entries"] > SAMPLE else ""
        return f"the directory under the mount {path} holds {', '.join(seen['sample'])}{more}: unmount it, move them away, then plan again"
    if seen["immutable"] is None:
        return f"the filesystem that holds the directory under the mount {path} knows no immutable flag (ext4, xfs and btrfs do)"
    return ""


def look_or_flag(action: str, path: str) -> dict[str, Any]:
    """Look at the directory beneath `path`, or `set` or `clear` its flag; return {path, entries, sample, immutable, objection, changed}.

    One call a process: the mount namespace stays this process's.
    """
    if not os.path.isabs(path) or os.path.normpath(path) != path or path == "/":
        raise RefusedFault(f"{path!r} is no absolute, normalised path below /. Nothing was changed.")
    try:
        with opened(path) as handle:
            seen = _state(handle)
            against = objection(path, seen)
            if action == "set" and against:
                raise RefusedFault(f"{against}. Nothing was changed.")
            changed = action != "look" and seen["immutable"] is not None and seen["immutable"] != (action == "set")
            if changed:
                _write(handle, immutable=action == "set")
            return {"path": path, **_state(handle), "objection": against, "changed": changed}
    except OSError as fault:
        raise RefusedFault(f"the directory under the mount {path} can't be reached: {fault}. Nothing was changed.") from fault


def act(_home: Home, options: argparse.Namespace) -> dict[str, Any]:
    """Carry out the verb `bare`."""
    return look_or_flag(options.action, options.path)
