"""What somebody does to a container between the comparison of its copy and the making anew: no write of that time is left behind."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import compose
from controlplane_target.cancel import Cancel
from controlplane_target.faults import FailedFault
from controlplane_target.mounts import mount_of, read
from controlplane_target.path_move import PathMove
from controlplane_target.persistent_path import PersistentPath

from tests.unit.roles.test_target_path_edited import ALWAYS, Host

BEGAN, SINCE = "2026-01-01T08:00:00Z", "2026-01-02T08:00:00Z"
AGAIN = "somebody started shop on its old place again"
LEFT = "somebody made shop anew since, and it was left as it is"


class Docker:
    """An engine with the containers in `held`, by id; the one that is called shop is the last of them."""

    path = "/run/docker.sock"

    def __init__(self, old: Path) -> None:
        self.held: dict[str, dict[str, Any]] = {}
        self.add("old", old, started_at=BEGAN)
        self.asked: list[str] = []
        self.fails = False

    def add(self, identity: str, source: Path | None, *, started_at: str = SINCE) -> None:
        mounts = [{"Type": "bind", "Source": str(source), "Destination": "/data", "RW": True}] if source else []
        state = {"Running": started_at != BEGAN, "StartedAt": started_at, "ExitCode": 0}
        host = {"RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}}
        self.held[identity] = {"Id": identity, "Name": "/shop", "Mounts": mounts, "HostConfig": host, "Config": {}, "State": state}

    def call(self, method: str, target: str, *, body: Any = None, **_: Any) -> tuple[int, Any]:
        words = target.split("/")
        one = self.held.get(words[2]) or next(reversed(self.held.values()), None) if words[2] in ("shop", *self.held) else None
        if self.fails:
            return 500, {"message": "it starts"}
        if one is None:
            return 404, {}
        if method == "GET":
            return 200, one
        self.asked.append(words[3].partition("?")[0])
        if words[3] == "update":
            one["HostConfig"] = body
            return 200, {}
        was, one["State"]["Running"] = one["State"]["Running"], True
        return (304 if was else 204), None

    def summaries(self, *_: str) -> list[Any]:
        return []

    def get(self, target: str, **_: Any) -> Any:
        return self.call("GET", target)[1]


class Leg(Host):
    """A run that was interrupted in that phase with its files written, or is about to go on from there."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str, *, kind: str = "bind") -> None:
        self.old = tmp_path / "old"
        super().__init__(tmp_path, monkeypatch, phase, stopped_at=1.0, complaint="", proof=None)
        self.docker: Any = Docker(self.old)
        for place in (self.old, self.place):
            (place / "file").write_text("as it was")
        [path] = self.run.state["paths"]
        source = {"bind": path["source"], "layer": {"kind": "layer", "path": "/data", "base": "", "volume": ""}}[kind]
        mount = mount_of(str(tmp_path.resolve()), read()).mount
        self.run.write(paths=[{**path, "source": source, "to_mount": mount}])
        time.sleep(0.03)
        # Whatever is younger by more than a tick was written since.
        self.run.write(compared_at_ns=time.time_ns() - 100_000_000, phase_at={"compared": time.time(), "starting": time.time()})
        time.sleep(0.03)
        monkeypatch.setattr(compose, "make_anew", self._make_anew)

    def _make_anew(self, *_: Any, **__: Any) -> None:
        self.made.append("anew")
        self.docker.held.clear()
        self.docker.add("made", self.place if str(self.place) in self.file.read_text() else self.old)

    def recover(self) -> str:
        return PersistentPath(self.run.home, self.docker, Cancel()).recover(self.run)

    def goes_on(self) -> None:
        self.leg(PathMove).switch_and_conclude()

    @property
    def is_file_back(self) -> bool:
        return f"[{self.old}:/data]" in self.file.read_text()


@pytest.fixture(params=["compared", "switched"])
def leg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Leg:
    return Leg(tmp_path, monkeypatch, request.param)


