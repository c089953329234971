"""When a maintenance window is open: over midnight, over the days on which clocks change, and never by half a minute more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from pydantic import ValidationError

from controlplane.domain.windows import Opening, Window, next_opening, open_now

BERLIN = "Europe/Berlin"
NIGHT = Window.model_validate({"days": ["sat"], "start": "22:30", "end": "04:00"})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def is_open(window: Window, now: str, timezone: str = BERLIN) -> bool:
    return open_now([window], timezone=timezone, now=at(now)) is not None


@pytest.mark.parametrize(
    ("now", "opened"),
    [
        ("2026-01-10T21:29:59", False),
        ("2026-01-10T21:30:00", True),
        ("2026-01-11T02:59:59", True),
        ("2026-01-11T03:00:00", False),
        ("2026-01-11T22:00:00", False),
    ],
)
def test_a_window_over_midnight_is_the_days_on_which_it_starts(now: str, opened: bool) -> None:
    assert is_open(NIGHT, now) is opened


@pytest.mark.parametrize(
    ("now", "opened"),
    [
        # Clocks go from 2:00 to 3:00 on Sunday 29 March 2026: the night has an hour less, and still ends at 4:00 of that day.
        ("2026-03-28T21:30:00", True),
        ("2026-03-29T01:59:59", True),
        ("2026-03-29T02:00:00", False),
        # And from 3:00 to 2:00 on Sunday 25 October 2026: an hour more.
        ("2026-10-24T20:30:00", True),
        ("2026-10-25T02:59:59", True),
        ("2026-10-25T03:00:00", False),
    ],
)
def test_on_the_day_on_which_clocks_change_the_times_are_those_on_the_wall(now: str, opened: bool) -> None:
    assert is_open(NIGHT, now) is opened


@pytest.mark.parametrize(
    ("end", "opening"),
    [
        ("04:00", ("2026-03-29T01:30:00", "2026-03-29T02:00:00")),
        # By the time that the clock shows, the window would be over before it began: the next night's is the next.
        ("03:15", ("2026-03-30T00:30:00", "2026-03-30T01:15:00")),
    ],
)
def test_a_start_in_the_hour_that_is_left_out_never_makes_a_window_that_ends_before_it_begins(end: str, opening: tuple[str, str]) -> None:
    window = Window.model_validate({"start": "02:30", "end": end})
    assert next_opening([window], timezone=BERLIN, now=at("2026-03-28T12:00:00")) == Opening(at(opening[0]), at(opening[1]))


def test_an_hour_that_there_is_twice_is_within_the_window_both_times() -> None:
    twice = Window.model_validate({"days": ["sun"], "start": "01:30", "end": "03:30"})
    assert all(is_open(twice, f"2026-10-25T{hour}:45:00") for hour in ("00", "01"))


def test_one_that_ends_as_it_starts_lasts_a_day() -> None:
    whole = Window.model_validate({"days": ["mon"], "start": "06:00", "end": "06:00"})
    assert open_now([whole], timezone="UTC", now=at("2026-01-06T05:59:00")) == Opening(at("2026-01-05T06:00:00"), at("2026-01-06T06:00:00"))
    assert not is_open(whole, "2026-01-06T06:00:00", "UTC")


def test_of_several_the_one_that_ends_last_holds_and_the_next_is_the_one_that_begins_first() -> None:
    short = Window.model_validate({"days": ["sat"], "start": "23:00", "end": "23:30"})
    held = open_now([short, NIGHT], timezone="UTC", now=at("2026-01-10T23:10:00"))
    assert str(held) == "2026-01-10 22:30 to 2026-01-11 04:00 UTC"
    assert next_opening([short, NIGHT], timezone="UTC", now=at("2026-01-10T23:10:00")) == Opening(
        at("2026-01-17T22:30:00"), at("2026-01-18T04:00:00")
    )


def test_there_is_always_a_next_one_unless_there_is_none_at_all() -> None:
    assert next_opening([], timezone=BERLIN, now=at("2026-01-10T23:10:00")) is None
    now = at("2026-03-01T00:00:00")
    steps = [now + timedelta(hours=7 * n) for n in range(60)]
    found = [next_opening([NIGHT], timezone=BERLIN, now=one) for one in steps]
    assert all(one is not None and one.start > step for one, step in zip(found, steps, strict=True))
    assert all(first.start <= second.start for first, second in pairwise(one for one in found if one is not None))


@pytest.mark.parametrize(
    "wrong", [{"start": "24:00", "end": "01:00"}, {"start": "2:30", "end": "04:00"}, {"days": ["someday"], "start": "22:00", "end": "23:00"}]
)
def test_a_time_or_day_that_there_is_not_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Window.model_validate(wrong)
