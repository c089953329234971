"""A run that is stopped anywhere, by anybody or anything, goes on with the same command, and nothing is lost or done twice.

One plan lives through all of it on one machine: a second controller, Ctrl-C while copying, a cut connection, Ctrl-C in the critical section, a
killed controller, a power cut.
"""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, Running, Said, Target, planned

pytestmark = [pytest.mark.lab, pytest.mark.slow]

Make = Callable[..., LabMachine]
OLD, NEW = "/var/lib/docker", "/mnt/data/docker"


class Scene:
    """One seeded machine with its plan, and two people who may want to change it."""

    def __init__(self, machine: LabMachine, folder: Path) -> None:
        machine.lab.seed(machine.name, stack="mint-data", rows=500, keys=50, objects=4)
        self.target, self.site = Target(machine), Operator(machine, folder / "first")
        self.other = Operator(machine, folder / "second")
        self.other.env.update(USER="mallory", LOGNAME="mallory")
        self.target.make_holdable()
        self.machine, self.data = machine, self.target.data()
        self.plan = self.site.plan()

    def start(self) -> Running:
        return self.site.start("apply", str(self.site.file("plan.json")), "-o", "json")

    def until(self, phase: str) -> Running:
        """Apply, and return as soon as the move stands still in that phase."""
        self.target.hold(phase)
        running = self.start()
        self.target.wait_for_phase(phase, running=running)
        return running

    def assert_told_how_to_go_on(self, said: Said) -> None:
        assert said.code == 130, said
        assert said.json["outcome"] == "interrupted"
        run = said.json["run"]
        before_the_move = len([change for step in self.plan["steps"][:2] for change in step["changes"]])
        state = f"{before_the_move} of {len(planned(self.plan))} changes are on record as done; {run} is open and goes on where it stopped"
        assert said.err.strip().splitlines()[-2:] == [
            f"Run {run} is open. Go on: 'controlplane apply' with the same plan file; or take it back: controlplane rollback {run}",
            f"Next: controlplane apply {self.site.file('plan.json')}    ({state})",
        ]
        assert "2 of 3 steps are done" in said.err
        assert [change["status"] == "done" for change in said.json["changed"]] == [
            number < before_the_move for number in range(len(planned(self.plan)))
        ]

    def units(self) -> str:
        return self.machine.sh("systemctl list-units --plain --no-legend 'controlplane-docker*' || true").strip()


def a_second_controller_is_kept_out(scene: Scene) -> None:
    shown = scene.other.run("lease", "show", scene.machine.name, "-o", "json").json
    assert shown["holder"] == f"{getpass.getuser()}@{socket.gethostname()}"
    scene.other.plan(code=3)
    done = scene.other.apply()
    assert done.code == 4, done
    for word in (scene.machine.name, str(shown["run"]), str(shown["holder"]), f"since {shown['taken_at']}", "Nothing was changed."):
        assert word in done.err, done
    assert scene.other.receipts() == []
    taken = scene.other.run("lease", "take", scene.machine.name)
    assert taken.code == 4, taken
    assert "still works there" in taken.err


def ctrl_c_while_copying_stops_the_copy(scene: Scene, running: Running) -> None:
    running.interrupt()
    said = running.end()
    scene.assert_told_how_to_go_on(said)
    assert scene.units() == ""
    scene.target.assert_on_one_place(OLD, scene.data)


def a_cut_connection_leaves_the_work_to_the_machine(scene: Scene) -> None:
    running = scene.until("stopped")
    sessions = "pgrep -f '^sshd: root@' | grep -vx $(ps -o ppid= -p $PPID | tr -d ' ') | grep -vx $PPID"
    scene.machine.run(["bash", "-c", f"{sessions} | xargs -r kill -9"])
    said = running.end()
    scene.assert_told_how_to_go_on(said)
    assert "the connection" in said.err
    assert "long work goes on there by itself" in said.err
    assert "active running" in scene.units()
    # What waits there for the dead connection goes on for up to a minute, and the next verb's own wait couldn't be told from it.
    scene.machine.sh("pkill -f 'docker-root [w]ait' || true")


def ctrl_c_in_the_critical_section_goes_back_to_one_place(scene: Scene) -> None:
    running = scene.start()  # attaches to the move that still stands in its critical section
    scene.target.wait_for_words(running, "docker.data_root")
    running.interrupt()
    said = running.end()
    scene.assert_told_how_to_go_on(said)
    assert "cancelled. Went back: the services run on the old place again; 2 of 3 steps are done." in said.err, said.err
    assert scene.units() == ""
    scene.target.let_go()
    scene.target.assert_on_one_place(OLD, scene.data)


def a_killed_controller_and_a_power_cut_leave_one_place(scene: Scene) -> None:
    running = scene.until("stopped")
    running.kill()
    assert "active running" in scene.units()
    assert [row["state"] for row in scene.site.rows()] == ["open", "done", "done", "open"]
    scene.machine.cut()
    scene.machine.up()
    scene.target.wait_for_phase("reverted")
    scene.target.assert_on_one_place(OLD, scene.data)


def the_same_plan_goes_on_to_its_end_once(scene: Scene) -> None:
    result = scene.site.applied()
    assert result["changed"] == planned(scene.plan)
    scene.target.assert_on_one_place(NEW, scene.data)
    again = scene.site.applied()
    assert (again["run"], again["changed"]) == (None, [])
    scene.site.assert_receipts_hold()
    assert {row["state"] for row in scene.site.rows()} == {"done"}
    assert len({row["run"] for row in scene.site.rows()}) == 1


def test_one_plan_survives_every_interruption(machine: Make, tmp_path: Path) -> None:
    scene = Scene(machine(services=True), tmp_path)
    running = scene.until("precopying")
    a_second_controller_is_kept_out(scene)
    ctrl_c_while_copying_stops_the_copy(scene, running)
    a_cut_connection_leaves_the_work_to_the_machine(scene)
    ctrl_c_in_the_critical_section_goes_back_to_one_place(scene)
    a_killed_controller_and_a_power_cut_leave_one_place(scene)
    the_same_plan_goes_on_to_its_end_once(scene)


@pytest.mark.long
def test_what_a_killed_controller_left_can_be_taken_back(machine: Make, tmp_path: Path) -> None:
    scene = Scene(machine(services=True), tmp_path)
    configuration = scene.target.configuration()
    running = scene.until("precopying")
    running.kill()
    scene.target.let_go()
    scene.target.wait_for_phase("precopied")
    [run] = {row["run"] for row in scene.site.rows()}
    back = scene.site.run("rollback", run, "-o", "json")
    assert back.code == 0, back
    assert back.json["outcome"] == "rolled-back"
    scene.target.assert_on_one_place(OLD, scene.data)
    assert scene.target.configuration() == configuration
    assert {row["state"] for row in scene.site.rows() if row["capability"] != "plan.apply"} == {"rolled-back"}
    scene.site.assert_receipts_hold()
