"""Two controllers and one machine: who holds it is in nobody else's way for longer than he lives, and nobody changes it beside him."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
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


def a_reboot_under_a_foreign_lease_is_refused(scene: Scene) -> None:
    held, receipts, boot = scene.lease(), scene.first.receipts(), scene.machine.sh("cat /proc/sys/kernel/random/boot_id")

    said = scene.first.run("verify", "--after-reboot")

    assert said.code == 4, said
    assert f"{scene.machine.name} is leased to run {held['run']} by {held['holder']} since {held['taken_at']}, until " in said.err
    assert f"the unit {held['working']} of run {held['run']} works on {scene.machine.name}. Nothing was rebooted." in said.err
    assert scene.machine.sh("cat /proc/sys/kernel/random/boot_id") == boot
    assert scene.first.receipts() == receipts
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


def claim(run: str, holder: str, token: int) -> list[str]:
    return ["--run", run, "--holder", holder, "--token", str(token)]


def a_dead_runs_expired_lease_is_taken_and_its_token_refused(scene: Scene) -> None:
    assert scene.machine.run(["python3", "-B", "-"], stdin=AGE.encode()).returncode == 0
    held = scene.lease()
    mine = claim(held["run"], held["holder"], held["token"])
    assert (held["expired"], held["working"]) == (True, None)
    assert scene.tool(held["run"], "hold", *mine, "--", "true")[0] == 0  # nobody took it yet

    taken = scene.first.run("lease", "take", scene.machine.name, "-o", "json")

    assert taken.code == 0, taken
    assert (taken.json["taken_from"]["run"], taken.json["taken_from"]["token"]) == (held["run"], held["token"])
    assert scene.lease()["run"] is None
    code, words = scene.tool(held["run"], "hold", *mine, "--", "touch", "/root/changed")
    assert code == 4
    assert f"is leased to nobody, run {held['run']} holds no lease. Nothing was changed." in words
    assert scene.tool(held["run"], "take", "--run", THIRD, "--holder", "third@desk", "--role", "data_disk") == (0, "")
    # The taking over had a token of its own.
    refused = f"run {held['run']} carries token {held['token']}, the host's is {held['token'] + 2}. Nothing was changed."
    code, told = scene.tool(held["run"], "hold", *mine, "--", "touch", "/root/changed")
    assert code == 4
    assert refused in told
    assert scene.tool(held["run"], "release", *mine) == (0, "")
    assert scene.lease()["run"] == THIRD
    assert scene.machine.run(["test", "-e", "/root/changed"]).returncode == 1
    assert scene.tool(held["run"], "release", *claim(THIRD, "third@desk", held["token"] + 2)) == (0, "")
    assert scene.lease()["run"] is None


class Plain:
    """A rendered project on its way with plain ansible-playbook; its output goes to a file, so that a pipe never holds it up."""

    def __init__(self, project: Path) -> None:
        self._out = project.with_suffix(".out")
        with self._out.open("w") as out:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).parent / "ansible-playbook"), "site.yml"],
                cwd=project,
                env={**os.environ, "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def signal(self, number: signal.Signals) -> None:
        """Tell all of it to stand still, or to go on."""
        os.killpg(self.process.pid, number)

    def end(self, limit_s: float = 400) -> tuple[int, str]:
        """Wait until it ended; return its exit code and its output on one line."""
        code = self.process.wait(timeout=limit_s)
        return code, re.sub(r"\s+", " ", self._out.read_text())


def until(true: Callable[[], bool], limit_s: float = 120) -> None:
    limit = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.3)


def resumed_elsewhere(project: Path) -> Path:
    """Return the same project on another controller, which goes on with the move alone."""
    other = project.with_name("elsewhere")
    shutil.copytree(project, other)
    for path in (other / "vars").iterdir():
        assert "mallory@" in path.read_text()
        path.write_text(path.read_text().replace("mallory@", "trent@"))
    site = other / "site.yml"
    site.write_text(json.dumps(json.loads(site.read_text())[-1:]))
    return other


def test_a_killed_controllers_lease_keeps_everybody_out_until_it_is_taken_over(machine: Make, tmp_path: Path) -> None:
    scene = Scene(machine(services=True), tmp_path)
    scene.first.plan("plan.json", "--capability", "storage.data_disk")
    run = str(scene.first.applied()["run"])
    plan = scene.second.plan()
    scene.target.hold("precopying")
    running = scene.second.start("apply", str(scene.second.file("plan.json")), "-o", "json")
    scene.target.wait_for_phase("precopying", running=running)
    a_rollback_under_a_foreign_lease_is_refused(scene, run)
    a_reboot_under_a_foreign_lease_is_refused(scene)
    running.kill()
    unit = a_lease_is_not_taken_from_a_unit_that_works(scene)
    scene.machine.sh(f"systemctl stop {unit}")
    scene.target.let_go()
    a_dead_runs_expired_lease_is_taken_and_its_token_refused(scene)
    assert scene.second.applied()["changed"] == planned(plan)
    scene.target.assert_on_one_place(NEW, scene.data)
    scene.second.assert_receipts_hold()


# A wave's controller that stood still is refused in test_wave_takeover.py.
@pytest.mark.long
def test_a_controller_that_was_paused_while_another_went_on_with_its_run_changes_and_releases_nothing(machine: Make, tmp_path: Path) -> None:
    scene = Scene(machine(services=True), tmp_path)
    scene.first.plan("plan.json", "--capability", "storage.data_disk")
    scene.first.applied()
    scene.second.plan()
    project = tmp_path / "project"
    rendered = scene.second.run("render", str(scene.second.file("plan.json")), "--out", str(project))
    assert rendered.code == 0, rendered
    scene.target.hold("precopying")
    paused = Plain(project)
    scene.target.wait_for_phase("precopying")
    until(lambda: scene.machine.run(["pgrep", "-f", "docker-root [w]ait"]).returncode == 0)
    paused.signal(signal.SIGSTOP)
    held = scene.lease()
    assert scene.machine.run(["python3", "-B", "-"], stdin=AGE.encode()).returncode == 0

    resumed = Plain(resumed_elsewhere(project))
    until(lambda: str(scene.lease()["holder"]).startswith("trent@"))
    assert (scene.lease()["run"], scene.lease()["token"]) == (held["run"], held["token"] + 1)
    assert scene.lease()["working"] == held["working"]  # the unit goes on, for whoever holds the run now
    paused.signal(signal.SIGCONT)
    scene.target.let_go()

    code, said = paused.end()
    assert code != 0, said
    # By then the other may be through with it.
    assert re.search(
        rf"run {held['run']} (carries token {held['token']}, the host's is {held['token'] + 1}|holds no lease)\. Nothing was changed\.", said
    ), said
    code, said = resumed.end()
    assert code == 0, said
    assert scene.lease()["run"] is None
    scene.target.assert_on_one_place(NEW, scene.data)
