"""A wave whose controller stands still past its leases: another one ends it, and the first changes nothing when it wakes up."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, Said, Target, allow, signing_key
from tests.lab.waving import Leader, disk_site, until, write_wave
from tests.unit.adapters.coordination.cluster import Cluster

pytestmark = [pytest.mark.lab, pytest.mark.slow]

Make = Callable[..., LabMachine]
NEW = "/mnt/data/docker"
# As if its half hour had gone by since the host's lease was taken.
AGE = """
import json
path = "/var/lib/controlplane/lease.json"
lease = json.load(open(path))
json.dump({**lease, "taken_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-01T00:30:00Z"}, open(path, "w"))
"""


class Scene:
    """One machine, a store, and what two controllers do with a wave; `bob` is the second one once he came."""

    bob: Leader

    def __init__(self, machine: LabMachine, url: str, ann: Leader) -> None:
        self.machine, self.url, self.ann = machine, url, ann

    def opened(self) -> None:
        self.ann.did("wave", "open", "W1")
        self.ann.did("wave", "plan", "W1", code=3)
        self.ann.did("wave", "approve", "W1")

    def wave_lease_is_over(self) -> None:
        """Let the four hours of the wave's lease be over."""
        with psycopg.connect(self.url, autocommit=True) as store:
            assert store.execute("UPDATE controlplane_waves SET expires_at = '2026-01-01T04:00:00Z'").rowcount == 1

    def host_lease_is_over(self) -> None:
        assert self.machine.run(["python3", "-B", "-"], stdin=AGE.encode()).returncode == 0

    def lease(self) -> dict[str, Any]:
        return dict(self.bob.did("lease", "show", self.machine.name))

    def second_controller(self, key: Path | None = None) -> None:
        """Carry the site folder over, receipts, plans and approvals with it."""
        folder = self.ann.site.parent.parent / "second" / "site"
        shutil.copytree(self.ann.site, folder)
        if key is not None:
            said = (folder / "site.yml").read_text()
            (folder / "site.yml").write_text(said.replace(str(key), str(key.with_name("bob"))))
        self.bob = Leader(folder, "bob")

    def configuration(self) -> str:
        return Target(self.machine).configuration() + self.machine.sh(
            "sha256sum /var/lib/controlplane/*/state.json; cat /var/lib/controlplane/lease-token.json; findmnt -rno TARGET,SOURCE /mnt/data"
        )


def ends_of(leader: Leader, capability: str) -> list[str | None]:
    return [one["outcome"] for one in leader.did("receipts", "list") if one["capability"] == capability and one["phase"] == "result"]


def assert_it_says_who_took_over(said: Said) -> None:
    assert said.code == 130, said
    assert "wave W1 is no longer what this process took: bob@" in said.err
    assert said.last == "Next: controlplane wave status W1"
    for offer in ("controlplane rollback", "controlplane wave run", "controlplane apply"):
        assert offer not in said.err


def moving(machine: LabMachine, url: str, folder: Path) -> Scene:
    """Return a machine whose Docker, full of data, a wave is to move; its receipts are signed by whoever wrote them."""
    machine.lab.seed(machine.name, stack="mint-data", rows=500, keys=50, objects=4)
    keys = folder / "keys"
    keys.mkdir()
    people = [signing_key(keys, name) for name in ("ann", "bob")]
    site = Operator(machine, folder / "first")
    site.write_site(approval="self", store=url, signing_key=str(people[0]), allowed_signers=str(allow(keys, *people)))
    (site.site / "waves").mkdir()
    write_wave(
        site.site,
        "W1",
        hosts=[machine.name],
        capabilities=["storage.data_disk", "storage.fstab", "docker.data_root"],
        gaps=[],
        pack=None,
        entry=[{"kind": "approval"}],
        exit=[{"kind": "met", "checks": ["D235", "D240"]}],
        outputs=["plan", "receipts", "post"],
    )
    return Scene(machine, url, Leader(site.site))


def nobody_takes_over_what_is_still_held(scene: Scene) -> None:
    refused = scene.bob.run("wave", "resume", "W1")
    assert (refused.code, "is held by ann@" in refused.err, "whose lease lasts until" in refused.err) == (4, True, True), refused
    scene.wave_lease_is_over()
    assert scene.bob.did("wave", "resume", "W1")["holder"].startswith("bob@")
    # The wave is his, and the host is not yet: that is said before anything is begun, and nothing counts as failed.
    before = scene.bob.did("receipts", "list")
    refused = scene.bob.run("wave", "run", "W1")
    assert refused.code == 4, refused
    assert f"{scene.machine.name} is leased to run " in refused.err
    assert " by ann@" in refused.err
    assert (scene.bob.did("receipts", "list"), scene.bob.did("wave", "status", "W1")["record"]["carved"]) == (before, [])


