"""What still starts when Compose gives up on it, and how long a store that loads its data is waited for.

Rules:
- Compose gives up on a container at once where its health check calls it unhealthy, which a store may be as long as it loads. Made anew, and running, it is
  left to whoever waits for its answer.
- One that fell over since it was made is none that still starts.
- What a store has loaded counts by the most that was ever seen of it: one that falls over at the same place again and again gets on with nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .faults import FailedFault


class Patience:
    """How long a store has got on with nothing, against a limit in seconds."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s, self._since, self._most = limit_s, time.monotonic(), (0, 0)

    def sees(self, got: tuple[int, int]) -> None:
        """Take note of (bytes, keys) that it has loaded."""
        if any(now > most for now, most in zip(got, self._most)):
            self._since = time.monotonic()
            self._most = (max(got[0], self._most[0]), max(got[1], self._most[1]))

    @property
    def is_over(self) -> bool:
        """Say whether the limit is over since it last got on."""
        return time.monotonic() - self._since >= self._limit_s


def brought_up(make: Callable[[], None], look: Callable[[], dict[str, Any] | None], old: str | None) -> str:
    """Let Compose bring a container up by `make`; return what it said where it gave up on one that it made in place of `old` and that still starts.

    `look` returns Docker's inspection of the container, None where there is none; `old` is the id of the one before. Empty where Compose is content. Raises
    `FailedFault`.
    """
    try:
        make()
    except FailedFault as fault:
        held = look()
        if held is None or old in (None, held["Id"]) or not _still_starts(held):
            raise
        return str(fault)
    return ""


def _still_starts(held: dict[str, Any]) -> bool:
    return bool(held["State"]["Running"]) and not held["State"].get("Restarting") and not held.get("RestartCount")
