"""Which change was the last, and what came after it: by the order of the receipts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from controlplane.domain.receipt import Receipt
from controlplane.domain.waves.changed import LastChange, last_change, since_opening
from tests.unit.domain.waves.test_trail import receipt

NOW = datetime(2026, 1, 2, 13, tzinfo=UTC)
AHEAD = "2027-02-06T12:00:00Z"
OPENED = "2026-01-02T12:00:00Z"


def opened(attempt: str = "x", at: str = OPENED) -> Receipt:
    return receipt("O1", "result", run="O1", step="W1", capability="wave.open", plan="", outcome="done", told={"attempt": attempt}, at=at)


def change(key: str = "S1", at: str = "2026-01-02T12:05:00Z", host: str = "a") -> list[Receipt]:
    return [
        receipt(key, "intent", step="a/010", host=host, at=at),
        receipt(key, "result", step="a/010", host=host, outcome="done", at=at),
    ]


def gates(key: str, at: str = "2026-01-02T12:30:00Z") -> list[Receipt]:
    return [receipt(key, phase, run=key, plan="", capability="verify.pack.run", at=at) for phase in ("intent", "result")]


def last(*chain: Receipt, **asked: Any) -> LastChange | None:
    told = {"wave": "W1", "attempt": "x", "opened_at": OPENED, "hosts": ("a",), "now": NOW}
    return last_change(chain, **told | asked)


def test_only_changes_of_the_waves_hosts_since_it_opened_end_a_streak() -> None:
    told = last(*change())
    assert told is not None
    assert (told.receipt, str(told)) == ("S1", "2026-01-02T12:05:00Z")
    assert last(*change(), hosts=("b",)) is None
    assert last(*change(), opened_at="2026-01-02T12:06:00Z") is None
    # What has no plan, such as a reboot, is no change; neither is what has not ended.
    assert last(*gates("G1"), change()[0]) is None


def test_the_last_change_is_the_last_of_the_chain_whatever_the_times_say() -> None:
    told = last(opened(), *change("S1", AHEAD), *change("S2"))
    assert told is not None
    assert (told.receipt, told.ahead) == ("S2", False)


def test_what_stands_behind_the_opening_is_since_then_also_where_that_is_dated_later() -> None:
    told = last(opened(at=AHEAD), *change("S1"), opened_at=AHEAD)
    assert told is not None
    assert told.receipt == "S1"
    # Another attempt's opening is none of this one.
    assert last(opened("y", at=AHEAD), *change("S1"), opened_at=AHEAD) is None


def test_what_stands_before_the_opening_is_none_of_it_whatever_its_time() -> None:
    assert last(*change("S1", AHEAD), opened()) is None
    # Without its receipt, as with one that another controller holds, there is but the time.
    told = last(*change("S1", AHEAD))
    assert told is not None
    assert told.receipt == "S1"


@pytest.mark.parametrize("cut", [False, True])
def test_since_the_opening_is_from_its_intent_on_also_where_its_result_came_late_or_in_another_receipt(*, cut: bool) -> None:
    began = receipt("O0", "intent", run="O0", step="W1", capability="wave.open", plan="", told={"attempt": "x"})
    ended = receipt("O1" if cut else "O0", "result", run="O1", step="W1", capability="wave.open", plan="", outcome="done", told={"attempt": "x"})
    chain = [*change("S0", AHEAD), began, *change("S1", "2026-01-01T00:00:00Z"), ended, *change("S2")]
    assert [one.key for _, one in since_opening(chain, wave="W1", attempt="x", opened_at=OPENED)] == ["O0", "S1", "S1", ended.key, "S2", "S2"]


def test_a_run_follows_a_change_where_it_began_behind_it_in_the_chain() -> None:
    [began, ended] = gates("G1")
    told = last(opened(), *gates("G0"), began, *change("S1", AHEAD), ended, *gates("G2"))
    assert told is not None
    assert told.ahead
    assert [told.precedes(run, "2026-01-02T12:30:00Z") for run in ("G0", "G1", "G2")] == [False, False, True]
    # What is not in the chain has a time only, which says nothing where the change's own is wrong.
    assert told.precedes("G9", "2026-01-02T12:30:00Z") is None
    near = last(opened(), *change("S1"))
    assert near is not None
    assert (near.precedes("G9", "2026-01-02T12:04:59Z"), near.precedes("G9", "2026-01-02T12:05:00Z")) == (False, True)