def test_a_controller_that_stood_still_in_a_move_finds_its_wave_ended_and_changes_nothing(machine: Make, server: Cluster, tmp_path: Path) -> None:
    scene = moving(machine(services=True), server.url(), tmp_path)
    target = Target(scene.machine)
    target.make_holdable()
    data = target.data()
    scene.opened()
    target.hold("precopying")
    paused = scene.ann.start("wave", "run", "W1")
    target.wait_for_phase("precopying")
    until(lambda: scene.machine.run(["pgrep", "-f", "docker-root [w]ait"]).returncode == 0)
    paused.signal(signal.SIGSTOP)

    scene.second_controller(tmp_path / "keys" / "ann")
    nobody_takes_over_what_is_still_held(scene)
    scene.host_lease_is_over()
    held = scene.lease()
    going = scene.bob.start("wave", "run", "W1", "-o", "json")
    until(lambda: str(scene.lease()["holder"]).startswith("bob@"))
    taken = scene.lease()
    assert (taken["run"], taken["token"], taken["working"]) == (held["run"], held["token"] + 1, held["working"])
    target.let_go()
    done = going.end()
    assert (done.code, done.json["outcome"]) == (0, "done"), done
    assert scene.bob.did("wave", "close", "W1", "--attest", "Docker lies on the data disk")["outcome"] == "closed"
    target.assert_on_one_place(NEW, data)
    before = scene.configuration()

    paused.signal(signal.SIGCONT)
    said = paused.end()

    assert_it_says_who_took_over(said)
    # The host itself refused it.
    assert f"run {held['run']} " in said.err
    assert "holds no lease. Nothing was changed." in said.err or f"carries token {held['token']}, the host's is" in said.err
    assert scene.configuration() == before
    assert scene.lease()["run"] is None
    target.assert_on_one_place(NEW, data)
    # On its own record the step is neither done nor failed, and on the other's it is done once.
    assert (ends_of(scene.ann, "docker.data_root"), ends_of(scene.ann, "wave.carve"), ends_of(scene.ann, "plan.apply")) == ([], [], [])
    assert (ends_of(scene.bob, "docker.data_root"), ends_of(scene.bob, "plan.apply"), ends_of(scene.bob, "wave.close")) == (["done"],) * 3
    scene.ann.assert_receipts_hold()
    scene.bob.assert_receipts_hold()
    assert scene.ann.run("wave", "run", "W1").code == 4


@pytest.mark.long
def test_a_controller_that_stood_still_while_its_step_went_on_begins_no_other_one(machine: Make, server: Cluster, tmp_path: Path) -> None:
    host, url = machine(data_bytes=2**30), server.url()
    site = disk_site(tmp_path / "first" / "site", [host], store=url, waves={"W1": {"hosts": [host.name]}})
    scene = Scene(host, url, Leader(site))
    scene.opened()
    paused = scene.ann.start("wave", "run", "W1")
    paused.wait_for(f"{host.name}/010 storage.data_disk")
    until(lambda: host.run(["test", "-e", "/var/lib/controlplane/lease.json"]).returncode == 0)
    # The controller alone: what it started goes on to the step's end.
    os.kill(paused.process.pid, signal.SIGSTOP)
    until(lambda: host.run(["findmnt", "/mnt/data"]).returncode == 0)
    until(lambda: host.run(["test", "-e", "/var/lib/controlplane/lease.json"]).returncode == 1)
    # In one folder two controllers never run beside each other, whoever holds the wave.
    scene.wave_lease_is_over()
    beside = Leader(site, "bob")
    beside.did("wave", "resume", "W1")
    refused = beside.run("wave", "run", "W1")
    assert (refused.code, f"{host.name} is being changed by ann@" in refused.err, f"process {paused.process.pid}, " in refused.err) == (4, True, True)

    scene.second_controller()
    result = scene.bob.did("wave", "run", "W1")
    assert (result["outcome"], {one["status"] for one in result["changed"]}) == ("done", {"done"})
    assert scene.bob.did("wave", "close", "W1", "--attest", "it has its disk")["outcome"] == "closed"
    before, uuid = scene.configuration(), host.sh("findmnt -no UUID /mnt/data")

    os.kill(paused.process.pid, signal.SIGCONT)
    assert_it_says_who_took_over(paused.end())

    assert (scene.configuration(), host.sh("findmnt -no UUID /mnt/data")) == (before, uuid)
    assert scene.lease()["run"] is None
    assert ends_of(scene.ann, "storage.fstab") == []
    assert ends_of(scene.bob, "storage.data_disk") == ["done"]
    scene.ann.assert_receipts_hold()
    scene.bob.assert_receipts_hold()
    assert json.loads((scene.bob.site / scene.bob.did("wave", "status", "W1")["record"]["plans"][0]["file"]).read_text())["plan"] == result["plan"]
