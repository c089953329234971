"""Files whose content is compared byte by byte, read on both sides, a few at once in the background: most of that is waiting for a disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Union

# What is opened never waits for a writer, follows no link, and leaves no trace.
OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOATIME
CHUNK = 1 << 20
_AT_ONCE = 2
# Where the content begins to differ, None where it is the same, or why it can't be told.
Outcome = Union[int, BaseException, None]


class ContentReader:
    """Compares the files that it is asked for; `key` is given back with what came of one."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[Any] = SimpleQueue()
        self._told: SimpleQueue[tuple[Any, Outcome]] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._ended = threading.Event()
        self._open = 0

    def ask(self, key: Any, source: bytes, copy: bytes) -> None:
        """Compare these two in the background."""
        if not self._threads:
            self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(_AT_ONCE)]
            for thread in self._threads:
                thread.start()
        self._open += 1
        self._asked.put((key, source, copy))

    def told(self, *, most: int) -> Iterator[tuple[Any, Outcome]]:
        """Return what came of those that have ended, and wait until no more than `most` are left."""
        while self._open > most:
            held = self._told.get()
            self._open -= 1
            yield held

    def close(self) -> None:
        """End what is still read; nothing is open when this returns."""
        self._ended.set()
        for _ in self._threads:
            self._asked.put(None)
        for thread in self._threads:
            # One whose start was cut off, by a signal or for want of memory, opens nothing any more, and can't be waited for.
            with suppress(RuntimeError):
                thread.join()

    def _work(self) -> None:
        one, other = bytearray(CHUNK), bytearray(CHUNK)
        while (asked := self._asked.get()) is not None and not self._ended.is_set():
            key, source, copy = asked
            outcome: Outcome
            try:
                outcome = self._differs_at(source, copy, one, other)
            except BaseException as fault:  # noqa: BLE001 - whoever asked raises it
                outcome = fault
            self._told.put((key, outcome))

    def _differs_at(self, source: bytes, copy: bytes, one: bytearray, other: bytearray) -> int | None:
        here = os.open(source, OPEN)
        try:
            there = os.open(copy, OPEN)
            try:
                # The copy comes from its disk, not from memory, as far as the kernel lets go of its pages.
                os.posix_fadvise(there, 0, 0, os.POSIX_FADV_DONTNEED)
                return first_difference(here, there, one, other, self._ended)
            finally:
                os.close(there)
        finally:
            os.close(here)


def first_difference(here: int, there: int, one: bytearray, other: bytearray, ended: threading.Event | None = None) -> int | None:
    """Return from where on two open files differ, as the begin of a chunk, None where they are the same; two buffers of `CHUNK` bytes are used."""
    at = 0
    while ended is None or not ended.is_set():
        length, copied = read_at(here, one, at), read_at(there, other, at)
        if length != copied or not is_same(one, other, length):
            return at
        if length < CHUNK:
            return None
        at += length
    return at


def is_same(one: bytearray, other: bytearray, length: int) -> bool:
    """Say whether both begin with the same `length` bytes."""
    # A view would be compared item by item.
    return one == other if length == len(one) == len(other) else one[:length] == other[:length]


def read_at(descriptor: int, buffer: bytearray, at: int) -> int:
    """Fill the buffer from `at` on; return how much there was, less than it holds at the file's end only."""
    view, filled = memoryview(buffer), 0
    while filled < len(buffer):
        got = os.preadv(descriptor, [view[filled:]], at + filled)
        if got == 0:
            break
        filled += got
    return filled
