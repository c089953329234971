"""Two controllers with folders of their own and one PostgreSQL: one wave changes machines at a time, and the other one's follows on it."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.waving import Leader, disk_site
from tests.unit.adapters.coordination.cluster import Cluster

pytestmark = [pytest.mark.lab, pytest.mark.slow]

Make = Callable[..., LabMachine]


class Scene:
    """Two machines, two controllers, and two waves that have the second machine in common."""

    def __init__(self, machines: list[LabMachine], url: str, folder: Path) -> None:
        self.machines = machines
        self.one, self.two = (one.name for one in machines)
        waves: dict[str, dict[str, Any]] = {"W1": {"hosts": [self.one], "read_only": [self.two]}}
        waves["W1"]["exit"] = [{"kind": "met", "checks": ["D240"], "hosts": [self.one]}, {"kind": "pack", "pack": "disks"}]
        waves["W2"] = {"hosts": [self.two, self.one]}
        # Whatever machines it is about: it is held apart by what it does, not where.
        waves["W3"] = {"hosts": [self.two]}
        waves["W4"] = {"goal": "It follows on W1", "mutation": "none", "hosts": None, "read_only": [self.two], "capabilities": None}
        waves["W4"] |= {"entry": [{"kind": "closed", "wave": "W1"}], "exit": [], "outputs": []}
        site = disk_site(folder / "first" / "site", machines, store=url, waves=waves)
        shutil.copytree(site, folder / "second" / "site")
        self.ann, self.bob = Leader(site), Leader(folder / "second" / "site", "bob")

    def states(self) -> list[tuple[str, str]]:
        """Return how the waves stand, which both controllers have to see alike."""
        seen = [[(row["wave"], row["state"]) for row in who.did("wave", "list")["waves"]] for who in (self.ann, self.bob)]
        assert seen[0] == seen[1]
        return seen[0]


def of_two_that_open_at_once_one_does(scene: Scene) -> None:
    both = {"W1": scene.ann.start("wave", "open", "W1"), "W3": scene.bob.start("wave", "open", "W3")}
    said = {wave: going.end() for wave, going in both.items()}
    assert sorted(one.code for one in said.values()) == [0, 4], said
    won = next(wave for wave, one in said.items() if one.code == 0)
    [lost] = {"W1", "W3"} - {won}
    assert f"wave {lost} can't be opened: wave {won} changes machines and is not ended" in said[lost].err
    leader = scene.ann if won == "W1" else scene.bob
    leader.did("wave", "abort", won, "--reason", "it was only to see who is first")


def a_wave_that_would_overlap_is_refused_while_the_first_goes_on(scene: Scene) -> None:
    shut = {one["kind"]: one["verdict"] for one in scene.ann.did("wave", "preflight", "W1", code=4)["gates"]}
    assert shut == {"checks": "MET", "approval": "DRIFTED", "undo": "DRIFTED"}
    assert scene.ann.did("wave", "open", "W1")["holder"].startswith("ann@")
    plan = scene.ann.did("wave", "plan", "W1", code=3)
    assert {step["host"] for step in plan["steps"]} == {scene.one}
    scene.ann.did("wave", "approve", "W1")
    going = scene.ann.start("wave", "run", "W1", "-o", "json")
    going.wait_for(f"{scene.one}/010 storage.data_disk")
    # It stands still where it is: what is asked now is asked while it goes on, however slow the machine is.
    going.signal(signal.SIGSTOP)
    assert dict(scene.states())["W1"] == "running"
    for wave, reason in (("W3", "wave W3 can't be opened: wave W1 changes machines and is not ended (state running, held by ann@"), ("W2", "W1")):
        refused = scene.bob.run("wave", "open", wave)
        assert (refused.code, reason in refused.err) == (4, True), refused
    for verb in ("plan", "run", "resume"):
        refused = scene.bob.run("wave", verb, "W1")
        assert (refused.code, "is held by ann@" in refused.err) == (4, True), refused
    assert scene.machines[1].sh("ls -A /mnt; ls -A /var/lib/controlplane 2>/dev/null || true") == ""
    going.signal(signal.SIGCONT)
    done = going.end()
    assert (done.code, done.json["outcome"]) == (0, "done"), done
    made = scene.ann.did("wave", "close", "W1", "--attest", "the first has its disk", "--deferred", f"{scene.two}: W2")
    assert (made["outcome"], len(made["actions"])) == ("closed", 2)
    assert dict(scene.states())["W1"] == "closed"


def the_other_controllers_wave_follows_on_it(scene: Scene) -> None:
    scene.bob.did("wave", "open", "W2")
    plan = scene.bob.did("wave", "plan", "W2", code=3)
    # What the first wave did is seen on the machine itself.
    assert {step["host"] for step in plan["steps"]} == {scene.two}
    scene.bob.did("wave", "approve", "W2")
    assert scene.bob.did("wave", "run", "W2")["outcome"] == "done"
    made = scene.bob.did("wave", "close", "W2", "--attest", "both have their disk")
    assert [(gap["gap"], gap["recommended"]) for gap in made["gaps"]] == [("GAP-OP-101", True)]
    assert [one.sh("findmnt -no FSTYPE /mnt/data").strip() for one in scene.machines] == ["ext4", "ext4"]


def that_a_wave_is_closed_is_proven_by_the_receipts_of_who_closed_it(scene: Scene) -> None:
    shut = scene.bob.run("wave", "open", "W4")
    assert (shut.code, "W1 is closed in the store alone, these receipts hold no closing of that attempt" in shut.err) == (4, True), shut
    scene.ann.did("wave", "open", "W4")
    scene.ann.did("wave", "abort", "W4", "--reason", "it was only to see who may")


def streaks_are_made_of_what_each_can_show(scene: Scene) -> None:
    stood = [{row["host"]: row for row in who.did("gates", "explain", "D240")["standings"]} for who in (scene.ann, scene.bob)]
    mine, theirs = (standings[scene.one]["runs"] for standings in stood)
    assert [(row["run"], row["at"]) for row in mine] == [(row["run"], row["at"]) for row in theirs]
    for row, other in zip(mine, theirs, strict=True):
        # Whoever ran it holds its receipt; to the other one it is neither a pass nor a failure.
        assert not (row["counts"] and other["counts"])
        assert any("it was another controller's" in one["reason"] for one in (row, other))
    assert [any(row["counts"] for row in rows) for rows in (mine, theirs)] == [True, True]
    for who in (scene.ann, scene.bob):
        who.assert_receipts_hold()


def test_waves_are_led_over_one_postgresql_by_two_controllers_one_after_the_other(machine: Make, server: Cluster, tmp_path: Path) -> None:
    scene = Scene([machine(data_bytes=2**30) for _ in range(2)], server.url(), tmp_path)
    of_two_that_open_at_once_one_does(scene)
    a_wave_that_would_overlap_is_refused_while_the_first_goes_on(scene)
    the_other_controllers_wave_follows_on_it(scene)
    that_a_wave_is_closed_is_proven_by_the_receipts_of_who_closed_it(scene)
    streaks_are_made_of_what_each_can_show(scene)


@pytest.mark.long
def test_a_store_that_goes_away_in_a_run_stops_it_before_its_next_step_and_nothing_is_lost(machine: Make, server: Cluster, tmp_path: Path) -> None:
    host = machine(data_bytes=2**30)
    ann = Leader(disk_site(tmp_path / "site", [host], store=server.url(), waves={"W1": {"hosts": [host.name]}}))
    ann.did("wave", "open", "W1")
    ann.did("wave", "plan", "W1", code=3)
    ann.did("wave", "approve", "W1")
    going = ann.start("wave", "run", "W1", "-o", "json")
    going.wait_for(f"{host.name}/010 storage.data_disk")
    server.end()
    try:
        said = going.end()
        refused = ann.run("wave", "run", "W1")
    finally:
        server.start()
    assert (said.code, said.json["outcome"], said.last) == (130, "interrupted", "Next: controlplane wave status W1"), said
    assert "storage.fstab was not begun: " in said.err
    assert (refused.code, "can't be used" in refused.err, "Nothing was changed." in refused.err) == (5, True, True), refused
    assert (host.sh("findmnt -no FSTYPE /mnt/data").strip(), host.run(["grep", "mnt", "/etc/fstab"]).returncode) == ("ext4", 1)

    status = ann.did("wave", "status", "W1")
    assert (status["state"], status["next"]) == ("running", "controlplane wave run W1")
    result = ann.did("wave", "run", "W1")
    assert (result["outcome"], result["run"]) == ("done", said.json["run"])
    assert ann.did("wave", "close", "W1", "--attest", "it has its disk")["outcome"] == "closed"
    ann.assert_receipts_hold()
