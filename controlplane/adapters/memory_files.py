"""A file that lies in memory and has a name only while this process holds it: for programs that read files and no standard input."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from types import TracebackType


class InMemory:
    """Such a file with that content. `path` leads to it for this user's processes, until it is closed or nobody has this object any more."""

    def __init__(self, content: bytes) -> None:
        handle = os.memfd_create("controlplane")
        self.close = weakref.finalize(self, os.close, handle)
        os.fchmod(handle, 0o600)
        with os.fdopen(os.dup(handle), "wb") as stream:
            stream.write(content)
        self.path = Path(f"/proc/{os.getpid()}/fd/{handle}")

    def __enter__(self) -> InMemory:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
