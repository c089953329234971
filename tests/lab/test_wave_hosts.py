"""A wave over three hosts of which one fails for a reason of its own: who is touched, who is left alone, and what the wave says of it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.waving import Leader, disk_site, write_wave

pytestmark = [pytest.mark.lab, pytest.mark.slow]

Make = Callable[..., LabMachine]


class Scene:
    """Three machines with a blank data disk each, and the wave that is to make them usable."""

    def __init__(self, machines: list[LabMachine], folder: Path) -> None:
        self.machines = machines
        self.names = [one.name for one in machines]
        self.ann = Leader(disk_site(folder / "site", machines, waves={"W1": {"hosts": self.names, "failure_limit": 0}}))

    def next(self) -> str:
        return str(self.ann.did("wave", "status", "W1")["next"])

    def approved(self) -> None:
        self.ann.did("wave", "plan", "W1", code=3)
        self.ann.did("wave", "approve", "W1")

    def failed_run(self, at: str, harm: Callable[[], None]) -> Any:
        """Run the wave, do harm as soon as it began that step, and return the result with what was said; a step on a host has to fail."""
        going = self.ann.start("wave", "run", "W1", "-o", "json")
        going.wait_for(at)
        harm()
        said = going.end()
        assert said.code == 1, said
        return {**said.json, "said": said.err}

    def receipts(self, capability: str) -> list[dict[str, Any]]:
        every = self.ann.did("receipts", "list")
        return [one for one in every if one["capability"] == capability and one["phase"] == "result"]

    def carved(self) -> list[dict[str, Any]]:
        return list(self.ann.did("wave", "status", "W1")["record"]["carved"])

    def closeout(self, page: str) -> str:
        return (self.ann.site / page).read_text()


def untouched(machine: LabMachine) -> bool:
    """Say whether nobody ever changed the machine: no run was there, its disk is blank, nothing is mounted or to be mounted."""
    left = f"ls -A /var/lib/controlplane; ls -A /mnt; blkid -p {machine.data_device}; findmnt -n /mnt/data; grep mnt /etc/fstab"
    return machine.sh(f"({left}) 2>/dev/null || true") == ""


def has_its_disk(machine: LabMachine) -> bool:
    """Say whether its data disk is mounted, and will be at its next boot."""
    [uuid] = machine.sh("findmnt -no UUID /mnt/data").split()
    return f"UUID={uuid} /mnt/data ext4" in machine.sh("cat /etc/fstab")


def sign(machine: LabMachine) -> None:
    """Put somebody's signature on its data disk. The lab's own host does it: no connection is as quick."""
    subprocess.run(["mkswap", "-q", machine.data_device], check=True)


def clear(machine: LabMachine) -> None:
    subprocess.run(["wipefs", "-qa", machine.data_device], check=True)


def shrink(machine: LabMachine) -> None:
    """Leave it a disk that is smaller than the policy allows."""
    with machine.data_file.open("r+b") as file:
        file.truncate(400_000_000)
    subprocess.run(["losetup", "--set-capacity", machine.data_device], check=True)


def a_disk_that_is_no_longer_what_was_approved_keeps_the_wave_from_beginning(scene: Scene) -> None:
    scene.approved()
    sign(scene.machines[0])
    said = scene.ann.run("wave", "run", "W1")
    assert said.code == 4, said
    assert "no longer fits" in said.err
    assert "Nothing was changed." in said.err
    assert all(untouched(one) for one in scene.machines[1:])
    assert (scene.next(), scene.carved()) == ("controlplane wave run W1", [])
    clear(scene.machines[0])


def a_canary_that_fails_is_carved_out_and_nothing_else_is_touched(scene: Scene) -> None:
    first, *others = scene.names
    result = scene.failed_run(f"{first}/010 storage.data_disk", lambda: sign(scene.machines[0]))
    assert (result["outcome"], {one["status"] for one in result["changed"]}) == ("failed", {"not-done"})
    assert f"{first}/010 storage.data_disk failed: " in result["said"]
    assert "holds swap" in result["said"]
    for other in others:
        assert f"{other} was left alone: 1 of 3 hosts failed ({first}), limit 0" in result["said"]
    assert all(untouched(one) for one in scene.machines[1:])
    assert scene.machines[0].run(["grep", "mnt", "/etc/fstab"]).returncode == 1

    [carved] = scene.carved()
    [receipt] = scene.receipts("wave.carve")
    assert (carved["host"], receipt["key"], receipt["host"], receipt["outcome"]) == (first, carved["receipt"], first, "failed")
    assert (receipt["told"]["run"], "holds swap" in receipt["reason"]) == (result["run"], True)
    # Nothing of it goes on, and the way out is named by the run, the status and the next plan alike.
    way_out = 'controlplane wave abort W1 --reason "..."'
    assert scene.next().startswith(f"{way_out}    (1 of 3 hosts failed ({first}), limit 0; ")
    assert f"Next: {way_out}" in result["said"]
    refused = scene.ann.run("wave", "plan", "W1")
    assert (refused.code, refused.last.endswith(f"Nothing was changed. Next: {way_out}")) == (4, True), refused
    assert scene.ann.run("wave", "close", "W1", "--attest", "it failed").code == 4
    assert all(untouched(one) for one in scene.machines[1:])


def an_aborted_wave_opens_again_as_an_attempt_of_its_own(scene: Scene) -> None:
    before = scene.ann.did("wave", "status", "W1")["record"]["attempt"]
    scene.ann.did("wave", "abort", "W1", "--reason", "the canary's disk is somebody else's")
    clear(scene.machines[0])
    write_wave(scene.ann.site, "W1", hosts=scene.names, failure_limit=1)
    opened = scene.ann.did("wave", "open", "W1")
    assert (opened["state"], opened["record"]["carved"]) == ("open", [])
    assert opened["record"]["attempt"] != before
    scene.approved()


def a_second_host_that_fails_is_carved_out_and_the_third_is_done(scene: Scene) -> None:
    first, second, third = scene.names
    # While the canary is being changed: what is approved was compared with the hosts by then.
    result = scene.failed_run(f"{first}/010 storage.data_disk", lambda: shrink(scene.machines[1]))
    done = {host: {one["status"] for one in result["changed"][number * 5 : number * 5 + 5]} for number, host in enumerate(scene.names)}
    assert done == {first: {"done"}, second: {"not-done"}, third: {"done"}}
    assert f"{second}/010 storage.data_disk failed: " in result["said"]
    assert "left alone" not in result["said"]
    assert [has_its_disk(scene.machines[0]), has_its_disk(scene.machines[2])] == [True, True]
    assert scene.machines[1].run(["findmnt", "/mnt/data"]).returncode == 1
    assert [one["host"] for one in scene.carved()] == [second]


def its_closeout_names_the_host_that_was_carved_out_and_recommends_no_gap_that_it_keeps_open(scene: Scene) -> None:
    second = scene.names[1]
    made = scene.ann.did("wave", "close", "W1", "--attest", "two of three have their disk", "--deferred", f"{second}: a larger disk")
    assert made["outcome"] == "closed with hosts carved out"
    assert [one["host"] for one in made["carved"]] == [second]
    assert second in {one["host"] for one in made["remaining"]}
    assert [(gap["gap"], gap["recommended"]) for gap in made["gaps"]] == [("GAP-OP-101", False)]
    [carved] = scene.receipts("wave.carve")[1:]
    assert (carved["host"], carved["key"]) == (second, made["carved"][0]["receipt"])
    assert f"| {second} | {second}/010 storage.data\\_disk failed: " in scene.closeout(made["page"])
    assert scene.ann.did("wave", "status", "W1")["next"] is None
    scene.ann.assert_receipts_hold()


def test_a_wave_over_three_hosts_stops_at_a_canary_that_fails_and_goes_on_past_one_within_its_limit(machine: Make, tmp_path: Path) -> None:
    scene = Scene([machine(data_bytes=2**30) for _ in range(3)], tmp_path)
    scene.ann.did("wave", "open", "W1")
    a_disk_that_is_no_longer_what_was_approved_keeps_the_wave_from_beginning(scene)
    a_canary_that_fails_is_carved_out_and_nothing_else_is_touched(scene)
    an_aborted_wave_opens_again_as_an_attempt_of_its_own(scene)
    a_second_host_that_fails_is_carved_out_and_the_third_is_done(scene)
    its_closeout_names_the_host_that_was_carved_out_and_recommends_no_gap_that_it_keeps_open(scene)
