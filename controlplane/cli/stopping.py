"""Signals that end a program are taken like Ctrl-C, and after an interruption the last line says what state things are in and what goes on.

Rules:
- The signals are taken once, around every verb (`stopping_in_order`).
- A verb that may have changed something when it is interrupted says so itself (`leaving`); of all others the root command says `UNCHANGED`.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

UNCHANGED = "Interrupted. Nothing was changed; run the same command again."
ON_RECORD = "What was begun is on record. Next: controlplane runs list    (says what is open and which command goes on)"


@contextmanager
def stopping_in_order() -> Iterator[None]:
    """Raise KeyboardInterrupt for SIGTERM and SIGHUP too; while Ansible runs, the runner takes all three itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    # Under nohup a closed terminal ends nothing.
    taken = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in taken:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)


@contextmanager
def leaving(state: str) -> Iterator[None]:
    """Tell, where this is interrupted, `state`: what state things are in and what goes on. Raises `InterruptedRunError`."""
    from controlplane.domain.errors import InterruptedRunError  # noqa: PLC0415 - loaded when a verb runs

    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedRunError(f"Interrupted. {state}") from None
