"""SIGTERM (`systemctl stop`) as an exception, but only where going back is simple: during long reading and copying."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .faults import CancelledFault


class Cancel:
    """Notes SIGTERM and SIGINT; raises at once inside `possible()`, else at the next `check()`."""

    def __init__(self) -> None:
        self.asked = False
        self._raise = False
        self._closed = False

    def install(self) -> None:
        """Take over the signals of this process."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, _number: int, _frame: Any) -> None:
        self.asked = True
        if self._raise:
            self._raise = False
            raise CancelledFault("cancelled")

    def close(self) -> None:
        """From here on it is too late: what is under way ends first."""
        self._closed = True

    def check(self) -> None:
        """Raise if a signal came."""
        if self.asked and not self._closed:
            raise CancelledFault("cancelled")

    @contextmanager
    def possible(self) -> Iterator[None]:
        """Let a signal interrupt what runs inside."""
        self.check()
        self._raise = not self._closed
        try:
            yield
        finally:
            self._raise = False
