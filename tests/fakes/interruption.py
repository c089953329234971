"""Interrupt a program at its n-th contact with the world: every fake calls `touch` before and after what it does."""

from __future__ import annotations


class Interruption:
    """Counts contacts; raises `error` at contact number `at` and is quiet afterwards, as one Ctrl-C is."""

    def __init__(self, at: int | None = None, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.at = at
        self.count = 0
        self.places: list[str] = []
        self._error = error

    def touch(self, place: str) -> None:
        """Count one contact."""
        self.count += 1
        self.places.append(place)
        if self.count == self.at:
            raise self._error(f"at {place}")
