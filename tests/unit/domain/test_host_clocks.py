"""By which host's clock it is later than by the controller's."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

import pytest

from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.host_clocks import HostClock, ahead_of, by_clocks
from tests.fakes.evidence_builder import COLLECTED
from tests.fakes.host import FakeHost


def of(clock: Any) -> Evidence:
    host = FakeHost("h")
    host.probes["identity"]["clock_epoch"] = clock
    return host.evidence("2026-01-02T12:00:00Z")


def ahead(**by: timedelta) -> dict[str, Evidence]:
    return {host: of((COLLECTED + step).timestamp()) for host, step in by.items()}


def test_every_clock_that_is_more_than_five_minutes_ahead_counts_and_the_latest_comes_last() -> None:
    seen = ahead(one=timedelta(hours=1), two=timedelta(minutes=6), three=-timedelta(days=400))
    assert ahead_of(COLLECTED, seen) == (
        HostClock("two", (COLLECTED + timedelta(minutes=6)).astimezone(UTC)),
        HostClock("one", (COLLECTED + timedelta(hours=1)).astimezone(UTC)),
    )
    assert ahead_of(COLLECTED, ahead(one=timedelta(minutes=5))) == ()
    assert ahead_of(COLLECTED, {}) == ()


def test_of_many_clocks_a_few_are_told_and_the_others_counted() -> None:
    clocks = ahead_of(COLLECTED, ahead(**{f"h{number}": timedelta(hours=number) for number in range(1, 9)}))
    told = by_clocks([(clock, "shut") for clock in clocks], COLLECTED)
    assert told.startswith("shut, by the clock of h1: it says 2026-01-02T13:00:00Z; shut, by the clock of h2: it says ")
    assert told.endswith("h5: it says 2026-01-02T17:00:00Z; and by 3 more, and this controller's 2026-01-02T12:00:00Z")


@pytest.mark.parametrize("clock", [float("nan"), float("inf"), 1e300, -1e300, 253402300799.0, "noon"])
def test_what_is_no_time_of_a_clock_says_nothing(clock: Any) -> None:
    assert ahead_of(COLLECTED, {"one": of(clock)}) == ()


def test_a_host_whose_clock_was_not_observed_says_nothing() -> None:
    seen = of(0.0)
    blind = seen.model_copy(update={"probes": {name: one for name, one in seen.probes.items() if name != "identity"}})
    assert ahead_of(COLLECTED, {"one": blind, "two": Unreached(host="two", reason="no route")}) == ()
