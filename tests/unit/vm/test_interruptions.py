"""What counts as an interruption: a run that ended by itself was none, and one that failed by itself fails the drill or is taken up by a new plan."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.lab import test_whole_move_killed as killed
from tests.lab.courses import JobTime
from tests.lab.operating import Said
from tests.vm import power_cuts
from tests.vm.power_cuts import Cut, cut_off

KILLED = -signal.SIGKILL


class Run:
    """A run that comes to `until`, or that ended before with `code`; killed then, it ends as `killed` says."""

    def __init__(self, code: int | None, *, killed: int = KILLED, rows: tuple[str, ...] = ("open",)) -> None:
        self.code, self.killed, self.rows = code, killed, rows
        self.process = SimpleNamespace(returncode=code)

    def kill(self) -> None:
        self.process.returncode = self.killed

    def end(self, timeout: float = 400) -> Said:
        return Said(self.process.returncode if self.process.returncode is not None else 5, "", str(timeout))


def watched(running: Any, until: float, job: JobTime) -> float | None:
    job.at(["h/010"], 0.0)
    job.at(["h/010"], until if running.code is None else until / 2)
    return None if running.code is None else job.stood


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (power_cuts, killed):
        monkeypatch.setattr(module, "watch", watched)


def cut(monkeypatch: pytest.MonkeyPatch, run: Run, *, machine_alone: bool) -> tuple[float | None, list[str]]:
    done: list[str] = []
    monkeypatch.setattr(power_cuts, "begin", lambda _: run)
    scene = SimpleNamespace(host=SimpleNamespace(cut=lambda: done.append("cut")))
    return cut_off(cast(Any, scene), 10.0, Cut(0.5, machine_alone), JobTime()), done


@pytest.mark.parametrize("machine_alone", [True, False])
def test_power_that_is_cut_within_the_job_is_a_cut(monkeypatch: pytest.MonkeyPatch, machine_alone: bool) -> None:
    assert cut(monkeypatch, Run(None), machine_alone=machine_alone) == (None, ["cut"])


def test_a_job_that_had_ended_is_not_cut_and_one_that_ended_in_that_moment_was_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cut(monkeypatch, Run(0), machine_alone=True) == (5.0, [])
    assert cut(monkeypatch, Run(None, killed=0), machine_alone=False) == (10.0, ["cut"])


def test_a_job_that_failed_by_itself_is_no_end_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError):
        cut(monkeypatch, Run(1), machine_alone=True)


def a_move(*runs: Run, kills: int) -> tuple[killed.Move, list[str]]:
    """Return a move whose applies end so, one after the other, and what was planned or killed on its machine."""
    move, done, left = object.__new__(killed.Move), list[str](), list(runs)
    rows: list[dict[str, str]] = []

    def start(*_: str) -> Run:
        run = left.pop(0)
        rows[:] = [{"state": state} for state in run.rows]
        return run

    move.time, move.kills, move.failures = JobTime(), kills, 0
    site = SimpleNamespace(start=start, file=str, rows=lambda: rows, run=lambda *words, **_: done.append(words[0]))
    move.site, move.host = cast(Any, site), cast(Any, SimpleNamespace(sh=lambda _: done.append("unit")))
    return move, done


@pytest.mark.parametrize(("unit_too", "done"), [(False, []), (True, ["unit"])])
def test_a_kill_is_one_where_the_controller_died_of_it_and_its_run_is_open(unit_too: bool, done: list[str]) -> None:
    move, seen = a_move(Run(None), kills=0)
    assert (move.strike(killed.Kill(0.5, unit_too), 10.0), seen, move.kills) == (None, done, 1)


@pytest.mark.parametrize("run", [Run(0), Run(None, killed=0), Run(None, rows=("done", "done"))])
def test_a_move_that_came_to_its_end_was_not_killed(run: Run) -> None:
    move, _ = a_move(run, kills=2)
    assert move.strike(killed.Kill(0.5, False), 10.0) is not None
    assert move.kills == 2


def test_a_run_that_a_kill_let_fail_is_planned_anew_and_the_point_is_still_taken() -> None:
    move, done = a_move(Run(1, rows=("failed", "done")), Run(1), Run(None), kills=1)
    assert (move.strike(killed.Kill(0.5, False), 10.0), move.kills, move.failures) == (None, 2, 2)
    # The second one is open: the same plan goes on with it.
    assert done == ["plan"]


def test_a_run_that_fails_without_a_kill_fails_the_course() -> None:
    move, done = a_move(Run(1, rows=("failed",)), Run(None), kills=0)
    with pytest.raises(AssertionError):
        move.strike(killed.Kill(0.5, False), 10.0)
    assert done == []
