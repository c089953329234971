"""When a maintenance window is open, also over midnight and where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from controlplane.domain.windows import Window, next_opening, open_now

NIGHT = Window(days=("fri",), start="22:30", end="02:00")
# Clocks in Berlin go from 02:00 to 03:00 on 2026-03-29, and from 03:00 back to 02:00 on 2026-10-25.
SUNDAY = Window(days=("sun",), start="01:30", end="03:30")


def shown(windows: tuple[Window, ...], at: str, timezone: str = "UTC") -> tuple[str, str]:
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    return str(open_now(windows, timezone=timezone, now=now)), str(next_opening(windows, timezone=timezone, now=now))


@pytest.mark.parametrize(
    ("at", "opened"),
    [
        ("2026-01-02T22:29:59", "None"),
        ("2026-01-02T22:30:00", "2026-01-02 22:30 to 2026-01-03 02:00 UTC"),
        ("2026-01-03T01:59:59", "2026-01-02 22:30 to 2026-01-03 02:00 UTC"),
        ("2026-01-03T02:00:00", "None"),
        ("2026-01-03T22:45:00", "None"),
    ],
)
def test_a_window_is_open_from_its_start_until_before_its_end(at: str, opened: str) -> None:
    assert shown((NIGHT,), at)[0] == opened


def test_the_next_one_begins_after_now() -> None:
    assert shown((NIGHT,), "2026-01-02T22:30:00")[1] == "2026-01-09 22:30 to 2026-01-10 02:00 UTC"
    assert shown((), "2026-01-02T22:30:00") == ("None", "None")


def test_of_two_that_are_open_the_one_counts_that_ends_last() -> None:
    long = Window(start="22:00", end="23:00")
    assert shown((long, NIGHT), "2026-01-02T22:45:00")[0] == "2026-01-02 22:30 to 2026-01-03 02:00 UTC"


@pytest.mark.parametrize(
    ("at", "opened"),
    [
        ("2026-03-29T00:30:00", "2026-03-29 00:30 to 2026-03-29 01:30 UTC"),
        ("2026-03-29T01:30:00", "None"),
        ("2026-10-24T23:30:00", "2026-10-24 23:30 to 2026-10-25 02:30 UTC"),
        ("2026-10-25T02:29:59", "2026-10-24 23:30 to 2026-10-25 02:30 UTC"),
    ],
)
def test_on_the_day_on_which_clocks_change_times_are_those_on_the_wall(at: str, opened: str) -> None:
    assert shown((SUNDAY,), at, "Europe/Berlin")[0] == opened
