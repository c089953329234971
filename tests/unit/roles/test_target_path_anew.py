"""A container that somebody makes anew while its data are copied: what is copied is not what it has by then, so nothing is stopped for it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import path_move, persistent_path
from controlplane_target.cancel import Cancel
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.path_move import PathMove
from controlplane_target.path_precopy import Look, _tree
from controlplane_target.path_proof import Proof
from controlplane_target.path_refuse import since_begun, sources_of
from controlplane_target.path_request import Request, as_json, parse
from controlplane_target.persistent_path import PersistentPath
from controlplane_target.state import Home, Run, boot_id

OLD, NEW = "a" * 64, "b" * 64


class Docker:
    """An engine with one container, on anonymous volumes; what it is asked to do to it is noted."""

    path = "/run/docker.sock"

    def __init__(self, root: Path) -> None:
        self.root, self.id, self.volume = root, "c1", OLD
        self.asked: list[str] = []
        for name in (OLD, NEW):
            (root / name).mkdir()

    def make_anew(self, *, volume: str = NEW) -> None:
        self.id, self.volume = "c2", volume

    def call(self, method: str, target: str, **_: Any) -> tuple[int, Any]:
        if method == "POST":
            self.asked.append(target.rpartition("/")[2].partition("?")[0])
            return (404, {}) if f"/{self.id}/" not in target else (204 if "update" not in target else 200), None
        return 200, self.inspection()

    def summaries(self, *_: str) -> list[Any]:
        return []

    def get(self, target: str, **_: Any) -> Any:
        if target.startswith("/volumes/"):
            name = target.rpartition("/")[2]
            return {"Driver": "local", "Mountpoint": str(self.root / name)}
        return self.inspection()

    def inspection(self) -> dict[str, Any]:
        mount = {"Type": "volume", "Name": self.volume, "Source": str(self.root / self.volume), "Destination": "/data", "RW": True}
        state = {"Running": True, "StartedAt": "2026-01-02T08:00:00Z", "ExitCode": 0}
        host = {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}}
        return {"Id": self.id, "Name": "/shop", "Mounts": [mount], "HostConfig": host, "Config": {}, "State": state}


@pytest.fixture
def docker(tmp_path: Path) -> Any:
    return Docker(tmp_path)


def asked(tmp_path: Path) -> Request:
    return parse({"container": "shop", "paths": [{"kind": "files", "data": "/data", "place": str(tmp_path / "place")}]})


def copied(tmp_path: Path, docker: Any, phase: str = "staging") -> Run:
    """Return a run whose copy was begun from where the data lie now."""
    request, run = asked(tmp_path), Home(tmp_path / "home").run("R1")
    source = sources_of(docker, docker.inspection(), request)["/data"]._asdict()
    (tmp_path / "place").mkdir()
    path = {"data": "/data", "source": source, "to": str(tmp_path / "place"), "to_mount": "/"}
    tree = {"kind": "data", "path": "/data", "from": source["path"], "to": path["to"], "read_since_ns": 5, "to_mount": "/", "flags_set": False}
    run.write(phase=phase, leg="forward", request=as_json(request), container_id="c1", copy_boot_id=boot_id(), paths=[path], trees=[tree])
    return run


def leg(run: Run, docker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PathMove:
    monkeypatch.setattr(path_move.path_stack, "assert_known", lambda *_: None)
    monkeypatch.setattr(path_move.path_return, "other_anonymous", lambda *_: {})
    mover = PathMove(run, Cancel(), [], Proof(docker, asked(tmp_path)))
    monkeypatch.setattr(PathMove, "_stack", lambda *_, **__: None)
    monkeypatch.setattr(mover, "_install_settle", lambda: None)
    return mover


def test_a_container_that_was_made_anew_since_the_copy_began_is_not_stopped(tmp_path: Path, docker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = copied(tmp_path, docker)
    docker.make_anew()
    with pytest.raises(RefusedFault, match=r"shop was made anew and /data came to lie in anonymous volume since the copy .* Nothing was changed\."):
        leg(run, docker, tmp_path, monkeypatch).execute()
    assert (docker.asked, run.phase) == ([], "staging")
    # Its data may be the same ones: it was made from other files, or with other variables, all the same.
    docker.make_anew(volume=OLD)
    with pytest.raises(RefusedFault, match=r"shop was made anew since the copy of shop began"):
        leg(run, docker, tmp_path, monkeypatch).execute()
    assert docker.asked == []


def test_one_that_is_made_anew_between_the_look_and_the_stop_is_left_to_whoever_made_it(
    tmp_path: Path, docker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(tmp_path, docker)
    mover, gone = leg(run, docker, tmp_path, monkeypatch), list[str]()
    monkeypatch.setattr(mover, "_stop", lambda _: docker.make_anew())
    monkeypatch.setattr(mover, "go_back", gone.append)
    monkeypatch.setattr(mover.trees, "copy_last", lambda: pytest.fail("copied from a place that nobody uses"))
    with pytest.raises(FailedFault, match="somebody removed shop, or made it anew, while it was stopped"):
        mover.execute()
    assert len(gone) == 1


def test_a_surface_that_the_container_made_since_is_no_longer_absent(tmp_path: Path, docker: Any) -> None:
    run = copied(tmp_path, docker)
    request = parse({"container": "shop", "paths": [{"kind": "surface", "data": "/data/up", "place": str(tmp_path / "place")}]})
    source = sources_of(docker, docker.inspection(), request)["/data/up"]._replace(kind="absent")
    run.write(request=as_json(request), paths=[{**run.state["paths"][0], "data": "/data/up", "source": source._asdict()}])
    assert since_begun(docker, docker.inspection(), run) == []
    (tmp_path / OLD / "up").mkdir()
    assert since_begun(docker, docker.inspection(), run) == ["/data/up came to lie in anonymous volume"]


def verbs(run: Run, docker: Any, monkeypatch: pytest.MonkeyPatch, done: list[str]) -> PersistentPath:
    """Return verbs that only say what they would do."""
    one = PersistentPath(run.home, docker, Cancel())
    monkeypatch.setattr(persistent_path.leg_verbs, "assert_leased", lambda *_: None)
    monkeypatch.setattr(one, "precopy", lambda *_: done.append("precopy"))
    monkeypatch.setattr(one, "refuse", lambda *_: done.append("refuse"))
    for name in ("stage", "execute"):
        monkeypatch.setattr(PathMove, name, lambda _, name=name: done.append(name))
    return one


def test_the_next_attempt_copies_from_where_the_data_lie_now(tmp_path: Path, docker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run, request, done = copied(tmp_path, docker), asked(tmp_path), list[str]()
    verbs(run, docker, monkeypatch, done).move(run, request)
    assert done == ["stage", "refuse", "execute"]
    docker.make_anew()
    done.clear()
    verbs(run, docker, monkeypatch, done).move(run, request)
    assert done == ["precopy", "stage", "refuse", "execute"]


def test_a_copy_from_before_a_power_cut_is_begun_anew(tmp_path: Path, docker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes and times may have reached the disk, and what they are of not: only what begins anew is read completely."""
    run, done = copied(tmp_path, docker), list[str]()
    run.write(copy_boot_id="an earlier one")
    verbs(run, docker, monkeypatch, done).move(run, asked(tmp_path))
    assert done[0] == "precopy"


