"""Gate runs as their receipts follow each other, whatever their times say."""

from __future__ import annotations

from controlplane.domain.coordination import GateRun
from controlplane.domain.gates.promotion import Judged
from controlplane.domain.gates.run_order import beginnings, in_order, latest_of, newest_run
from tests.unit.domain.waves.test_changed import AHEAD, NOW, gates

_DATED = (("G1", "2026-01-02T12:50:00Z"), ("G2", "2026-01-02T12:30:00Z"), ("X", "2026-01-02T12:40:00Z"))


def ran(run: str, at: str, *, passed: bool = False) -> Judged:
    return Judged(run=run, at=at, verdict="MET" if passed else "DRIFTED", passed=passed, reason="so", policy="p", checker="c", host="h")


def test_a_run_that_failed_by_a_clock_that_ran_ahead_stands_where_the_chain_has_it() -> None:
    late, strange = ran("G1", AHEAD), ran("G9", AHEAD)
    newer, older = ran("G2", "2026-01-02T12:30:00Z"), ran("G0", "2026-01-02T12:00:00Z")
    began = beginnings([*gates("G0", older.at), *gates("G1", AHEAD), *gates("G2", newer.at)])
    assert [one.run for one in in_order([late, newer, older], began, NOW)] == ["G2", "G1", "G0"]
    assert [one.run for one in in_order([strange, newer], began, NOW)] == ["G9", "G2"]
    [told] = in_order([late], began, NOW)
    assert told.reason == "so (dated 2027-02-06T12:00:00Z, later than now: a clock ran ahead)"


def test_once_the_time_has_come_that_a_clock_had_run_ahead_to_the_order_of_the_chain_still_counts() -> None:
    ahead, failed = ran("G1", "2026-01-02T12:50:00Z", passed=True), ran("G2", "2026-01-02T12:30:00Z")
    older, oldest = ran("G0", "2026-01-02T12:20:00Z"), ran("G", "2026-01-02T12:10:00Z")
    began = beginnings([*gates("G", oldest.at), *gates("G0", older.at), *gates("G1", ahead.at), *gates("G2", failed.at)])
    assert [one.run for one in in_order([ahead, failed, older, oldest], began, NOW)] == ["G2", "G1", "G0", "G"]
    # Within what a clock may be back the chain gives its receipts the time of the one before.
    ahead = ran("G1", "2026-01-02T12:34:00Z", passed=True)
    began = beginnings([*gates("G1", ahead.at), *gates("G2", "2026-01-02T12:34:05Z")])
    assert [one.run for one in in_order([ahead, failed], began, NOW)] == ["G2", "G1"]


def test_no_more_runs_are_read_than_it_takes() -> None:
    runs = [ran(f"G{hour}", f"2026-01-02T{hour}:00:00Z") for hour in (12, 11, 10)]
    began = beginnings([receipt for run in reversed(runs) for receipt in gates(run.run, run.at)])
    reading = iter(runs)
    assert next(in_order(reading, began, NOW)).run == "G12"
    assert [one.run for one in reading] == ["G11", "G10"]


def test_a_run_of_another_controller_stands_among_the_own_ones_by_its_time() -> None:
    newest, other = ran("G3", "2026-01-02T12:58:00Z"), ran("X", "2026-01-02T12:57:00Z")
    older, before = ran("G2", "2026-01-02T12:56:00Z"), ran("Y", "2026-01-02T12:55:00Z")
    began = beginnings([*gates("G2", older.at), *gates("G3", newest.at), *gates("G4", "2026-01-02T12:59:00Z")])
    assert [one.run for one in in_order([newest, other, older, before], began, NOW)] == ["G3", "X", "G2", "Y"]
    assert [one.run for one in in_order([other, before], began, NOW)] == ["X", "Y"]


def test_the_newest_run_of_a_pack_is_the_last_of_the_chain_also_behind_one_by_a_clock_that_ran_ahead() -> None:
    ahead, failed, other = (GateRun(run=run, at=at, pack="p", policy="p", hosts={}, results=()) for run, at in _DATED)
    began = beginnings([*gates("G1", ahead.at), *gates("G2", failed.at)])
    assert newest_run([ahead, failed], began) == failed
    assert newest_run([ahead, other, failed], began) == other
    assert newest_run([ahead], {}) == ahead
    assert newest_run([], began) is None


def test_the_newest_runs_are_those_that_stand_last_in_the_chain_and_as_many_of_elsewhere() -> None:
    """Two by a clock that ran ahead would else take the place of what came after them."""
    own = [ran("G1", AHEAD), ran("G2", AHEAD), ran("G3", "2026-01-02T12:10:00Z"), ran("G4", "2026-01-02T12:20:00Z")]
    others = [ran("X", "2026-01-02T12:15:00Z"), ran("Y", AHEAD), ran("Z", AHEAD)]
    began = beginnings([receipt for run in own for receipt in gates(run.run, run.at)])
    assert [one.run for one in latest_of(own, began, 2)] == ["G3", "G4"]
    assert [one.run for one in latest_of([*others, *own], began, 2)] == ["G3", "G4", "Y", "Z"]
    assert [one.run for one in latest_of([*others[:1], *own], began, 3)] == ["G2", "G3", "X", "G4"]
    assert latest_of(own, began, 0) == []
