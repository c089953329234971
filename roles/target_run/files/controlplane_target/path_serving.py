"""Since when a store that was started can be asked again: one that runs may still read its log, or load its data, and takes no write until it has.

It is asked beside whoever waits for its container, so that a moment is known to a twentieth of a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_EACH_S = 0.05


class Serving:
    """Asks until the store answers, or nobody waits any more."""

    def __init__(self, answers: Callable[[], bool]) -> None:
        self._answers = answers
        self._known, self._ended = threading.Event(), threading.Event()
        self._at: float | None = None
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def since(self, limit_s: float) -> float | None:
        """Return the time (epoch) of its first answer, None where there is none within the limit."""
        return self._at if self._known.wait(limit_s) else None

    def end(self) -> None:
        """Ask no more."""
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        # Whatever else goes wrong with asking, the proof that comes next tells.
        with suppress(Exception):
            while not self._ended.is_set() and not self._answers():
                self._ended.wait(_EACH_S)
            self._at = None if self._ended.is_set() else time.time()
        self._known.set()


@contextmanager
def asked(answers: Callable[[], bool] | None) -> Iterator[Serving | None]:
    """Ask as long as the body runs; None where nobody can ask it."""
    if answers is None:
        yield None
        return
    serving = Serving(answers)
    try:
        yield serving
    finally:
        serving.end()
