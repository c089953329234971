"""What keeps a service from going back, an edited compose file or an old disk that is gone: it is not taken down for that, nor left down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from controlplane_target import compose, path_edit, path_layer, path_precopy, path_stack, path_top, path_undo, services, settle_units
from controlplane_target.cancel import Cancel
from controlplane_target.compose import Stack
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.mounts import Mount
from controlplane_target.path_leg import RETURNING, plain
from controlplane_target.path_move import PathMove
from controlplane_target.path_proof import Proof
from controlplane_target.path_request import as_json, parse
from controlplane_target.path_return import PathReturn
from controlplane_target.path_source import Source
from controlplane_target.persistent_path import PersistentPath
from controlplane_target.state import Home, Run

from tests.unit.roles import compose_stand_in

TEXT = "name: shop\nservices:\n  db:\n    image: x\n    volumes: [/srv/old:/data]\n"
ALWAYS = {"Name": "always", "MaximumRetryCount": 0}


class Docker:
    """An engine with the container that Compose made on its new place; the old one is gone."""

    path = "/run/docker.sock"

    def __init__(self, place: Path, *, running: bool = True) -> None:
        self.source, self.running, self.policy, self.can_start = str(place), running, ALWAYS, True
        self.asked: list[str] = []

    def call(self, method: str, target: str, *, body: Any = None, **_: Any) -> tuple[int, Any]:
        if "/old/" in target:
            return 404, {}
        if method == "GET":
            return 200, self.get(target)
        what = target.rpartition("/")[2].partition("?")[0]
        self.asked.append(what)
        if what == "update":
            self.policy = body["RestartPolicy"]
            return 200, {}
        if what == "start" and not self.can_start:
            return 500, {"message": "no such device"}
        was, self.running = self.running, what == "start"
        return (304 if was == self.running else 204), None

    def info(self) -> dict[str, Any]:
        return {"DockerRootDir": "/"}

    def summaries(self, *_: str) -> list[Any]:
        return []

    def get(self, _target: str, **_: Any) -> Any:
        mount = {"Type": "bind", "Source": self.source, "Destination": "/data", "RW": True}
        state = {"Running": self.running, "StartedAt": "2026-01-02T08:00:00Z", "ExitCode": 0}
        return {"Id": "new", "Name": "/shop", "Mounts": [mount], "HostConfig": {"RestartPolicy": self.policy}, "Config": {}, "State": state}


class Host:
    """A run that was interrupted in that phase, with its files written, and its service."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str, **more: Any) -> None:
        self.place, self.file = tmp_path / "place", tmp_path / "compose.yml"
        (tmp_path / "old").mkdir()
        self.place.mkdir()
        self.docker: Any = Docker(self.place)
        self.request = parse({"container": "shop", "answer_s": 1, "paths": [{"kind": "files", "data": "/data", "place": str(self.place)}]})
        self.run: Run = Home(tmp_path / "home").run("R1")
        self.file.write_text(TEXT.replace("/srv/old", str(tmp_path / "old")))
        self.stack = Stack("shop", str(tmp_path), "db", (str(self.file),), (), "h1")
        made = path_edit.edit(self.stack, self.request)
        compose_stand_in.install(monkeypatch, tmp_path)
        self.run.folder.mkdir(parents=True)
        path_stack.record(self.run, made)
        self.file.write_text(made.texts[str(self.file)][1])
        source = {"kind": "bind", "path": str(tmp_path / "old"), "base": str(tmp_path / "old"), "volume": ""}
        old = {"id": "old", "name": "shop", "restart": ALWAYS, "stop_timeout": 1, "started_at": "2026-01-01T08:00:00Z"}
        tree = {
            "kind": "data",
            "path": "/data",
            "from": source["path"],
            "to": str(self.place),
            "read_since_ns": 0,
            "to_mount": "/",
            "flags_set": False,
        }
        self.run.write(
            phase=phase,
            leg="forward",
            role="persistent_paths",
            request=as_json(self.request),
            asked=as_json(self.request),
            stack=plain(self.stack),
            stack_after=plain(made.stack),
            paths=[{"data": "/data", "source": source, "to": str(self.place), "to_mount": "/"}],
            trees=[tree],
            old=old,
            ends={"well": "done", "back": "reverted"},
            phase_at={"starting": 1.0},
            **more,
        )
        monkeypatch.setattr("controlplane_target.path_leg.is_in_place", lambda _: True)
        monkeypatch.setattr(compose, "await_unit", lambda *_: None)
        monkeypatch.setattr(path_layer, "off", lambda *_: None)
        monkeypatch.setattr(services, "wait_for_answers", self._answers)
        for name in ("install_after", "uninstall_after"):
            monkeypatch.setattr(settle_units, name, lambda *_: None)
        self.made: list[str] = []
        monkeypatch.setattr(compose, "make_anew", lambda *_, **__: self.made.append("anew"))
        monkeypatch.setattr(compose, "make_still", lambda *_, **__: self.made.append("still"))
        self.answered: list[str] = ["shop"]

    def _answers(self, *_: Any) -> tuple[dict[str, float], list[str]]:
        return dict.fromkeys(self.answered, 2.0), [] if self.answered else ["shop does not answer"]

    def unmount(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the old place have lain on a disk of its own, which is not there any more."""
        [path] = self.run.state["paths"]
        self.run.write(paths=[{**path, "from_mount": path["source"]["path"]}])
        monkeypatch.setattr(path_top, "read", lambda: [Mount("8:0", "/", "/", "ext4", "/dev/sda", "rw", False)])

    def edit(self) -> None:
        self.file.write_text(self.file.read_text().replace("image: x", "image: y"))

    def leg(self, kind: Any) -> Any:
        return kind(self.run, Cancel(), [], Proof(self.docker, self.request))


@pytest.mark.parametrize("running", [True, False])
def test_a_service_that_was_made_on_its_new_place_goes_on_there_whatever_somebody_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: bool
) -> None:
    host = Host(tmp_path, monkeypatch, "starting")
    host.docker.running = running
    host.edit()
    with pytest.raises(
        FailedFault, match=r"compose.yml was changed by somebody while this ran.* shop runs on its new place, and nothing was taken back"
    ):
        host.leg(PathMove).switch_and_conclude()
    assert (host.docker.asked, host.made, host.docker.running, host.run.phase) == (["start"], [], True, "done")
    assert "image: y" in host.file.read_text()


def test_one_that_does_not_answer_is_not_stopped_for_a_way_back_that_its_file_does_not_allow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path, monkeypatch, "starting")
    host.answered.clear()
    host.edit()
    with pytest.raises(FailedFault, match=r"shop does not answer; .*compose.yml was changed by somebody .* shop was left on .*/place") as failed:
        host.leg(PathMove).switch_and_conclude()
    assert "run this again" in str(failed.value)
    assert (host.docker.asked, host.docker.running, host.run.phase, host.run.state["leg"]) == (["start"], True, "starting", "forward")


def test_nothing_is_stopped_for_a_way_back_to_a_disk_that_is_not_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path, monkeypatch, "starting")
    host.unmount(monkeypatch)
    with pytest.raises(FailedFault, match=f"{tmp_path}/old, where /data lay before, is on / now, not on {tmp_path}/old: mount again"):
        host.leg(PathReturn).come_back("shop did not answer", ends="reverted")
    assert (host.docker.asked, host.docker.running, host.run.phase) == ([], True, "starting")
    host.run.write(phase="done", leg="forward")
    verbs: Any = PersistentPath(host.run.home, host.docker, Cancel())
    with pytest.raises(RefusedFault, match=r"undo of R1 refused: .*is on / now, not on .* Nothing was changed\."):
        path_undo.undo(verbs, host.run, host.run)
    assert (host.docker.asked, list((tmp_path / "old").iterdir())) == ([], [])


@pytest.mark.parametrize(
    ("kind", "base", "path", "mount"),
    [
        ("bind", "/mnt/old", "/mnt/old/deep", "/mnt/old"),
        ("bind", "/srv/old", "/srv/old", "/"),
        ("absent", "/mnt/old", "/mnt/old/new", "/mnt/old"),
        ("volume", "/mnt/old/elsewhere", "/mnt/old/elsewhere", "/mnt/old"),
        # Docker's own, which may have another root by then, and what only the container sees.
        ("volume", "/mnt/old/volumes/v/_data", "/mnt/old/volumes/v/_data", ""),
        ("layer", "", "/mnt/old/data", ""),
        ("absent", "", "/mnt/old/data", ""),
    ],
)
def test_an_old_place_is_known_by_its_mount_unless_it_is_dockers_own(
    monkeypatch: pytest.MonkeyPatch, kind: str, base: str, path: str, mount: str
) -> None:
    disk = Mount("8:16", "/", "/mnt/old", "ext4", "/dev/sdb", "rw", False)
    root = disk._replace(dev="8:0", mount="/")
    for module in (path_precopy, path_top):
        monkeypatch.setattr(module, "nearest_existing", lambda path: path)
        monkeypatch.setattr(module, "read", lambda: [root, disk])
    wanted = parse({"container": "shop", "paths": [{"data": "/data", "place": "/place"}]}).paths[0]
    held = path_precopy._path(wanted, Source(kind, path, base, "v" if kind == "volume" else ""), "/place")
    assert (held["from_mount"], held["to_mount"]) == (mount, "/")
    assert path_top.without_their_mount([held]) == []
    monkeypatch.setattr(path_top, "read", lambda: [root])
    assert len(path_top.without_their_mount([held])) == (mount == "/mnt/old")
    # A journal from before that was written down says nothing of it.
    del held["from_mount"]
    assert path_top.without_their_mount([held]) == []


def test_one_that_an_attempt_before_stopped_is_started_on_its_new_place_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path, monkeypatch, RETURNING, ends_back="reverted")
    host.run.write(leg="carry")
    host.docker.running, host.docker.policy = False, {"Name": "no", "MaximumRetryCount": 0}
    host.edit()
    for _ in range(2):
        with pytest.raises(FailedFault, match="It was not taken back"):
            host.leg(PathReturn).come_back("shop did not answer")
        assert (host.docker.running, host.docker.policy, host.run.phase) == (True, ALWAYS, RETURNING)
    assert "stop" not in host.docker.asked


def test_what_somebody_started_on_the_old_place_meanwhile_is_left_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path, monkeypatch, RETURNING, ends_back="reverted")
    host.run.write(leg="carry")
    host.docker.source = str(tmp_path / "old")
    host.edit()
    with pytest.raises(FailedFault, match="somebody started shop on its old place"):
        host.leg(PathReturn).come_back("shop did not answer")
    assert (host.docker.asked, host.made) == ([], [])


def test_what_could_not_be_carried_back_runs_on_its_new_place_and_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path, monkeypatch, "starting")
    trees, text = host.run.state["trees"], host.file.read_text()

    def fails(*_: Any, **__: Any) -> None:
        raise FailedFault("no space left")

    monkeypatch.setattr(compose, "make_still", fails)
    with pytest.raises(FailedFault, match="no space left"):
        host.leg(PathReturn).come_back("shop did not answer", ends="reverted")
    assert (host.docker.running, host.docker.policy, host.docker.asked[-1]) == (True, ALWAYS, "start")
    assert (host.run.phase, host.run.state["leg"], host.run.state["trees"], host.file.read_text()) == (RETURNING, "carry", trees, text)


def test_an_undo_makes_no_container_anew_with_more_changed_than_was_looked_at_before_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(tmp_path, monkeypatch, "done")
    host.run.write(leg="undo", ends_back="undone")
    text = host.file.read_text()

    def changed(*_: Any) -> None:
        raise RefusedFault("shop was not made from its files as they are. Nothing was changed.")

    monkeypatch.setattr(compose, "stack_of", lambda _: host.stack)
    monkeypatch.setattr(compose, "assert_made_from", changed)
    with pytest.raises(FailedFault, match=rf"^shop was not made from its files as they are\. It was not taken back: shop was left on {host.place}"):
        host.leg(PathReturn).come_back("")
    assert (host.made, host.file.read_text(), host.docker.running, host.docker.policy) == ([], text, True, ALWAYS)
    # Of an attempt that was cut off the file is back already, and the container is still the one that was made from the other.
    path_stack.put_back(host.run)
    host.run.write(phase=RETURNING, leg="undo")
    monkeypatch.setattr(PathReturn, "_copy_back", lambda *_: None)
    host.leg(PathReturn)._make_old()
    assert host.made == ["still"]
