"""Where a move ends when Docker does not come up well on the new place: nothing that a container wrote is lost, whichever side that is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import docker_root, leg_verbs, root_move, root_owed, root_refusals, root_writes
from controlplane_target.cancel import Cancel
from controlplane_target.docker_root import DockerRoot
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.files import write_json
from controlplane_target.root_move import RootMove
from controlplane_target.root_request import Request, as_json
from controlplane_target.state import Home, boot_id
from controlplane_target.tree_compare import clock_ns

INVENTORY: dict[str, list[dict[str, Any]]] = {"containers": [{"id": "c1", "name": "db"}], "images": [], "volumes": [{"name": "v"}], "networks": []}


class Host:
    """Docker's units and its engine, as far as a leg meets them; `on_start` is what the containers do when Docker starts on a root."""

    path = "/run/docker.sock"

    def __init__(self, root: Path) -> None:
        self.old, self.new = root / "old", root / "new"
        self.answering = {self.old: True, self.new: True}
        self.inventory_on = {self.old: INVENTORY, self.new: INVENTORY}
        self.on_start: dict[Path, Callable[[], None]] = {}
        self.up = True
        self.on = self.new
        self.starts: list[str] = []

    def start(self, _units: list[str]) -> None:
        self.up = True
        self.starts.append(self.on.name)
        self.on_start.pop(self.on, lambda: None)()

    def stop(self, _units: list[str]) -> None:
        self.up = False

    def answers(self) -> bool:
        return self.up and self.answering[self.on]

    def wait(self, _limit_s: float) -> bool:
        return self.answers()

    def info(self) -> dict[str, Any]:
        return {"DockerRootDir": str(self.on)}

    def inventory(self) -> dict[str, Any]:
        return self.inventory_on[self.on]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(tmp_path)
    monkeypatch.setattr(root_move, "start_units", host.start)
    monkeypatch.setattr(root_move, "stop_units", host.stop)
    monkeypatch.setattr(root_move, "active", lambda _unit: host.up)
    monkeypatch.setattr(root_move, "running_units", lambda: ["docker.service"] if host.up else [])
    monkeypatch.setattr(root_move, "assert_stopped", lambda: None)
    monkeypatch.setattr(root_move.settle_units, "uninstall", lambda: None)
    monkeypatch.setattr(root_move.services, "stop_all", lambda *_: [])
    monkeypatch.setattr(root_move.services, "start_all", lambda *_: {})
    monkeypatch.setattr(root_move.services, "record", lambda *_: [])
    monkeypatch.setattr(root_move.services, "wait_for_answers", lambda *_: ({}, []))
    monkeypatch.setattr(root_move.services, "let_end", lambda *_: [])
    monkeypatch.setattr(root_move.services, "as_they_live", lambda _engine, held: held)

    def switch(pairs: list[dict[str, Any]], side: str) -> None:
        host.on = Path(pairs[0][side]["root"])

    monkeypatch.setattr(root_move.configs, "switch", switch)
    monkeypatch.setattr(root_move.configs, "on_disk", lambda _pair: {"root": str(host.on)})
    return host


def volume(root: Path) -> Path:
    return root / "volumes/v/_data/rows"


@pytest.mark.parametrize(("boot", "begun"), [(boot_id(), []), ("an earlier one", ["precopy"])])
def test_a_copy_from_before_a_power_cut_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boot: str, begun: list[str]) -> None:
    """Sizes and times may have reached the disk, and what they are of not: only what begins anew is read completely."""
    request, run, done = Request((), {}, 1, 1), Home(tmp_path / "state").run("R1"), list[str]()
    run.write(phase="precopied", request=as_json(request), trees=[], copy_boot_id=boot)
    verbs: Any = DockerRoot(run.home, None, Cancel())  # type: ignore[arg-type] # nobody asks it
    monkeypatch.setattr(verbs, "precopy", lambda *_: done.append("precopy"))
    monkeypatch.setattr(docker_root.leg_verbs, "assert_leased", lambda *_: None)
    monkeypatch.setattr(docker_root.configs, "pairs", lambda _: [])
    for name in ("stage", "execute"):
        monkeypatch.setattr(RootMove, name, lambda *_, name=name: done.append(name))
    verbs.move(run, request)
    assert done == [*begun, "stage", "execute"]


