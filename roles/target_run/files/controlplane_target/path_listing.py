"""Old place against new one, file by file with sha256, while the service runs on the new one.

The old one stands still, so what differs was changed by the service since: those files are younger than its start. One that differs and is not, is lost.
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
    """Return {objects, bytes, equal, changed, gone, unreadable (of the old place), lost: [names], sha256: of the whole list of the old place}."""
    told: dict[str, Any] = {"objects": 0, "bytes": 0, "equal": 0, "changed": 0, "gone": 0, "unreadable": 0, "lost": []}
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
            how = _fared(os.path.join(os.fsencode(new), relative), held[0], started_ns)
            if how == "lost":
                told["lost"].append(os.fsdecode(relative).encode("utf-8", "backslashreplace").decode())
            else:
                told[how] += 1
    told["lost"] = told["lost"][:_MOST_NAMES]
    return {**told, "sha256": whole.hexdigest()}


def _fared(path: bytes, digest: bytes, started_ns: int) -> str:
    try:
        now = _digest(path)
        changed = os.lstat(path).st_ctime_ns
    except OSError:
        return "gone"
    if now is not None and now[0] == digest:
        return "equal"
    return "changed" if changed >= started_ns else "lost"


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
