"""A machine that is gone for good within a move blocks nobody; should it come back after all, its run is taken back, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, Target

pytestmark = [pytest.mark.lab, pytest.mark.slow]


@pytest.mark.long
def test_a_run_is_abandoned_with_its_machine_and_taken_back_when_that_comes_back(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    made = machine(services=True)
    made.lab.seed(made.name, stack="mint-data", rows=500, keys=50, objects=4)
    target, site = Target(made), Operator(made, tmp_path)
    target.make_holdable()
    data, configuration = target.data(), target.configuration()
    site.plan()
    target.hold("stopped")
    running = site.start("apply", str(site.file("plan.json")), "-o", "json")
    target.wait_for_phase("stopped", running=running)
    [run] = {row["run"] for row in site.rows()}
    refused = site.run("runs", "abandon", run, "--reason", "it burnt down")
    assert (refused.code, "Nothing was changed." in refused.err) == (4, True), refused
    made.cut()
    running.kill()

    again = site.apply()
    assert again.code == 5, again
    assert f"A machine is gone for good? controlplane runs abandon {run} --reason" in again.err
    links = len(site.rows())
    unseen = site.run("rollback", run)
    assert (unseen.code, "Nothing was changed. Restore the connection" in unseen.err, len(site.rows())) == (5, True, links), unseen
    gone = site.run("runs", "abandon", run, "--reason", "it burnt down", "-o", "json")
    assert gone.code == 0, gone
    assert (list(gone.json["unreached"]), gone.json["should_it_come_back"]) == ([made.name], f"controlplane rollback {run}")
    assert [(row["capability"], row["state"]) for row in site.rows()] == [
        ("plan.apply", "interrupted"),
        ("storage.data_disk", "done"),
        ("storage.fstab", "done"),
        ("docker.data_root", "interrupted"),
    ]
    site.assert_receipts_hold()
    once_more = site.run("runs", "abandon", run, "--reason", "it burnt down.")
    assert (once_more.code, "is not open. Nothing was changed." in once_more.err) == (4, True), once_more

    made.up()
    target.wait_for_phase("reverted")
    back = site.run("rollback", run, "-o", "json")
    assert (back.code, back.json["outcome"]) == (0, "rolled-back"), back
    target.assert_on_one_place("/var/lib/docker", data)
    assert target.configuration() == configuration
    assert {row["state"] for row in site.rows() if row["capability"] != "plan.apply"} == {"rolled-back"}
    site.assert_receipts_hold()