@pytest.fixture
def move(host: Host, tmp_path: Path) -> RootMove:
    """A forward leg whose copy is proven: both trees are equal, nothing runs, nothing is switched."""
    for root in (host.old, host.new):
        for name, text in (("volumes/v/_data/rows", "1"), ("containers/c1/config.v2.json", "{}"), ("overlay2/l1/diff/etc", "x"), ("engine-id", "e")):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for path in (*root.rglob("*"), root):
            os.utime(path, ns=(10**18, 10**18))
    run = Home(tmp_path / "state").run("R1")
    run.write(
        phase="compared",
        leg="forward",
        of=None,
        trees=[{"kind": "docker", "from": str(host.old), "to": str(host.new), "read_since_ns": 0, "to_mount": "", "flags_set": False}],
        configs=[{"before": {"root": str(host.old)}, "after": {"root": str(host.new)}}],
        services=[],
        units=["docker.service"],
        stopped_at=time.time(),
        compared_at_ns=clock_ns(),
        stop_timeout_s=1,
        answer_timeout_s=1,
        ends={"well": "done", "back": "reverted"},
    )
    write_json(run.folder / "inventory-before.json", INVENTORY)
    host.up, host.on = False, host.old
    return RootMove(run, host, Cancel(), [])  # type: ignore[arg-type]  # as much of an engine as a leg asks for


def writes(root: Path) -> Callable[[], None]:
    """Return what a container with a restart policy does before Docker answers."""

    def write() -> None:
        volume(root).write_text("1 2")

    return write


def test_what_is_left_after_the_stop_does_not_keep_the_services_down(host: Host, move: RootMove, monkeypatch: pytest.MonkeyPatch) -> None:
    def left() -> None:
        raise FailedFault("there still run containerd-shim (1)")

    monkeypatch.setattr(root_move, "assert_stopped", left)
    move.run.write(phase="stopping", services=[{"id": "c1", "name": "c1"}])
    with pytest.raises(FailedFault, match="there still run"):
        move._stop_and_copy()
    move.go_back("there still run containerd-shim (1)")
    assert (move.run.phase, host.on, host.starts) == ("reverted", host.old, ["old"])


