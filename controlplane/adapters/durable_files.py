"""Files that are there whole, or not at all, even if the power goes while they are written."""

from __future__ import annotations

import os
from pathlib import Path


def write_durably(path: Path, content: bytes, *, mode: int = 0o600, exclusive: bool = False) -> None:
    """Write `content` so that after return it survives a power cut, and before it nothing of it shows.

    With `exclusive`, an existing file is never replaced: raises FileExistsError.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if exclusive:
            os.link(scratch, path)
        else:
            scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def why_unwritable(path: Path, what: str) -> str | None:
    """Return why `write_durably` would refuse or harm what is at `path`, or None; `what` names the file that is to go there."""
    file = path.absolute()
    try:
        folder = next(one for one in file.parents if one.exists())
        if file.is_dir():
            return f"is a folder: name the file that the {what} goes to"
        if file.exists() and not file.is_file():
            return f"is no regular file, and would be replaced by one: name another file for the {what}"
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            return f"can't be written: {folder} is no folder that this user may write to"
    except OSError as error:
        return f"can't be written ({error.strerror}): name a file in a folder of yours"
    return None
