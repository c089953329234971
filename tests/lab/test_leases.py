"""Two controllers and one machine: who holds it is in nobody else's way for longer than he lives, and nobody changes it beside him."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, Target, planned

pytestmark = [pytest.mark.lab, pytest.mark.slow]

Make = Callable[..., LabMachine]
NEW = "/mnt/data/docker"
THIRD = "CAP-20260101-000000__host.lease__R0003"
# As if half an hour had gone by since the lease was taken.
AGE = """
import json
path = "/var/lib/controlplane/lease.json"
lease = json.load(open(path))
json.dump({**lease, "taken_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-01T00:30:00Z"}, open(path, "w"))
"""


class Scene:
    """A machine whose data disk was made by the first controller, and whose Docker the second one moves."""

    def __init__(self, machine: LabMachine, folder: Path) -> None:
        machine.lab.seed(machine.name, stack="mint-data", rows=500, keys=50, objects=4)
        self.machine, self.target = machine, Target(machine)
        self.first, self.second = Operator(machine, folder / "first"), Operator(machine, folder / "second")
        self.second.env.update(USER="mallory", LOGNAME="mallory")
        self.target.make_holdable()
        self.data = self.target.data()

    def lease(self) -> dict[str, Any]:
        return dict(self.first.run("lease", "show", self.machine.name, "-o", "json").json)

    def tool(self, run: str, *words: str) -> tuple[int, str]:
        """Call the tools that `run` left on the machine, as its roles do."""
        done = self.machine.run(["python3", "-B", f"/var/lib/controlplane/{run}/controlplane_target", "lease", *words])
        return done.returncode, done.stderr


def a_rollback_under_a_foreign_lease_is_refused(scene: Scene, run: str) -> None:
    held, receipts, configuration = scene.lease(), scene.first.receipts(), scene.target.configuration()
    assert held["holder"].startswith("mallory@")

    said = scene.first.run("rollback", run, "-o", "json")

    assert said.code == 4, said
    told = (
        f"{scene.machine.name} is leased to run {held['run']} by {held['holder']} since {held['taken_at']}, until {held['expires_at']}. "
        "Nothing was changed. Wait for it, or let it expire; if its controller is dead: controlplane lease take HOST"
    )
    # The holder renews its lease while it works.
    assert re.sub(r"until \S+Z", f"until {held['expires_at']}", said.last) == told
    assert (said.json["outcome"], said.json["changed"]) == ("refused", [])
    assert scene.first.receipts() == receipts
    assert scene.target.configuration() == configuration
    assert scene.lease()["token"] == held["token"]


def a_lease_is_not_taken_from_a_unit_that_works(scene: Scene) -> str:
    held = scene.lease()
    said = scene.first.run("lease", "take", scene.machine.name)
    assert said.code == 4, said
    assert (
        f"is leased to run {held['run']} by {held['holder']} since {held['taken_at']}, and its unit {held['working']} still works there" in said.err
    )
    assert said.err.strip().endswith(f"'systemctl stop {held['working']}'.")
    assert scene.lease()["token"] == held["token"]
    return str(held["working"])


def a_dead_runs_expired_lease_is_taken_and_its_token_refused(scene: Scene) -> None:
    assert scene.machine.run(["python3", "-B", "-"], stdin=AGE.encode()).returncode == 0
    held = scene.lease()
    assert (held["expired"], held["working"]) == (True, None)
    assert scene.tool(held["run"], "check", "--run", held["run"])[0] == 0  # nobody took it yet

    taken = scene.first.run("lease", "take", scene.machine.name, "-o", "json")

    assert taken.code == 0, taken
    assert (taken.json["taken_from"]["run"], taken.json["taken_from"]["token"]) == (held["run"], held["token"])
    assert scene.lease()["run"] is None
    code, words = scene.tool(held["run"], "check", "--run", held["run"])
    assert code == 4
    assert f"is leased to nobody, run {held['run']} holds no lease. Nothing was changed." in words
    assert scene.tool(held["run"], "take", "--run", THIRD, "--holder", "third@desk", "--role", "data_disk") == (0, "")
    code, words = scene.tool(held["run"], "check", "--run", held["run"])
    assert code == 4
    # The taking over had a token of its own.
    assert f"run {held['run']} carries token {held['token']}, the host's is {held['token'] + 2}. Nothing was changed." in words
    assert scene.tool(held["run"], "release", "--run", THIRD) == (0, "")


def test_a_killed_controllers_lease_keeps_everybody_out_until_it_is_taken_over(machine: Make, tmp_path: Path) -> None:
    scene = Scene(machine(services=True), tmp_path)
    scene.first.plan("plan.json", "--capability", "storage.data_disk")
    run = str(scene.first.applied()["run"])
    plan = scene.second.plan()
    scene.target.hold("precopying")
    running = scene.second.start("apply", str(scene.second.file("plan.json")), "-o", "json")
    scene.target.wait_for_phase("precopying", running=running)
    a_rollback_under_a_foreign_lease_is_refused(scene, run)
    running.kill()
    unit = a_lease_is_not_taken_from_a_unit_that_works(scene)
    scene.machine.sh(f"systemctl stop {unit}")
    scene.target.let_go()
    a_dead_runs_expired_lease_is_taken_and_its_token_refused(scene)
    assert scene.second.applied()["changed"] == planned(plan)
    scene.target.assert_on_one_place(NEW, scene.data)
    scene.second.assert_receipts_hold()
