"""A file of secrets that only its owner may use, read whole or not at all; no message holds what is in it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from controlplane.domain.errors import Fault

MOST_BYTES: Final = 256 * 1024


def read_private(path: Path, *, shown: str) -> tuple[bytes | None, tuple[Fault, ...]]:
    """Return what the file holds, None where that can't be read, and what is wrong with the file as such. `shown` is its name in messages."""
    try:
        # Not blocking: a pipe by that name would wait for a writer. Not followed: a link's target has another owner and mode, and lies elsewhere.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as stream:
            info = os.fstat(stream.fileno())
            if not stat.S_ISREG(info.st_mode):
                return None, (Fault(shown, 0, "", "is no regular file: write one"),)
            raw = stream.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None, (Fault(shown, 0, "", "does not exist: copy its contract there, fill it in, and set its mode to 0600"),)
    except OSError as error:
        if path.is_symlink():
            return None, (Fault(shown, 0, "", "is a symbolic link: put the file itself there"),)
        return None, (Fault(shown, 0, "", f"can't be read ({error.strerror}): check its owner and mode"),)
    faults = []
    mode = stat.S_IMODE(info.st_mode)
    if mode & ~0o600:
        faults.append(Fault(shown, 0, "", f"has mode {mode:04o}, which lets others than its owner use it, or run it: chmod 600 {shown}"))
    if len(raw) > MOST_BYTES:
        return None, (*faults, Fault(shown, 0, "", f"is larger than {MOST_BYTES // 1024} KiB: keep only variables there"))
    return raw, tuple(faults)
