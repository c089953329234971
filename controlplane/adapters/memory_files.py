"""A file that lies in memory and has a name only while this process holds it: for programs that read files and no standard input."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType


class InMemory:
    """Such a file with that content. `path` leads to it for this user's processes, until it is closed or this process ends."""

    def __init__(self, content: bytes) -> None:
        self._handle = os.memfd_create("controlplane")
        os.fchmod(self._handle, 0o600)
        with os.fdopen(os.dup(self._handle), "wb") as stream:
            stream.write(content)
        self.path = Path(f"/proc/{os.getpid()}/fd/{self._handle}")

    def __enter__(self) -> InMemory:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._handle)
