"""Signals that end a program are taken like Ctrl-C, so that a run ends with what it knows and not in the middle of a word."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stopping_in_order() -> Iterator[None]:
    """Raise KeyboardInterrupt for SIGTERM and SIGHUP too; while Ansible runs, the runner takes all three itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