def test_one_that_stands_as_it_was_stopped_is_made_anew(leg: Leg) -> None:
    leg.goes_on()
    assert (leg.made, leg.run.phase, list(leg.docker.held)) == (["anew"], "done", ["made"])
    assert [Path(held["path"]).name for held in leg.run.home.retired()] == ["old"]


def test_one_that_a_watchdog_started_after_the_comparison_is_not_made_anew(leg: Leg) -> None:
    leg.docker.add("old", leg.old, started_at=SINCE)
    with pytest.raises(FailedFault, match=f"^{AGAIN} while it was stopped for its data to move. .* Run this again$"):
        leg.goes_on()
    assert (leg.made, leg.run.phase, leg.is_file_back, leg.run.home.retired()) == ([], "reverted", True, [])
    assert leg.docker.held["old"]["HostConfig"]["RestartPolicy"] == ALWAYS


def test_who_goes_on_after_a_cut_leaves_it_where_it_was_started_as_well(leg: Leg) -> None:
    leg.docker.add("old", leg.old, started_at=SINCE)
    phase = leg.run.phase
    assert (leg.recover(), leg.made, leg.run.phase, leg.is_file_back) == ("source", [], "reverted", True)
    assert leg.run.state["reason"] == f"interrupted while {phase}, and {AGAIN}"


@pytest.mark.parametrize("by", ["recover", "goes_on"])
def test_one_that_somebody_made_anew_on_the_old_place_is_left_there_and_its_file_with_it(leg: Leg, by: str) -> None:
    leg.docker.held.clear()
    leg.docker.add("theirs", leg.old)
    if by == "recover":
        assert leg.recover() == "source"
    else:
        with pytest.raises(FailedFault, match="somebody made shop anew while it was stopped"):
            leg.goes_on()
    assert (leg.made, leg.run.phase, leg.is_file_back, list(leg.docker.held)) == ([], "reverted", True, ["theirs"])
    assert LEFT in leg.run.state["complaint"]
    assert leg.run.home.retired() == []


def test_one_that_somebody_made_anew_from_the_new_file_goes_on_there(leg: Leg) -> None:
    leg.docker.held.clear()
    leg.docker.add("theirs", leg.place)
    # Its clients wrote before this went on.
    (leg.place / "file").write_text("newer")
    assert (leg.recover(), leg.run.phase) == ("destination", "done")
    assert leg.run.state["proof"]["/data"]["changed"] == 1


def test_one_that_somebody_removed_is_made_anew_on_its_old_place(leg: Leg) -> None:
    leg.docker.held.clear()
    assert (leg.recover(), leg.made, leg.run.phase, leg.is_file_back) == ("source", ["anew"], "reverted", True)


def test_nothing_is_decided_while_docker_does_not_say(leg: Leg) -> None:
    leg.docker.fails, phase = True, leg.run.phase
    with pytest.raises(FailedFault, match=r"Docker does not say how shop is: it starts\. Nothing was started"):
        leg.recover()
    assert (leg.made, leg.run.phase) == ([], phase)


def test_from_starting_on_it_is_gone_because_compose_made_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = Leg(tmp_path, monkeypatch, "starting")
    leg.docker.held.clear()
    leg.docker.add("made", leg.place)
    assert (leg.recover(), leg.run.phase) == ("destination", "done")


def test_one_that_is_still_there_then_and_was_started_again_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = Leg(tmp_path, monkeypatch, "starting")
    leg.docker.add("old", leg.old, started_at=SINCE)
    assert (leg.recover(), leg.made, leg.run.phase) == ("source", [], "reverted")


# What only the copy has.


def test_data_of_a_layer_whose_container_somebody_removed_go_on_to_the_new_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = Leg(tmp_path, monkeypatch, "switched", kind="layer")
    leg.docker.held.clear()
    assert (leg.recover(), leg.made, leg.run.phase) == ("destination", ["anew"], "done")


