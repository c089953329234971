"""Power cuts of a machine in the midst of a job, at points by a seed, and how each of them leaves it."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from controlplane.adapters.lab.lab import Lab
from tests.lab.courses import Duration, JobTime, watch
from tests.lab.operating import Running
from tests.vm.conftest import VirtualMachine
from tests.vm.scenes import Scene, assert_nothing_below_the_mountpoint, leave_fresh, moment_of, seed_data

# One run of a job goes through so many: what follows a cut, a boot and another look, takes less time than a whole job.
CUTS_A_COURSE = 5


@dataclass(frozen=True)
class Job:
    """What power cuts go through: a plan of these words, applied on a machine at a moment of its own, and what must hold at its end."""

    machine: str
    make: Callable[[VirtualMachine, Path], Scene]
    words: tuple[str, ...]
    assert_done: Callable[[Scene], None]
    fresh: bool = False


JOBS = {
    "move": Job("drill-seeded", seed_data, (), Scene.assert_moved),
    "bootstrap": Job("drill-fresh", leave_fresh, (), Scene.assert_brought_up, fresh=True),
}


@dataclass(frozen=True)
class Cut:
    """One loss of power: after this share of the job, and whether the controller keeps its own."""

    share: float
    machine_alone: bool


def chosen_cuts(job: str, seed: int, points: int) -> list[tuple[Cut, ...]]:
    """Return the power cuts of one job by the seed, in courses: one run of the job goes through those of a course, the earliest first."""
    chance = random.Random(f"{seed} {job}")  # noqa: S311 - it has to say the same again
    # One in each of as many equal parts of the job, so that none of it is left out.
    cuts = [Cut(round((part + chance.random()) / points, 3), chance.random() < 0.5) for part in range(points)]
    courses = ceil(points / CUTS_A_COURSE)
    return [tuple(cuts[first::courses]) for first in range(courses)]


def begin(scene: Scene) -> Running:
    return scene.site.start("apply", str(scene.site.file("plan.json")), "-o", "json")


def ready_to_begin(lab: Lab, job: str) -> Scene:
    """Return the job's machine at its moment, with a plan."""
    scene = moment_of(lab, JOBS[job].machine, JOBS[job].make, fresh=JOBS[job].fresh).scene()
    scene.site.plan("plan.json", *JOBS[job].words)
    return scene


def duration_of(lab: Lab, job: str) -> Duration:
    """Return how many seconds the job takes here from its first step to its end, measured by a run that nothing cuts off."""

    def measure() -> float:
        running = begin(ready_to_begin(lab, job))
        seconds = watch(running, float("inf"), JobTime())
        said = running.end()
        assert said.code == 0, said
        assert seconds, said
        return seconds

    return Duration(lab.home.path / "drills" / f"{job}-seconds.json", measure)


def cut_off(scene: Scene, until: float, cut: Cut, job: JobTime) -> float | None:
    """Let the job go on and cut the machine's power at that second of it; return at which second the job ended before, None if it was cut."""
    running = begin(scene)
    end = watch(running, until, job)
    if end is not None:
        said = running.end()
        assert said.code == 0, said
        return end
    if not cut.machine_alone:
        running.kill()
    scene.host.cut()
    said = running.end(timeout=900)
    if said.code == 0:
        return job.stood
    assert cut.machine_alone or said.code == -signal.SIGKILL, said
    return None


def assert_left_in_order(scene: Scene) -> None:
    """Just after its power came back: it is reached, nothing lies beneath the mountpoint, and the program says which command goes on."""
    assert_nothing_below_the_mountpoint(scene.host)
    rows = scene.site.rows()
    open_runs = [row for row in rows if row["state"] == "open"]
    # Until its intent is on record an apply has changed nothing.
    assert open_runs or not rows, rows
    assert all("controlplane apply with the same plan file" in row["next"] for row in open_runs)


class Course:
    """One machine that goes through a job and its power cuts."""

    def __init__(self, lab: Lab, job: str, record: Callable[[str, object], None]) -> None:
        self._lab, self._job, self._record = lab, job, record
        self.points: list[str] = []
        self.taken = 0

    def begin(self) -> None:
        """Bring the machine to where the job has not begun."""
        self.scene, self._time = ready_to_begin(self._lab, self._job), JobTime()

    def strike(self, cut: Cut, until: float) -> float | None:
        """Cut the power at that second of the job, and see how it was left; return at which second it ended before, None if it was cut."""
        scene = self.scene
        end = cut_off(scene, until, cut, self._time)
        if end is None:
            scene.host.up(services=False)
            # Its last word was on record already, and only the command had not ended.
            end = self._time.stood if {row["state"] for row in scene.site.rows()} == {"done"} else None
        if end is not None:
            self._note(f"{cut.share}: the job ended before, at {end:.1f} s; again from its beginning")
            return end
        stood = ", ".join(f"{run.split('__')[1]} {phase}" for run, phase in sorted(scene.target.phases().items()))
        self.taken += 1
        self._note(f"{cut.share}: {'machine' if cut.machine_alone else 'machine and controller'}; {stood or 'nothing'}")
        assert_left_in_order(scene)
        return None

    def _note(self, point: str) -> None:
        self.points.append(point)
        self._record("point", " | ".join(self.points))
