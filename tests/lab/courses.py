"""Courses of interruptions: one run of a job goes through several, each at a share of how long the job takes, and none of them after its end.

Rules:
- How long a job takes is measured by a run that nothing interrupts, and measured anew once the program is another one.
- A job that came to its end before its point was not interrupted there: the point is taken once more, by a job from its beginning. Where that ends
  early as well, it has shown how long the job takes by now.
- A point that can't be had so fails its course: as many points as are asked for are as many interruptions within the job.
- A run that goes on does not do again what was done: it is at the second of the job at which the step began that it begins with.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol, TypeVar

from tests.lab.operating import ROOT, Running

# In one course. A point late in the job may be missed by what one run takes less than another.
MOST_MISSES = 4


class HasShare(Protocol):
    """A point; `share` is of the job's duration, at least 0 and below 1."""

    @property
    def share(self) -> float: ...


Point = TypeVar("Point", bound=HasShare)


@cache
def program_digest(root: Path = ROOT) -> str:
    """Return the digest of what a job runs: a changed program may take another time for it."""
    total = hashlib.sha256()
    for folder in ("controlplane", "roles", "playbooks"):
        for file in sorted(file for file in (root / folder).rglob("*") if file.is_file() and "__pycache__" not in file.parts):
            total.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    return total.hexdigest()


class Duration:
    """How many seconds a job takes here, noted in a file together with the program that it was measured of."""

    def __init__(self, note: Path, measure: Callable[[], float], *, program: str | None = None) -> None:
        self._note, self._measure, self._program = note, measure, program or program_digest()

    def seconds(self) -> float:
        """Return it, measured first where no note has it of this program."""
        held = json.loads(self._note.read_text()) if self._note.exists() else {}
        if held.get("program") != self._program:
            self.correct(self._measure())
            return self.seconds()
        return float(held["seconds"])

    def correct(self, seconds: float) -> None:
        """Note what a whole run took."""
        self._note.parent.mkdir(parents=True, exist_ok=True)
        self._note.write_text(json.dumps({"seconds": round(seconds, 1), "program": self._program}))


class JobTime:
    """At which second of its job a run is, whether it begins the job or goes on with it."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}
        self._stood = 0.0
        self._zero: float | None = None  # when the job would have begun, had this run done all of it

    def start(self) -> None:
        """Say that another run starts."""
        self._zero = None

    def plan_anew(self) -> None:
        """Say that the steps have other names from now on, and that the first of them is the one that was begun last."""
        self._stood, self._begun = max(self._begun.values(), default=0.0), {}

    def at(self, steps: Iterable[str], now: float) -> float | None:
        """Return the second, None until the run has begun a step. `steps` are those that it has begun, in their order."""
        for step in steps:
            if self._zero is None:
                # One that was never begun comes after the one that was done when the last run stood still.
                self._zero = now - self._begun.get(step, self._stood)
            self._begun.setdefault(step, now - self._zero)
        if self._zero is None:
            return None
        self._stood = now - self._zero
        return self._stood

    @property
    def stood(self) -> float:
        """The second at which the job was when it was last looked at."""
        return self._stood


def watch(running: Running, until: float, job: JobTime) -> float | None:
    """Return None as soon as the run is at that second of its job; or at which one it was when it ended before that, however it ended."""
    job.start()
    while running.process.poll() is None:
        second = job.at(steps_begun(running.said()), time.monotonic())
        if second is not None and second >= until:
            return None
        time.sleep(0.05)
    job.at(steps_begun(running.said()), time.monotonic())
    return job.stood


def steps_begun(said: str) -> list[str]:
    """Return the steps that an apply says it began, by their ids."""
    return re.findall(r"^(\S+/\d{3}) ", said, re.MULTILINE)


def go_through(points: Sequence[Point], duration: Duration, *, begin: Callable[[], None], strike: Callable[[Point, float], float | None]) -> None:
    """Interrupt a job at each point, the earliest first.

    `begin` brings the machine to where the job has not begun. `strike` lets the job go on to that second of it and interrupts it there: it returns
    None, or at which second the job came to its end before.
    """
    # Before all else: it may be measured on that very machine.
    takes = duration.seconds()
    begin()
    untouched, misses = True, 0
    for point in points:
        while (end := strike(point, point.share * takes)) is not None:
            misses += 1
            assert misses <= MOST_MISSES, f"the job ended {misses} times before its point, now after {end:.1f} s of {takes:.1f} s: {point}"
            if untouched:
                duration.correct(end)
                takes = duration.seconds()
            begin()
            untouched = True
        untouched = False