@pytest.mark.parametrize("phase", ["copied", "compared", "switched"])
def test_a_container_that_was_made_without_its_layers_data_stops_all_that_would_overwrite_their_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    leg = Leg(tmp_path, monkeypatch, phase, kind="layer")
    leg.docker.held.clear()
    leg.docker.add("theirs", None)
    told = f"{LEFT}. It does not have what lay in its writable layer: a copy from before is in {leg.place}. Bring back"
    for _ in range(2):
        with pytest.raises(FailedFault, match=told):
            leg.recover()
        assert (leg.run.phase, leg.made, (leg.place / "file").read_text()) == ("reverting", [], "as it was")
    leg.place.rename(tmp_path / "saved")
    assert (leg.recover(), leg.run.phase) == ("source", "reverted")
    assert leg.run.state["complaint"].count(LEFT) == 1


def test_a_copy_on_a_disk_that_is_not_mounted_is_not_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed, the next attempt would copy what the container has now over it."""
    leg = Leg(tmp_path, monkeypatch, "copied", kind="layer")
    leg.docker.held.clear()
    leg.docker.add("theirs", None)
    [path] = leg.run.state["paths"]
    leg.run.write(paths=[{**path, "to_mount": str(leg.place)}])
    leg.place.rename(tmp_path / "unmounted")
    with pytest.raises(FailedFault, match=f"It does not have what lay in its writable layer: a copy from before is in {leg.place}"):
        leg.recover()
    assert leg.run.phase == "reverting"


@pytest.mark.parametrize("kind", ["bind", "anonymous"])
def test_where_the_old_place_went_with_its_container_the_copy_is_gone_on_with(leg: Leg, kind: str) -> None:
    """Somebody took it down with its volumes: made anew on its old place it would begin empty."""
    [path] = leg.run.state["paths"]
    leg.run.write(paths=[{**path, "source": {**path["source"], "kind": kind}}])
    leg.docker.held.clear()
    shutil.rmtree(leg.old)
    assert (leg.recover(), leg.made, leg.run.phase, leg.run.home.retired()) == ("destination", ["anew"], "done", [])


def test_before_the_copy_is_proven_nothing_is_made_anew_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = Leg(tmp_path, monkeypatch, "stopped")
    leg.docker.held.clear()
    shutil.rmtree(leg.old)
    with pytest.raises(FailedFault, match=f"nothing was made anew.*a copy from before it was removed is in {leg.place}"):
        leg.recover()
    assert (leg.made, leg.run.phase) == ([], "reverting")


@pytest.mark.parametrize("is_removed", [False, True])
def test_without_the_disk_of_its_old_place_it_is_not_started_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_removed: bool) -> None:
    """Docker would make an empty folder of it on the boot disk."""
    leg = Leg(tmp_path, monkeypatch, "stopped")
    if is_removed:
        leg.docker.held.clear()
    [path] = leg.run.state["paths"]
    leg.run.write(paths=[{**path, "from_mount": str(leg.old)}])
    for _ in range(2):
        with pytest.raises(
            FailedFault, match=f"Going back, shop was not started: {leg.old}, where /data lay before, is on .* in {leg.place}.* Mount again"
        ):
            leg.recover()
    assert (leg.docker.asked, leg.made, leg.run.phase) == ([], [], "reverting")
    leg.run.write(paths=[path])
    assert (leg.recover(), leg.run.phase) == ("source", "reverted")


# What was written to the old place all the same.


def test_a_write_to_the_old_place_after_the_comparison_is_told_and_no_purge_takes_it(leg: Leg) -> None:
    (leg.old / "acknowledged").write_text("by a container that ran for a moment")
    told = f"somebody wrote to directory {leg.old}, where /data of shop lay, after it was compared, and {leg.place} does not have it"
    with pytest.raises(FailedFault, match=f"{told}.*nothing was taken back"):
        leg.goes_on()
    assert (leg.run.phase, leg.run.home.retired(), (leg.old / "acknowledged").exists()) == ("done", [], True)


def test_the_old_places_own_owner_and_mode_are_no_write_to_it(leg: Leg) -> None:
    leg.old.chmod(0o750)
    leg.goes_on()
    assert (leg.run.phase, leg.run.state["complaint"]) == ("done", "")
