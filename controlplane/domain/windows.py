"""Maintenance windows: when one is open, and when the next one opens.

Rules:
- Days and times are those of the site's timezone, also on the day on which its clocks change.
- One that begins in the hour that is left out on that day begins that much later; where it would have ended by then it is left out too.
- No window at all means any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from controlplane.domain.names import AsTuple, check_name
from controlplane.domain.values import Value

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
TimeOfDay = Annotated[str, AfterValidator(lambda text: check_name(text, r"([01][0-9]|2[0-3]):[0-5][0-9]", "time of day such as 22:30"))]


class Window(Value):
    """A maintenance window in the site's timezone; one that ends at or before its start ends on the next day."""

    days: Annotated[tuple[Day, ...], AsTuple] = Field(DAYS, description="Days on which it starts")
    start: TimeOfDay = Field(description="When it starts, such as 22:30")
    end: TimeOfDay = Field(description="When it ends")


class Opening(NamedTuple):
    """One time at which a window is open: from `start` until before `end`, both UTC."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M} UTC"


def open_now(windows: Sequence[Window], *, timezone: str, now: datetime) -> Opening | None:
    """Return the opening that `now` lies in, the one that ends last, or None."""
    held = [one for one in _openings(windows, timezone, now) if one.start <= now < one.end]
    return max(held, key=lambda one: one.end, default=None)


def next_opening(windows: Sequence[Window], *, timezone: str, now: datetime) -> Opening | None:
    """Return the opening that is the next to begin, or None where there are no windows."""
    return min((one for one in _openings(windows, timezone, now) if one.start > now), default=None)


def why_shut(windows: Sequence[Window], *, timezone: str, now: datetime) -> str | None:
    """Return that none is open, and when the next one is; None where one is, or where there are none."""
    if not windows or open_now(windows, timezone=timezone, now=now) is not None:
        return None
    return f"no maintenance window is open; the next one is {next_opening(windows, timezone=timezone, now=now)}"


def _openings(windows: Sequence[Window], timezone: str, now: datetime) -> Iterator[Opening]:
    """Yield every opening from two days before now to eight after: a window comes at least once a week."""
    zone = ZoneInfo(timezone)
    today = now.astimezone(zone).date()
    for window in windows:
        start, end = time.fromisoformat(window.start), time.fromisoformat(window.end)
        for offset in range(-2, 9):
            day = today + timedelta(days=offset)
            if DAYS[day.weekday()] not in window.days:
                continue
            last = day if end > start else day + timedelta(days=1)
            opening = Opening(datetime.combine(day, start, zone).astimezone(UTC), datetime.combine(last, end, zone).astimezone(UTC))
            if opening.start < opening.end:
                yield opening
