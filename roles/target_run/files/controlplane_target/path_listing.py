"""Old place against new one, file by file with sha256, while the service runs on the new one.

The old one stands still, so what differs was changed by the service since: what such a file holds was written after its start, and a folder that a name is
gone from was. One that differs and is not, is lost. Where only a file's attributes are younger, its content may be what somebody wrote and dated back, or
never was what it should be: that is unknown. To read a file changes neither.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import Any

_CHUNK = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_NAMES = 20


def listed(old: str, new: str, started_ns: int) -> dict[str, Any]:
    """Return {objects, bytes, equal, changed, unknown, gone, unreadable (of the old place), lost: [names], sha256: of the whole list of the old place}."""
    told: dict[str, Any] = {"objects": 0, "bytes": 0, "equal": 0, "changed": 0, "unknown": 0, "gone": 0, "unreadable": 0, "lost": []}
    whole = hashlib.sha256()
    top = os.fsencode(old)
    for folder, names, files in os.walk(top):
        names.sort()
        for name in sorted(files):
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, top)
            try:
                held = _digest(path)
            except OSError:
                told["unreadable"] += 1
                continue
            if held is None:
                continue
            told["objects"] += 1
            told["bytes"] += held[1]
            whole.update(relative + b"\0" + held[0])
            how = _fared(os.fsencode(new), relative, held[0], started_ns)
            if how == "lost":
                told["lost"].append(os.fsdecode(relative).encode("utf-8", "backslashreplace").decode())
            else:
                told[how] += 1
    told["lost"] = told["lost"][:_MOST_NAMES]
    return {**told, "sha256": whole.hexdigest()}


def _fared(top: bytes, relative: bytes, digest: bytes, started_ns: int) -> str:
    path = os.path.join(top, relative)
    try:
        now = _digest(path)
        seen = os.lstat(path)
    except FileNotFoundError:
        return "gone" if _removed_below(top, relative, started_ns) else "lost"
    except OSError:
        return "unknown"
    if now is not None and now[0] == digest:
        return "equal"
    if seen.st_ctime_ns < started_ns:
        return "lost"
    return "changed" if seen.st_mtime_ns >= started_ns else "unknown"


def _removed_below(top: bytes, relative: bytes, started_ns: int) -> bool:
    """Say whether the nearest folder above a name that is not there was changed since: nobody removes one without that."""
    folder = relative
    while folder:
        folder = os.path.dirname(folder)
        try:
            return os.lstat(os.path.join(top, folder)).st_ctime_ns >= started_ns
        except FileNotFoundError:
            continue
    # The place itself is gone.
    return True


def _digest(path: bytes) -> tuple[bytes, int] | None:
    """Return sha256 and size of a plain file, None for what is none. Raises `OSError`."""
    descriptor = os.open(path, _FLAGS) if stat.S_ISREG(os.lstat(path).st_mode) else -1
    if descriptor < 0:
        return None
    digest, size = hashlib.sha256(), 0
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
            size += len(piece)
    return digest.digest(), size
