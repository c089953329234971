"""What another user of the controller meets: folders that they may not read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def refused(folder: Path) -> Iterator[None]:
    """Let a folder be one that can't be read, below others that can: root, whom no mode stops, is nobody meanwhile."""
    modes = {one: stat.S_IMODE(one.stat().st_mode) for one in (folder, *folder.parents)}
    shut = {one: mode for one, mode in modes.items() if one == folder or not mode & stat.S_IXOTH}
    try:
        for one, mode in shut.items():
            one.chmod(0 if one == folder else mode | 0o055)
        if os.geteuid() == 0:
            os.seteuid(_NOBODY)
        yield
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        for one, mode in shut.items():
            one.chmod(mode)
