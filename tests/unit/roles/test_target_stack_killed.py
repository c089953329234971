"""Whoever deploys or goes back is killed: the host itself comes to one side, and the same run to its end."""

from __future__ import annotations

from pathlib import Path

import pytest
from controlplane_target import leg_verbs, stack_asked, stack_undo
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.stack_request import parse
from controlplane_target.state import Run

from tests.unit.roles.stack_host import KilledError, StackHost, ref


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackHost:
    return StackHost(tmp_path, monkeypatch)


def settled(host: StackHost, key: str) -> Run:
    """Let the host itself settle a run that was killed."""
    host.at = lambda _what: None
    run = host.home.run(key)
    leg_verbs.settle(host.verbs(), run, "unit")
    return host.home.run(key)


def killing(host: StackHost, what: str, phase: str) -> None:
    """Kill whoever works as soon as Compose is about to do that in that phase."""

    def at(does: str) -> None:
        if does == what and phase in {run.phase for run in host.home.runs()}:
            raise KilledError

    host.at = at


@pytest.mark.parametrize(
    ("what", "phase", "ends", "release"),
    [
        ("pull", "prepared", "prepared", "1"),
        ("config", "writing", "pulled", "1"),
        ("up", "deploying", "done", "2"),
        ("between web", "deploying", "done", "2"),
    ],
)
def test_killed_anywhere_the_host_comes_to_one_side_and_the_same_run_to_its_end(
    host: StackHost, what: str, phase: str, ends: str, release: str
) -> None:
    host.deployed()
    before = host.state()
    killing(host, what, phase)
    with pytest.raises(KilledError):
        host.deploy(host.home.run("R2"), host.request("2"))
    run = settled(host, "R2")
    assert (run.phase, host.runs()["web"], host.settling) == (ends, ref("web", release), set())
    assert (host.state() == before) == (release == "1")
    host.deploy(host.home.run("R2"), host.request("2"))
    assert host.runs()["web"] == ref("web", "2")
    assert host.deploy(host.home.run("R2"), host.request("2")) == {"changed": False}
    assert set(host.home.run("R2").state["downtime_s"]) == {"web"}
    stack_undo.undo(host.verbs(), host.home.run("R3"), host.home.run("R2"))
    assert host.state() == before


@pytest.mark.parametrize("what", ["up", "between web"])
def test_a_way_back_that_is_killed_is_ended_by_the_host_or_by_the_next_one(host: StackHost, what: str) -> None:
    host.deployed()
    before = host.state()
    host.deploy(host.home.run("R2"), host.request("2"))
    killing(host, what, "undoing")
    with pytest.raises(KilledError):
        stack_undo.undo(host.verbs(), host.home.run("R3"), host.home.run("R2"))
    assert host.home.run("R3").phase == "undoing"
    # As long as it is open nothing else is deployed there.
    host.at = lambda _what: None
    with pytest.raises(RefusedFault, match="run R3 of shop is open at undoing: end it first"):
        host.verbs().refuse(host.home.run("R5"), host.request("2"))
    stack_undo.undo(host.verbs(), host.home.run("R4"), host.home.run("R2"))
    assert (host.state(), host.home.run("R3").phase, host.home.run("R4").phase) == (before, "undone", "undone")


def killed_between_files_and_containers(host: StackHost, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """Let a run take the first release back, and be killed once its containers and the first of its files are gone."""

    def killed(*_: object) -> None:
        (host.folder / "compose.yml").unlink()
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr("controlplane_target.stack_files.put_back", killed)
        with pytest.raises(KilledError):
            stack_undo.undo(host.verbs(), host.home.run(key), host.home.run("R1"))


def test_a_first_release_whose_way_back_is_killed_between_files_and_containers_ends_all_the_same(
    host: StackHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.deployed()
    killed_between_files_and_containers(host, monkeypatch, "R1")
    assert settled(host, "R1").phase == "undone"
    assert (host.runs(), host.folder.exists()) == ({}, False)


def test_it_is_ended_by_the_next_one_as_well_though_compose_finds_its_files_no_more(host: StackHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.deployed()
    killed_between_files_and_containers(host, monkeypatch, "R3")
    stack_undo.shown(host.verbs(), host.home.run("R4"), host.home.run("R1"), ())
    stack_undo.undo(host.verbs(), host.home.run("R4"), host.home.run("R1"))
    assert {key: host.home.run(key).phase for key in ("R1", "R3", "R4")} == dict.fromkeys(("R1", "R3", "R4"), "undone")
    assert (host.runs(), host.folder.exists()) == ({}, False)


def test_what_a_killed_unit_had_in_memory_goes_with_it(host: StackHost, tmp_path: Path) -> None:
    host.deployed()
    stack_asked.keep(host.home.run("R2"), host.asked("2"))
    assert (tmp_path / "run/R2.asked").stat().st_mode & 0o777 == 0o600
    killing(host, "config", "writing")
    with pytest.raises(KilledError):
        host.deploy(host.home.run("R2"), host.request("2"))
    settled(host, "R2")
    assert list((tmp_path / "run").iterdir()) == []


def test_a_disk_that_did_not_come_back_after_a_power_cut_is_not_replaced_by_an_empty_folder(host: StackHost, tmp_path: Path) -> None:
    host.deployed()
    place = tmp_path / "place"
    place.mkdir()
    asked = host.asked("2", places=[str(place)])
    [file] = asked["files"]
    file["text"] = file["text"].replace('"image": "x"', f'"volumes": [{{"type": "bind", "source": "{place}", "target": "/data"}}], "image": "x"')
    request = parse(asked)
    killing(host, "up", "deploying")
    with pytest.raises(KilledError):
        host.deploy(host.home.run("R2"), request)
    place.rmdir()
    ran = len(host.ran)
    with pytest.raises(FailedFault, match=f"shop was not brought up: {place}, which db, web binds, is not there"):
        settled(host, "R2")
    assert (len(host.ran), host.home.run("R2").phase, host.settling, host.runs()["web"]) == (ran, "deploying", {"R2"}, ref("web"))
    place.mkdir()
    assert settled(host, "R2").phase == "done"
    assert host.runs()["web"] == ref("web", "2")
    place.rmdir()
    with pytest.raises(RefusedFault, match="Nothing was changed"):
        host.deploy(host.home.run("R3"), request)
