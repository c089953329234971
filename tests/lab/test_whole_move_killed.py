"""The whole move of mint-data, killed at points that a seed chooses: the same plan goes on, nothing is lost, and a further run changes nothing.

`script/drills --lab` runs fifty points by a seed and keeps a journal; by itself it takes three. A run goes through a course of kills, one in each of
as many equal parts of the time that the whole move takes here. Killed is the controller with all that it started, or its unit on the machine as well.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from controlplane.adapters.lab.lab import Lab
from tests.lab.conftest import LabMachine
from tests.lab.courses import Duration, JobTime, go_through, watch
from tests.lab.operating import RUNNING, Operator, Running, Said
from tests.lab.path_load import Client
from tests.lab.redis_load import RedisClient

pytestmark = [pytest.mark.lab, pytest.mark.slow]

KILLS_A_COURSE = 5
# A step that failed because its unit was killed may fail once more, while what was cut off there settles.
FAILURES_A_KILL = 2


class Kill(NamedTuple):
    """A point as a share of the whole move's duration, and whether the machine's own unit is killed too."""

    share: float
    unit_too: bool


def chosen(seed: int, points: int) -> list[tuple[Kill, ...]]:
    """Return the kills of a seed in courses, the earliest first in each."""
    chance = random.Random(f"{seed} kills")  # noqa: S311 - it has to say the same again
    kills = [Kill(round((part + chance.random()) / points, 3), chance.random() < 0.5) for part in range(points)]
    courses = ceil(points / KILLS_A_COURSE)
    return [tuple(kills[start::courses]) for start in range(courses)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each course its points by the seed."""
    if "kills" in metafunc.fixturenames:
        seed, points = (int(metafunc.config.getoption(name, default)) for name, default in (("seed", 1), ("points", 3)))
        courses = chosen(seed, points)
        metafunc.parametrize("kills", courses, ids=[f"kills-{number:02d}" for number in range(1, len(courses) + 1)])


class Move:
    """One machine that is written to, with a plan of its whole move."""

    def __init__(self, host: LabMachine, folder: Path) -> None:
        self.host, self.time, self.kills, self.failures = host, JobTime(), 0, 0
        host.lab.seed(host.name)
        self.site = Operator(host, folder, redis="{appendonly: true, appendfsync: always}", paths=True)
        policy = self.site.site / "policy.yml"
        moved = policy.read_text()
        for name in ("postgres", "minio"):
            moved = moved.replace(f"volume: mint-data_{name}", f"place: /mnt/data/mint-data/{name}")
        policy.write_text(moved)
        self._clients: list[Any] = [Client(host, "postgres"), Client(host, "objects"), RedisClient(host)]
        for client in self._clients:
            client.start_writing()
        self.site.plan()

    def apply(self) -> Running:
        return self.site.start("apply", str(self.site.file("plan.json")), "-o", "json")

    def take_up(self, said: Said) -> None:
        """Go on after a run that failed: one that is open by the same plan, one that a kill let fail by a new one. Without a kill none may fail."""
        self.failures += 1
        assert self.failures <= FAILURES_A_KILL * self.kills, said
        if not any(row["state"] == "open" for row in self.site.rows()):
            self.site.run("plan", "--out", str(self.site.file("plan.json")), "-o", "json")
            self.time.plan_anew()

    def strike(self, kill: Kill, until: float) -> float | None:
        """Let the move go on to that second of it and kill it there; return at which second it came to its end before, None if it was killed."""
        while True:
            running = self.apply()
            end = watch(running, until, self.time)
            if end is None:
                running.kill()
                if running.process.returncode == -signal.SIGKILL:
                    break
            said = running.end()
            if said.code == 0:
                return self.time.stood
            self.take_up(said)
        if kill.unit_too:
            self.host.sh("systemctl kill --signal=SIGKILL 'controlplane-*.service' 2>/dev/null || true")
        if self._is_done():
            # Its last word was on record already, and only the command had not ended.
            return self.time.stood
        self.kills += 1
        return None

    def _is_done(self) -> bool:
        states = [row["state"] for row in self.site.rows()]
        return "open" not in states and states[-1] == "done"

    def stood(self) -> str:
        """Return the phase in the journal that was written last."""
        line = self.host.sh("grep -h '\"phase\"' /var/lib/controlplane/*/state.json | tail -1 || true").strip(' ,\n"')
        return line.rpartition(" ")[2].strip('"') or "nothing"

    def go_on_to_the_end(self) -> None:
        """Apply the plan until it is done, and see that a further run changes nothing."""
        while (said := self.site.apply()).code != 0:
            self.take_up(said)
        assert self.site.applied()["changed"] == []
        assert self.site.run("plan").code == 0

    def assert_nothing_is_lost(self) -> None:
        """End the clients; each write that was acknowledged is there."""
        for client in self._clients:
            client.stop_writing()
        lost = [client.lost() for client in self._clients]
        assert [one["count"] for one in lost] == [0, 0, 0], lost

    def leave(self) -> None:
        """End the clients and the machine."""
        for client in self._clients:
            client.stop_writing()
        self.host.down()


def test_killed_at_any_points_the_same_plan_goes_on_to_its_end_and_nothing_is_lost(
    lab: Lab,
    machine: Callable[..., LabMachine],
    tmp_path: Path,
    kills: tuple[Kill, ...],
    record_property: Callable[[str, Any], None],
) -> None:
    moves: list[Move] = []
    points: list[str] = []
    taken: list[Kill] = []

    def another() -> Move:
        moves.append(Move(machine(services=True), tmp_path / f"move-{len(moves)}"))
        return moves[-1]

    def measure() -> float:
        move = another()
        running = move.apply()
        seconds = watch(running, float("inf"), move.time)
        said = running.end()
        assert said.code == 0, said
        assert seconds, said
        move.leave()
        return seconds

    def begin() -> None:
        if points:
            # It came to its end before it could be killed.
            moves[-1].assert_nothing_is_lost()
            moves[-1].leave()
        another()

    def strike(kill: Kill, until: float) -> float | None:
        end = moves[-1].strike(kill, until)
        if end is None:
            taken.append(kill)
            points.append(f"{kill.share}: {'controller and unit' if kill.unit_too else 'controller'}; {moves[-1].stood()}")
        else:
            points.append(f"{kill.share}: the move ended before, at {end:.1f} s; again from its beginning")
        record_property("point", " | ".join(points))
        return end

    go_through(kills, Duration(lab.home.path / "kills" / "whole-move-seconds.json", measure), begin=begin, strike=strike)
    assert tuple(taken) == kills, points
    move = moves[-1]
    move.go_on_to_the_end()
    move.assert_nothing_is_lost()
    host = move.host
    assert set(host.sh("docker ps --format '{{.Names}}'").split()) == RUNNING
    assert "/var/lib/docker" not in host.sh("docker inspect -f '{{json .Mounts}}' $(docker ps -q)")
    assert host.sh("ls /etc/systemd/system | grep controlplane-settle || true") == ""
    move.site.assert_receipts_hold()