def test_what_did_not_come_back_is_owed_and_nothing_is_stopped_before_it_runs(host: Host, move: RootMove, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leg starts what it found running: what an earlier one of the run left down would stay down, and the move be called done."""
    db, web = ({"id": name, "name": name} for name in ("db", "web"))
    ended: list[Any] = []
    monkeypatch.setattr(root_move.services, "let_end", lambda _engine, held, _limit: ended.append(held) or [])
    monkeypatch.setattr(
        root_move.services, "wait_for_answers", lambda *_: ({"web": move.run.state["stopped_at"] + 4}, ["db is exited (exit code 1)"])
    )
    move.run.write(phase="stopping", services=[db, web], missed_s={"web": 2.0})
    move.go_back("interrupted while stopping")
    assert (move.run.phase, ended) == ("reverted", [[db, web]])
    assert (move.run.state["owed"], move.run.state["complaint"]) == (
        [{**db, "down_since": move.run.state["stopped_at"]}],
        "db is exited (exit code 1)",
    )
    assert move.run.state["downtime_s"] == {"web": 6.0}
    said = leg_verbs.told(FailedFault("the disk is full"), move.run)
    assert said == "the disk is full. Went back: the services run on the old place again, but db not as before: db is exited (exit code 1)."
    monkeypatch.setattr(root_owed.services, "silent", lambda *_: {"db": "db is exited (exit code 1)"})
    monkeypatch.setattr(root_owed.services, "start_again", lambda _engine, owed, _limit: [f"{held['name']} is down" for held in owed])
    monkeypatch.setattr(root_move.redis_rest, "await_rest", lambda *_: None)
    monkeypatch.setattr(host, "containers", list, raising=False)
    with pytest.raises(FailedFault, match="db is down, and ran before"):
        move.execute([])
    assert host.starts == ["old"]


def test_one_that_was_told_to_end_and_did_not_is_owed_too(move: RootMove, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its start answers that it runs, and so it does, until it is gone."""
    monkeypatch.setattr(root_move.services, "let_end", lambda *_: ["db"])
    monkeypatch.setattr(root_move.services, "start_all", lambda *_: {"web": "web does not start: no port"})
    monkeypatch.setattr(root_move.services, "wait_for_answers", lambda *_: ({"db": 1.0, "web": 1.0, "ui": 1.0}, []))
    move.run.write(phase="stopping", services=[{"id": name, "name": name} for name in ("db", "web", "ui")])
    move.go_back("interrupted while stopping")
    assert [held["name"] for held in move.run.state["owed"]] == ["db", "web"]
    assert move.run.state["complaint"] == "web does not start: no port; db was told to end, did not, and may end yet"


def test_what_began_during_the_copy_and_would_not_outlive_a_stop_is_refused(host: Host, move: RootMove, monkeypatch: pytest.MonkeyPatch) -> None:
    held = {"Name": "/job", "State": {"Running": True}, "HostConfig": {"AutoRemove": True}}
    monkeypatch.setattr(root_move.redis_rest, "await_rest", lambda *_: None)
    monkeypatch.setattr(root_refusals.redis_rest, "at_risk", lambda _: [])
    monkeypatch.setattr(root_refusals.redis_live, "at_risk", lambda _: [])
    monkeypatch.setattr(host, "containers", lambda: [held], raising=False)
    with pytest.raises(RefusedFault, match=r"container job runs with --rm, .*\. Nothing was stopped"):
        move.execute([])


@pytest.mark.parametrize("is_down", [True, False])
def test_a_move_that_owes_somebody_is_neither_done_nor_proven(host: Host, move: RootMove, monkeypatch: pytest.MonkeyPatch, *, is_down: bool) -> None:
    verbs: Any = DockerRoot(move.run.home, host, Cancel())  # type: ignore[arg-type] # as much of an engine as it asks
    request = Request((), {}, 1, 1)
    silent = {"db": "db is exited (exit code 1)"} if is_down else {}
    monkeypatch.setattr(root_owed.services, "silent", lambda *_: silent)
    monkeypatch.setattr(root_refusals, "roots_now", lambda _: {})
    monkeypatch.setattr(docker_root.configs, "pairs", lambda _: [])
    move.run.write(phase="done", owed=[{"id": "db", "name": "db"}])
    assert verbs.refuse(move.run, request)["already"] is not is_down
    if not is_down:
        verbs.prove(move.run, request)
        # Seen to run it is its own: whoever stops it from here on has stopped it.
        assert move.run.home.run("R1").state["owed"] == []
        return
    with pytest.raises(FailedFault, match="not proven: db is exited"):
        verbs.prove(move.run, request)
    monkeypatch.setattr(host, "info", lambda: (_ for _ in ()).throw(OSError("no socket")))
    with pytest.raises(RefusedFault, match="does not answer"):
        verbs.refuse(move.run, request)


def test_what_any_run_left_down_is_brought_up_first_and_owed_until_it_is_seen_to_run(
    host: Host, move: RootMove, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The controller's next attempt has a key of its own, and so has its rollback."""
    verbs: Any = DockerRoot(move.run.home, host, Cancel())  # type: ignore[arg-type] # as much of an engine as it asks
    home, since = move.run.home, time.time() - 9
    home.run("R0").write(phase="reverted", owed=[{"id": "db", "name": "db", "down_since": since}], answer_timeout_s=1)
    move.run.write(phase="reverted", owed=[{"id": "web", "name": "web", "down_since": since}], missed_s={}, downtime_s={"web": 2.0})
    started: list[str] = []
    monkeypatch.setattr(root_owed.services, "silent", lambda _engine, owed: {held["name"]: f"{held['name']} is exited" for held in owed})
    monkeypatch.setattr(root_owed.services, "start_again", lambda _engine, owed, _limit: started.extend(held["name"] for held in owed) or [])
    assert root_owed.down(home, host) == ["db is exited, and ran before", "web is exited, and ran before"]  # type: ignore[arg-type] # as above
    assert verbs.undo(home.run("R2"), move.run)["changed"] is False
    root_owed.bring(move.run, host)  # type: ignore[arg-type] # as above
    assert started == ["db", "web"] * 2
    # Another run's outage is no downtime of this one.
    assert (move.run.state["brought"], list(move.run.state["downtime_s"])) == (["db", "web"], ["web"])
    assert move.run.state["downtime_s"]["web"] == pytest.approx(11, abs=1)
    assert root_owed.down(home, host) != []  # type: ignore[arg-type] # as above
    root_owed.settle(home)
    assert root_owed.down(home, host) == []  # type: ignore[arg-type] # as above


def test_a_cut_after_the_answers_starts_all_again_and_leaves_what_it_cost(move: RootMove, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root_move.services, "wait_for_answers", lambda *_: ({"web": time.time() + 900}, ["db is exited (exit code 1)"]))
    move.run.write(phase="answered", services=[{"id": name, "name": name} for name in ("db", "web")], downtime_s={"db": 3.0, "web": 2.0})
    move.conclude_again()
    assert (move.run.phase, move.run.state["complaint"]) == ("done", "db is exited (exit code 1)")
    assert ([held["name"] for held in move.run.state["owed"]], move.run.state["downtime_s"]) == (["db"], {"db": 3.0, "web": 2.0})


def test_who_goes_on_after_a_stop_on_the_destination_knows_which_lives_were_told_to_end(move: RootMove, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root_move.services, "as_they_live", lambda _engine, held: [{**one, "started_at": "there"} for one in held])
    monkeypatch.setattr(root_move, "active", lambda _unit: True)
    monkeypatch.setattr(move.engine, "answers", lambda: True)
    move.run.write(services=[{"id": "db", "name": "db", "started_at": "here"}])
    move._stop_everything()
    assert move.run.state["services"][0]["started_at"] == "there"


def test_a_destination_on_which_nothing_ran_is_left_and_the_source_serves_again(host: Host, move: RootMove) -> None:
    host.answering[host.new] = False
    with pytest.raises(FailedFault, match="does not answer on"):
        move.switch_and_conclude()
    assert (move.run.phase, host.on, host.starts) == ("reverted", host.old, ["new", "old"])
    assert volume(host.old).read_text() == "1"


def test_what_a_container_wrote_before_docker_answered_is_carried_back(host: Host, move: RootMove) -> None:
    host.answering[host.new] = False
    host.on_start[host.new] = writes(host.new)
    with pytest.raises(FailedFault, match=r"Went back: the services run on .*/old again, with what they wrote meanwhile"):
        move.switch_and_conclude()
    assert (move.run.phase, host.on, host.up) == ("reverted", host.old, True)
    assert volume(host.old).read_text() == "1 2"


def test_after_a_crash_while_starting_nothing_newer_is_taken_back_unseen(host: Host, move: RootMove) -> None:
    host.answering[host.new] = False
    volume(host.new).write_text("1 2")
    move.run.write(phase="starting")
    with pytest.raises(FailedFault):
        move.switch_and_conclude()
    assert (move.run.phase, volume(host.old).read_text()) == ("reverted", "1 2")


def test_where_something_is_gone_and_a_container_wrote_the_services_stay_and_the_source_is_kept(host: Host, move: RootMove) -> None:
    host.inventory_on[host.new] = {**INVENTORY, "containers": []}
    host.on_start[host.new] = writes(host.new)
    (host.new / "containers/c1/config.v2.json").unlink()
    (host.new / "containers/c1").rmdir()
    with pytest.raises(FailedFault, match=r"containers/c1 of .*/old is gone there, while containers wrote .*Nothing was taken back"):
        move.switch_and_conclude()
    assert (move.run.phase, host.on, host.up) == ("done", host.new, True)
    assert (volume(host.old).read_text(), volume(host.new).read_text()) == ("1", "1 2")
    assert (host.old / "containers/c1").is_dir()
    assert [held["path"] for held in move.run.home.retired()] == [str(host.old)]


def test_what_somebody_made_since_docker_started_is_no_fault_of_the_copy(host: Host, move: RootMove) -> None:
    host.inventory_on[host.new] = {**INVENTORY, "networks": [{"id": "n", "name": "made-at-boot"}]}
    move.switch_and_conclude()
    assert (move.run.phase, host.on) == ("done", host.new)


def test_newer_data_that_can_not_be_carried_back_stays_and_the_run_can_be_undone_later(
    host: Host, move: RootMove, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(root_move.services, "wait_for_answers", lambda *_: ({}, ["db does not answer"]))
    host.on_start[host.new] = writes(host.new)

    def full() -> None:
        raise FailedFault("No space left on device")

    monkeypatch.setattr(move.trees, "copy_last", full)
    with pytest.raises(FailedFault, match="No space left"):
        move.switch_and_conclude()
    assert (move.run.phase, host.on, host.up) == ("done", host.new, True)
    assert volume(host.new).read_text() == "1 2"
    held = move.run.state["forward"]
    assert [(tree["from"], tree["to"]) for tree in held["trees"]] == [(str(host.old), str(host.new))]
    assert held["configs"] == [{"before": {"root": str(host.old)}, "after": {"root": str(host.new)}}]


def test_an_undo_that_ended_and_was_killed_before_it_said_so_is_told_by_its_own_journal(move: RootMove) -> None:
    home = move.run.home
    move.run.write(phase="done", finished_at=10.0)
    undo = home.run("R2")
    undo.write(phase="undone", of="R1", finished_at=20.0)
    docker_root = DockerRoot(home, None, Cancel())  # type: ignore[arg-type]  # never asked
    assert docker_root.undo(undo, home.run("R1"))["changed"] is False
    assert (home.run("R1").phase, home.run("R1").state["undone_by"]) == ("undone", "R2")


def test_a_write_is_seen_by_size_or_time_and_the_engines_own_files_do_not_count(host: Host, move: RootMove) -> None:
    trees = move.trees.held
    (host.new / "engine-id").write_text("another one")
    (host.new / "containers/c1/config.v2.json").write_text('{"State": {}}')
    assert (root_writes.written(trees), root_writes.lost(trees)) == ([], [])
    os.utime(volume(host.new), ns=(10**18, 10**18 - 1))
    assert root_writes.written(trees) == [str(volume(host.new))]
    (host.new / "overlay2/l1/diff/new").write_text("")
    assert root_writes.written(trees) == [str(host.new / "overlay2/l1/diff"), str(volume(host.new))]


# What a destination may hold.


def foreign(home: Home, host: Host) -> str | None:
    return root_refusals.foreign(home, str(host.new), sorted(path.name for path in host.old.iterdir()))


def test_a_copy_that_was_begun_is_written_over_only_as_long_as_it_holds_nothing_else(
    host: Host, move: RootMove, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = move.run.home
    for phase in ("precopying", "precopied", "staging", "reverted"):
        move.run.write(phase=phase)
        assert foreign(home, host) is None
    (host.new / "lost+found").mkdir()
    assert "holds lost+found, which" in str(foreign(home, host))
    monkeypatch.setattr(root_refusals.lost_found, "is_own", lambda _: True)
    assert foreign(home, host) is None
    (host.new / "letters").mkdir()
    assert foreign(home, host) == (f"{host.new} holds letters, which the copy that was begun there does not: move it away, or choose another path")


@pytest.mark.parametrize("phase", ["done", "undone"])
def test_a_path_that_an_older_run_named_is_nobodys_once_its_tree_was_purged(host: Host, move: RootMove, phase: str) -> None:
    move.run.write(phase=phase)
    assert str(foreign(move.run.home, host)).startswith(f"{host.new} is not empty, and no run of this program on this host made it")


def test_a_retired_root_is_written_over_only_unchanged(host: Host, move: RootMove) -> None:
    home = move.run.home
    move.run.write(phase="undone")
    root_move.retired.retire(home, "R1", [{"from": str(host.new), "to": str(host.old)}], now=0.0)
    assert foreign(home, host) is None
    volume(host.new).write_text("newer")
    assert foreign(home, host) == f"{host.new} changed since R1 retired it: look at what is newer there"