def test_all_that_speaks_against_the_move_is_asked_once_more_before_the_stop(tmp_path: Path, docker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run, done = copied(tmp_path, docker), list[str]()
    one = verbs(run, docker, monkeypatch, done)

    def refuse(*_: Any) -> None:
        raise RefusedFault("container backup also mounts it. Nothing was changed.")

    monkeypatch.setattr(one, "refuse", refuse)
    with pytest.raises(RefusedFault, match="backup also mounts it"):
        one.move(run, asked(tmp_path))
    assert done == ["stage"]


@pytest.mark.parametrize(("anew", "since"), [(False, 5), (True, 0)])
def test_a_copy_of_another_container_is_read_completely(tmp_path: Path, docker: Any, anew: bool, since: int) -> None:
    run, request = copied(tmp_path, docker, "precopied"), asked(tmp_path)
    (tmp_path / "place/file").touch()
    if anew:
        docker.make_anew(volume=OLD)
    held = docker.inspection()
    assert _tree(run, run.state["paths"][0], Look(held, sources_of(docker, held, request), request))["read_since_ns"] == since


def test_what_the_reading_ahead_writes_is_copied_before_the_stop(tmp_path: Path, docker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """To read a table may write to its file."""
    mover = leg(copied(tmp_path, docker), docker, tmp_path, monkeypatch)
    written, copy = tmp_path / OLD / "table", tmp_path / "place/table"
    monkeypatch.setattr(mover.proof, "read_ahead", lambda _check: written.write_text("who has ended"))
    monkeypatch.setattr(mover.trees, "stage", lambda: copy.write_text(written.read_text()))
    mover.stage()
    assert (copy.read_text(), mover.run.state.get("down_since")) == ("who has ended", None)


def test_what_the_copy_has_at_its_end_is_known_as_its_own(tmp_path: Path, docker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server's temporary file may be gone from the source by the time of the last look, and be in the copy still."""
    run = copied(tmp_path, docker)
    mover = leg(run, docker, tmp_path, monkeypatch)
    monkeypatch.setattr(mover.trees, "stage", (tmp_path / "place/temp-12.rdb").touch)
    mover.stage()
    assert run.state["trees"][0]["names"] == ["temp-12.rdb"]


def test_what_the_last_copy_brings_is_known_as_its_own_before_it_is_there(tmp_path: Path, docker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut may come in the middle of it, and the service remove its temporary file as it starts again."""
    run = copied(tmp_path, docker)
    mover = leg(run, docker, tmp_path, monkeypatch)
    run.write(old={"id": docker.inspection()["Id"], "started_at": ""})
    (tmp_path / OLD / "176.new").touch()
    monkeypatch.setattr(mover, "_held", nullcontext)
    for left_out in ("_keep_taken", "_update", "_show"):
        monkeypatch.setattr(mover, left_out, lambda *_: None)
    monkeypatch.setattr(mover, "_stop", lambda *_: False)
    monkeypatch.setattr(mover.trees, "assert_unused", lambda: None)

    def cut() -> None:
        assert "176.new" in Run(run.home, run.key).state["trees"][0]["names"]
        raise KeyboardInterrupt

    monkeypatch.setattr(mover.trees, "copy_last", cut)
    with pytest.raises(KeyboardInterrupt):
        mover._stop_and_copy()
