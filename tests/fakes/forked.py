"""A part of a test in a process of its own, without the half second that Python takes to start and to import the program once more."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.context import ForkProcess


def forked(act: Callable[[], object], *, stdout: int, stderr: int | None = None) -> ForkProcess:
    """Begin `act` in a copy of this process that writes to these descriptors; its `exitcode` is that of a program's, 1 where it breaks."""
    process = multiprocessing.get_context("fork").Process(target=_begin, args=(act, stdout, stderr))
    process.start()
    return process


def _begin(act: Callable[[], object], stdout: int, stderr: int | None) -> None:
    os.dup2(stdout, 1)
    os.dup2(stdout if stderr is None else stderr, 2)
    # Those of this process are pytest's, which keeps what is written.
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    act()
