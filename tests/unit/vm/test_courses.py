"""Every point of a course is an interruption within the job: one that the job escaped is taken again, and one that can't be had fails the course."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from tests.lab import courses
from tests.lab.courses import MOST_MISSES, Duration, JobTime, go_through, program_digest, steps_begun, watch


class At(NamedTuple):
    share: float


class Job:
    """A job of so many seconds that can be interrupted; what was done of it is done `faster` when it goes on."""

    def __init__(self, takes: float, *, faster: float = 0.0) -> None:
        self.takes, self.faster = takes, faster
        self.begun, self.struck = 0, list[tuple[float, float]]()

    def begin(self) -> None:
        self.begun, self.left = self.begun + 1, self.takes

    def strike(self, point: At, until: float) -> float | None:
        if until >= self.left:
            return self.left
        self.struck.append((point.share, until))
        self.left -= self.faster
        return None


def noted(tmp_path: Path, seconds: float | None = None, *, measured: float = 100.0) -> Duration:
    note = tmp_path / "kept" / "job-seconds.json"
    if seconds is not None:
        note.parent.mkdir()
        note.write_text(json.dumps({"seconds": seconds, "program": "this"}))
    return Duration(note, lambda: measured, program="this")


def test_each_point_is_struck_once_in_one_run_of_the_job(tmp_path: Path) -> None:
    job = Job(100.0)
    go_through([At(0.1), At(0.5), At(0.97)], noted(tmp_path), begin=job.begin, strike=job.strike)
    assert (job.begun, job.struck) == (1, [(0.1, 10.0), (0.5, 50.0), (0.97, 97.0)])


def test_a_duration_that_has_to_be_measured_is_measured_before_the_machine_is_brought_to_its_beginning(tmp_path: Path) -> None:
    done: list[str] = []

    def measure() -> float:
        done.append("measure")
        return 10.0

    go_through([At(0.5)], Duration(tmp_path / "x.json", measure, program="this"), begin=lambda: done.append("begin"), strike=lambda *_: None)
    assert done == ["measure", "begin"]


def test_a_job_that_is_faster_than_was_noted_is_measured_by_that_and_struck_at_the_same_share_of_it(tmp_path: Path) -> None:
    job, duration = Job(60.0), noted(tmp_path, 100.0)
    go_through([At(0.8), At(0.9)], duration, begin=job.begin, strike=job.strike)
    assert (job.begun, job.struck) == (2, [(0.8, 48.0), (0.9, 54.0)])
    assert duration.seconds() == 60.0


def test_a_job_that_ends_early_because_it_went_on_is_struck_from_its_beginning_and_measures_nothing(tmp_path: Path) -> None:
    job, duration = Job(100.0, faster=10.0), noted(tmp_path)
    go_through([At(0.5), At(0.95)], duration, begin=job.begin, strike=job.strike)
    assert (job.begun, job.struck) == (2, [(0.5, 50.0), (0.95, 95.0)])
    assert duration.seconds() == 100.0


def test_a_point_that_can_not_be_struck_fails_the_course(tmp_path: Path) -> None:
    job = Job(100.0)
    with pytest.raises(AssertionError, match=rf"the job ended {MOST_MISSES + 1} times before its point, now after 0.0 s"):
        go_through([At(0.2)], noted(tmp_path), begin=job.begin, strike=lambda _point, _until: 0.0)
    assert (job.begun, job.struck) == (MOST_MISSES + 1, [])


def test_a_duration_is_measured_once_for_each_program(tmp_path: Path) -> None:
    note, takes = tmp_path / "seconds.json", iter([12.34, 20.0])

    def of(program: str) -> float:
        return Duration(note, lambda: next(takes), program=program).seconds()

    assert [of("a"), of("a"), of("b"), of("b")] == [12.3, 12.3, 20.0, 20.0]


def test_the_program_is_what_runs_and_not_what_python_made_of_it(tmp_path: Path) -> None:
    def digest() -> str:
        program_digest.cache_clear()
        return program_digest(tmp_path)

    (tmp_path / "roles/one").mkdir(parents=True)
    before = digest()
    (tmp_path / "roles/one/__pycache__").mkdir()
    (tmp_path / "roles/one/__pycache__/x.pyc").write_bytes(b"x")
    assert digest() == before
    (tmp_path / "roles/one/tasks.yml").write_text("[]")
    assert digest() != before


def test_a_run_that_goes_on_is_at_the_second_of_the_step_that_it_begins_with() -> None:
    job = JobTime()
    assert job.at([], 1000.0) is None
    assert job.at(["h/010"], 1002.0) == 0.0
    assert job.at(["h/010", "h/020"], 1012.0) == 10.0
    assert job.at(["h/010", "h/020"], 1017.0) == 15.0
    job.start()
    assert job.at([], 1100.0) is None
    assert job.at(["h/020"], 1120.0) == 10.0
    assert job.at(["h/020"], 1128.0) == 18.0
    # The step was done just before it was interrupted again: the next one begins where it stood.
    job.start()
    assert job.at(["h/030"], 1200.0) == 18.0


def test_after_another_plan_the_first_step_is_the_one_that_was_begun_last() -> None:
    job = JobTime()
    job.at(["h/010"], 1000.0)
    job.at(["h/010", "h/020"], 1020.0)
    job.at(["h/010", "h/020"], 1025.0)
    job.plan_anew()
    job.start()
    assert job.at(["h/010"], 1100.0) == 20.0
    assert job.at(["h/010", "h/020"], 1107.0) == 27.0


def test_a_watch_ends_at_its_second_or_with_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000, 2000))
    monkeypatch.setattr(courses, "time", SimpleNamespace(monotonic=lambda: float(next(clock)), sleep=lambda _: None))

    def run(looks: int | None) -> Any:
        polls = iter([None] * looks + [0] * 9) if looks is not None else iter([None] * 900)
        return SimpleNamespace(process=SimpleNamespace(poll=lambda: next(polls)), said=lambda: "h/010 storage.data_disk\n")

    assert watch(run(None), 5.0, JobTime()) is None
    assert watch(run(4), 5.0, JobTime()) == 4.0
    assert watch(run(4), float("inf"), JobTime()) == 4.0


def test_steps_are_read_of_what_an_apply_says() -> None:
    said = "h/010 storage.data_disk\n  h/010 | prepare\nWarning: h/010 is\nh/020 storage.fstab\n"
    assert steps_begun(said) == ["h/010", "h/020"]
