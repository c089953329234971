"""The whole move of mint-data, killed at points that a seed chooses: the same plan goes on, nothing is lost, and a further run changes nothing.

`script/drills --lab` runs fifty points by a seed and keeps a journal; by itself it takes three. A run goes through a course of kills, one in each of
as many equal parts of the time that the whole move takes. Killed is the controller with all that it started, or its unit on the machine as well.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import RUNNING, Operator
from tests.lab.path_load import Client
from tests.lab.redis_load import RedisClient

pytestmark = [pytest.mark.lab, pytest.mark.slow]

KILLS_A_COURSE = 5
# What the whole move takes here without a kill, in seconds; a point is a share of it.
TAKES_S = 75.0


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


def test_killed_at_any_points_the_same_plan_goes_on_to_its_end_and_nothing_is_lost(
    machine: Callable[..., LabMachine], tmp_path: Path, kills: tuple[Kill, ...], record_property: Callable[[str, Any], None]
) -> None:
    host = machine(services=True)
    host.lab.seed(host.name)
    site = Operator(host, tmp_path, redis="{appendonly: true, appendfsync: always}", paths=True)
    policy = site.site / "policy.yml"
    moved = policy.read_text()
    for name in ("postgres", "minio"):
        moved = moved.replace(f"volume: mint-data_{name}", f"place: /mnt/data/mint-data/{name}")
    policy.write_text(moved)
    clients: list[Any] = [Client(host, "postgres"), Client(host, "objects"), RedisClient(host)]
    for client in clients:
        client.start_writing()
    site.plan()
    points: list[str] = []
    done_s = 0.0
    for kill in kills:
        began = time.monotonic()
        running = site.start("apply", str(site.file("plan.json")), "-o", "json")
        # What an earlier attempt has done is not done again: its time counts.
        while running.process.poll() is None and done_s + time.monotonic() - began < kill.share * TAKES_S:
            time.sleep(0.05)
        if running.process.poll() is not None:
            points.append(f"{kill.share} (after its end)")
            break
        running.kill()
        if kill.unit_too:
            host.sh("systemctl kill --signal=SIGKILL 'controlplane-*.service' 2>/dev/null || true")
        done_s += time.monotonic() - began
        stood = host.sh("grep -h '\"phase\"' /var/lib/controlplane/*/state.json | tail -1 || true").strip(' ,\n"')
        points.append(
            f"{kill.share}: {'controller and unit' if kill.unit_too else 'controller'}; {stood.rpartition(' ')[2].strip(chr(34)) or 'nothing'}"
        )
        record_property("point", " | ".join(points))
    for _ in range(4):
        said = site.apply()
        if said.code == 0:
            break
        # A run whose step a kill let fail is closed; a new plan takes up what is left.
        site.run("plan", "--out", str(site.file("plan.json")), "-o", "json")
    assert said.code == 0, (points, said)
    assert site.applied()["changed"] == []
    assert site.run("plan").code == 0
    for client in clients:
        client.stop_writing()
    lost = [client.lost() for client in clients]
    assert [one["count"] for one in lost] == [0, 0, 0], (points, lost)
    assert set(host.sh("docker ps --format '{{.Names}}'").split()) == RUNNING
    assert "/var/lib/docker" not in host.sh("docker inspect -f '{{json .Mounts}}' $(docker ps -q)")
    assert host.sh("ls /etc/systemd/system | grep controlplane-settle || true") == ""
    site.assert_receipts_hold()
