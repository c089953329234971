"""The files of a stack's folder: written one by one, kept as they were before a run, and put back byte for byte.

Rules:
- How each of them was, or that it was absent, is on disk in the run's folder before the first is written, for root alone: one of them has secrets.
- The environment file is root's alone; of the others one that is there keeps its owner and mode.
- A link is never followed nor replaced.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from . import files
from .mounts import nearest_existing
from .stack_request import ENV_FILE, Request, digests
from .state import Home


def of_the_folder(request: Request) -> list[str]:
    """Return what speaks against writing into the stack's folder."""
    folder, found = request.folder, []
    nearest = nearest_existing(folder)
    if os.path.realpath(nearest) != nearest or not os.path.isdir(nearest):
        return [f"{nearest} is a link, or no directory: name the stack's real folder (policy.yml, stacks)"]
    for name in request.contents:
        path = os.path.join(folder, name)
        if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
            found.append(f"{path} is no plain file, and a release would replace it: move it away")
    return found


def missing_folders(folder: str) -> list[str]:
    """Return the folder and those above it that are not there, the topmost first."""
    found = []
    while not os.path.lexists(folder):
        found.append(folder)
        folder = os.path.dirname(folder)
    return found[::-1]


def snapshots(request: Request) -> list[dict[str, Any]]:
    """Return how each of the files is now."""
    return [files.snapshot(Path(request.folder, name)) for name in request.contents]


def unwritten(request: Request) -> list[str]:
    """Return the names of those files that are not as the release has them: the environment file has to be root's alone, too."""
    wanted = digests(request.contents)
    found = [name for name in wanted if digest(os.path.join(request.folder, name)) != wanted[name]]
    if ENV_FILE not in found and not _is_private(os.path.join(request.folder, ENV_FILE)):
        found.append(ENV_FILE)
    return found


def write(request: Request) -> list[str]:
    """Write what is not as the release has it; return the names. Durable when this returns. Raises `OSError`."""
    missing = missing_folders(request.folder)
    # Not private to root, as what this process makes otherwise: a service may read its settings there.
    old = os.umask(0o022)
    try:
        Path(request.folder).mkdir(0o755, parents=True, exist_ok=True)
    finally:
        os.umask(old)
    for folder in missing:
        files.sync_directory(Path(folder).parent)
    names = unwritten(request)
    for name in names:
        path, data = Path(request.folder, name), request.contents[name]
        if name == ENV_FILE:
            files.write_atomic(path, data, mode=0o600, owner=(os.geteuid(), os.getegid()))
        else:
            files.write_like(path, data, mode=0o644)
    return names


def put_back(shots: Iterable[Mapping[str, Any]], made: Iterable[str]) -> None:
    """Bring the files back to how they were, and remove folders that a run made, if nothing else lies in them."""
    for shot in shots:
        files.restore(dict(shot))
    for folder in reversed(list(made)):
        if os.path.isdir(folder) and not os.listdir(folder):
            os.rmdir(folder)
            files.sync_directory(Path(folder).parent)


def digest(path: str) -> str | None:
    """Return a file's sha256, None where it is not there."""
    return digest_of(files.read_bytes(Path(path)))


def digest_of(data: bytes | None) -> str | None:
    """Return the sha256 of what a file holds, None for one that is not there."""
    return None if data is None else hashlib.sha256(data).hexdigest()


def env_text(folder: str) -> str:
    """Return the environment file that lies in the folder, to keep its values out of what is said."""
    return (files.read_bytes(Path(folder, ENV_FILE)) or b"").decode("utf-8", "surrogateescape")


def record_of(home: Home, project: str) -> Path:
    """Return where this host keeps what was last deployed as that project; evidence is collected from there."""
    return home.base / "releases" / f"{project}.json"


def _is_private(path: str) -> bool:
    seen = os.stat(path)
    return (stat.S_IMODE(seen.st_mode), seen.st_uid, seen.st_gid) == (0o600, os.geteuid(), os.getegid())
