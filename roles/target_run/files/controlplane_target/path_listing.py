"""Old place against new one, file by file with sha256, while the service runs on the new one.

The old one stands still, so what differs was changed by the service since: what such a file holds was written after its start, and a folder that a name is
gone from was. One that differs and is not, is lost. Where only a file's attributes are younger, its content may be what somebody wrote and dated back, or
never was what it should be: that is unknown. To read a file changes neither.

Of a container's layer there is what it wrote itself, and no more: what its image brought was compared while it stood still, and is named.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import Any, NamedTuple

from . import lost_found

_CHUNK = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_NAMES = 20
# Overlay's mark of a file of which the layer has the attributes alone.
_METACOPY = "trusted.overlay.metacopy"


class Sides(NamedTuple):
    """Where a path's data lay and where they lie now. `is_kept`: the former is what is kept of a layer, by further names of its files; empty: nothing is."""

    old: str
    new: str
    is_kept: bool = False

    def is_written_behind(self, since_ns: int) -> bool:
        """Say whether anybody wrote to the old place since."""
        # To give a file a further name moves its ctime.
        return os.path.isdir(self.old) and written_since(self.old, since_ns, by_ctime=not self.is_kept)

    def listed(self, started_ns: int) -> dict[str, Any]:
        """Return what `listed` does, and what of it is `not_proven` where there is anything."""
        told, brought = listed(self.old, self.new, started_ns), _brought(self.old, self.new, started_ns) if self.is_kept else 0
        return {**told, "not_proven": [f"{brought} files that its image brought: they were compared while it stood still"]} if brought else told


def written_since(top: str, since_ns: int, *, by_ctime: bool = True) -> bool:
    """Say whether anything in a tree was written, made, renamed or removed since a time (epoch ns); without `by_ctime` only as far as its mtime tells.

    The top's own attributes don't count: whoever governs the place sets them. Raises `OSError`.
    """
    if os.lstat(top).st_mtime_ns >= since_ns:
        return True
    pending = [os.fsencode(top)]
    try:
        while pending:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    info = entry.stat(follow_symlinks=False)
                    if (max(info.st_mtime_ns, info.st_ctime_ns) if by_ctime else info.st_mtime_ns) >= since_ns:
                        return True
                    if stat.S_ISDIR(info.st_mode):
                        pending.append(entry.path)
    except FileNotFoundError:
        # Somebody removed it just now.
        return True
    return False


def listed(old: str, new: str, started_ns: int) -> dict[str, Any]:
    """Return {objects, bytes, equal, changed, unknown, gone, unreadable (of the old place), lost: [names], sha256: of the whole list of the old place}."""
    told: dict[str, Any] = {"objects": 0, "bytes": 0, "equal": 0, "changed": 0, "unknown": 0, "gone": 0, "unreadable": 0, "lost": []}
    whole = hashlib.sha256()
    top, own = os.fsencode(old), lost_found.is_own(old)
    for folder, names, files in os.walk(top):
        names[:] = sorted(name for name in names if not (own and folder == top and name == os.fsencode(lost_found.NAME)))
        for name in sorted(files):
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, top)
            try:
                held = None if _is_without_content(path) else _digest(path)
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


def _brought(old: str, new: str, started_ns: int) -> int:
    """Return how many files the new place has from the copy that are not in what is kept of the layer."""
    count, top, there = 0, os.fsencode(new), os.fsencode(old)
    for folder, _, files in os.walk(top):
        for name in files:
            path = os.path.join(folder, name)
            try:
                seen = os.lstat(path)
            except OSError:
                continue
            was = os.path.join(there, os.path.relpath(path, top)) if there else b""
            is_copied = stat.S_ISREG(seen.st_mode) and seen.st_ctime_ns < started_ns
            count += is_copied and (not os.path.lexists(was) or _is_without_content(was))
    return count


def _is_without_content(path: bytes) -> bool:
    try:
        os.getxattr(path, _METACOPY, follow_symlinks=False)
    except OSError:
        return False
    return True


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
