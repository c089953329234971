"""What time it is, here and for the whole site, and what chance gives."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The only source of the present time."""

    def now(self) -> datetime:
        """Return the present time, aware, UTC."""
        ...


class Entropy(Protocol):
    """The only source of chance."""

    def four_hex(self) -> str:
        """Return four hex digits."""
        ...


class SiteTime(Protocol):
    """The latest time that any controller of the site ever showed."""

    def assert_time(self, now: datetime) -> None:
        """Keep `now` if it is later than all before. Raises `RefusedError` where it is more than five minutes earlier."""
        ...

    def compare_time(self, now: datetime) -> None:
        """Keep nothing. Raises `RefusedError` where `now` is more than five minutes earlier than the latest."""
        ...

    def reset_time(self, now: datetime) -> None:
        """Let the site's time be `now`, also if that is earlier, and end all leases: a person decided that a clock had run ahead."""
        ...
