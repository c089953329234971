"""What becomes of the old places in the end: what somebody removed meanwhile, and what the old container's layer took with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import command, path_end, path_move, path_top, path_touched
from controlplane_target.cancel import Cancel
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.path_layer import Layer
from controlplane_target.path_move import PathMove
from controlplane_target.path_source import Source
from controlplane_target.persistent_path import PersistentPath
from controlplane_target.state import boot_id

from tests.unit.roles.test_target_path_overtaken import Leg
from tests.unit.roles.test_target_path_undone import moved, returns, undo
from tests.unit.roles.test_target_paths_together import finished

GONE = "somebody removed what was there. Nothing of it is on record to be purged"
UNLISTED = "every file by its sha256 (what lay where it was is not there any more): all were compared before it started on its new place"
STARTED = "while Compose made shop anew somebody started its old container: what was written into its own layer then went with it"
UNKNOWN = "whether somebody wrote into its layer while Compose made it anew (Docker's events do not reach back to that time)"


# What somebody removed.


@pytest.mark.parametrize("is_noted", [True, False], ids=["known by its top", "of an older program"])
def test_an_old_place_that_somebody_removed_is_on_no_record_and_the_receipt_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_noted: bool
) -> None:
    leg = Leg(tmp_path, monkeypatch, "switched")
    [path] = leg.run.state["paths"]
    leg.run.write(paths=[{**path, **(path_top.noted(Source(**path["source"])) if is_noted else {})}])
    shutil.rmtree(leg.old)
    leg.goes_on()
    assert (leg.run.phase, leg.run.home.retired(), leg.run.state["complaint"]) == ("done", [], "")
    docker: Any = leg.docker
    told = PersistentPath(leg.run.home, docker, Cancel()).prove(leg.run, leg.request)["told"]
    assert told["notes"] == [f"directory {leg.old}, where /data lay, was gone when shop had moved: {GONE}"]
    assert told["paths"][0]["proof"] == {"not_proven": [UNLISTED]}


def test_of_several_the_others_are_on_record_and_a_complaint_says_it_too(tmp_path: Path) -> None:
    leg, run = finished(tmp_path, broken=True)
    shutil.rmtree(tmp_path / "old-up")
    shutil.rmtree(tmp_path / "kept")
    with pytest.raises(FailedFault, match=rf"1 files of /data.*names what differs\. directory {tmp_path}/old-up, where .* {GONE}\. .*/kept, where"):
        leg.finish()
    assert [Path(record["path"]).name for record in run.home.retired()] == ["volume"]
    assert run.state["notes"] == [
        f"directory {tmp_path}/old-up, where /tmp/uploads lay, was gone when shop had moved: {GONE}",
        f"{tmp_path}/kept, where its layer was kept, was gone when shop had moved: {GONE}",
    ]


def test_where_nothing_is_gone_nothing_is_told(tmp_path: Path) -> None:
    leg, run = finished(tmp_path, broken=False)
    leg.finish()
    assert run.state["notes"] == []


def test_what_lies_where_its_disk_was_is_not_recorded_in_its_stead(tmp_path: Path) -> None:
    """The folder that a mount had covered would be purged."""
    leg, run = finished(tmp_path, broken=False)
    run.write(paths=[{**path, "from_mount": "/mnt/old"} if path["data"] == "/tmp/uploads" else path for path in run.state["paths"]])
    leg.finish()
    assert sorted(Path(record["path"]).name for record in run.home.retired()) == ["kept", "volume"]
    [note] = run.state["notes"]
    assert note.startswith(f"{tmp_path}/old-up, where /tmp/uploads lay before, is on ")
    assert note.endswith("mount again what was mounted there. Nothing of it is on record to be purged")
    assert run.state["proof"]["/tmp/uploads"] == {"not_proven": [UNLISTED]}


def test_an_undo_writes_over_nothing_that_somebody_put_there_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host, old = moved(tmp_path, monkeypatch, "bind")
    [path] = host.run.state["paths"]
    host.run.write(paths=[{**path, **path_top.noted(Source(**path["source"]))}])
    host.run.home.write_retired([])
    returns(monkeypatch)
    old.rename(tmp_path / "what it was")
    old.mkdir()
    (old / "page").write_text("somebody's")
    with pytest.raises(RefusedFault, match=rf"directory {old}, where /data lay, is another one by now.* Nothing was changed"):
        undo(host)
    shutil.rmtree(old)
    (tmp_path / "what it was").rename(old)
    assert undo(host)["changed"] is True


# What the old container's layer took with it.


def event(action: str, container: str = "old", kind: str = "container") -> str:
    return json.dumps({"Type": kind, "Action": action, "Actor": {"ID": container}})


@pytest.mark.parametrize(
    ("lines", "did"),
    [
        ([event("create", "new"), event("destroy"), event("start", "new")], []),
        ([event("start"), event("stop"), event("destroy")], ["started its old container"]),
        ([event("extract-to-dir"), event("start"), event("destroy")], ["started its old container", "copied into its old container"]),
        ([event("start", "other"), event("start", "old", "network"), event("destroy")], []),
        # Docker was started anew, or keeps no event of that time any more.
        ([event("start", "new")], None),
        ([event("destroy"), *[event("exec_create", "other")] * 255], None),
        (["{"], None),
        (["{}"], None),
        # What is seen is so, however much is not.
        ([event("start")], ["started its old container"]),
    ],
)
def test_dockers_events_tell_what_was_done_to_the_old_container(monkeypatch: pytest.MonkeyPatch, lines: list[str], did: list[str] | None) -> None:
    asked: list[Any] = []

    def run(argv: list[str], **_: Any) -> command.Said:
        asked.append(argv)
        return command.Said(0, "\n".join(lines), "")

    monkeypatch.setattr(command, "run", run)
    assert path_touched.since("old", 12.5) == did
    assert asked[0][:3] == ["docker", "events", "--since=12.500000000"]


def test_where_docker_does_not_say_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "run", lambda *_, **__: command.Said(1, event("destroy"), "no such thing"))
    assert path_touched.since("old", 12.5) is None

    def late(*_: Any, **__: Any) -> command.Said:
        raise FailedFault("docker events did not end within 30 s")

    monkeypatch.setattr(command, "run", late)
    assert path_touched.since("old", 12.5) is None


def layered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, did: list[str] | None) -> tuple[Leg, list[tuple[str, float]]]:
    """Return a leg of data in a layer, to which that was done while Compose made another container, and what Docker is asked."""
    leg = Leg(tmp_path, monkeypatch, "switched", kind="layer")
    kept = tmp_path / "kept"
    shutil.copytree(leg.old, kept / "data")
    asked: list[tuple[str, float]] = []

    def since(container: str, began: float) -> list[str] | None:
        asked.append((container, began))
        # By then the old container is gone.
        assert leg.made == ["anew"]
        return did

    monkeypatch.setattr(path_move, "is_known", lambda _: True)
    monkeypatch.setattr(Layer, "__init__", lambda *_: None)
    monkeypatch.setattr(Layer, "keep", lambda *_: str(kept))
    monkeypatch.setattr(path_touched, "since", since)
    return leg, asked


def test_what_was_written_into_a_layer_that_went_is_a_complaint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg, asked = layered(tmp_path, monkeypatch, ["started its old container"])
    with pytest.raises(FailedFault, match=f"^{STARTED}. shop runs on its new place"):
        leg.goes_on()
    # What is kept of it may hold a part of that, and nothing else does.
    assert (leg.run.phase, leg.run.home.retired()) == ("done", [])
    assert asked == [("old", leg.run.state["kept_since"]["at"])]


@pytest.mark.parametrize(("did", "doubts"), [([], []), (None, [UNKNOWN])])
def test_where_nobody_touched_it_that_is_so_and_where_nobody_knows_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, did: list[str] | None, doubts: list[str]
) -> None:
    leg, _ = layered(tmp_path, monkeypatch, did)
    leg.goes_on()
    assert (leg.run.phase, leg.run.state["complaint"]) == ("done", "")
    assert [one for one in leg.run.state["proof"]["/data"].get("not_proven", []) if one == path_end._UNKNOWN] == doubts
    assert [Path(record["path"]).name for record in leg.run.home.retired()] == ["kept"]


def test_across_a_reboot_nobody_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg, _ = layered(tmp_path, monkeypatch, [])
    leg.run.write(phase="starting", kept_since={"at": 1.0, "boot_id": "an earlier one"})
    leg.docker.held.clear()
    leg.docker.add("made", leg.place)
    leg.goes_on()
    assert (leg.run.state["touched"], leg.run.state["proof"]["/data"]["not_proven"][-1:]) == ({"did": None}, [UNKNOWN])


@pytest.mark.parametrize("did", [["started its old container"], []])
def test_what_was_seen_before_a_reboot_is_not_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, did: list[str]) -> None:
    """What is kept of the layer would be on record to be purged."""
    leg, _ = layered(tmp_path, monkeypatch, None)
    leg.run.write(phase="starting", kept_since={"at": 1.0, "boot_id": "an earlier one"}, touched={"did": did})
    leg.docker.held.clear()
    leg.docker.add("made", leg.place)
    if did:
        with pytest.raises(FailedFault, match=f"^{STARTED}"):
            leg.goes_on()
    else:
        leg.goes_on()
    assert (leg.run.phase, leg.run.state["touched"]) == ("done", {"did": did})


def test_doubts_are_told_once_also_after_a_kill(tmp_path: Path) -> None:
    leg, run = finished(tmp_path, broken=False)
    # One that the service itself proves is listed by nobody.
    run.write(trees=[tree for tree in run.state["trees"] if tree["path"] != "/srv/layer"])
    for _ in range(2):
        run.write(phase="answered", touched={"did": None})
        leg.finish()
    assert run.state["proof"]["/srv/layer"]["not_proven"].count(UNKNOWN) == 1
    assert "not_proven" not in run.state["proof"]["/tmp/uploads"]


@pytest.mark.parametrize("kind", ["bind", "layer"])
def test_only_of_data_that_lay_in_a_layer_docker_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    leg = Leg(tmp_path, monkeypatch, "starting", kind=kind)
    monkeypatch.setattr(path_touched, "since", lambda *_: [])
    leg.run.write(kept_since={"at": 1.0, "boot_id": boot_id()})
    leg.leg(PathMove)._note_touched()
    assert leg.run.state.get("touched") == ({"did": []} if kind == "layer" else None)
