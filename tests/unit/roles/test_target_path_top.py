"""An old place that somebody made anew by its name: it is not gone back to, nor copied from, as long as there is a copy of what it held."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import path_move, path_precopy, path_top
from controlplane_target.cancel import Cancel
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.mounts import mount_of, read
from controlplane_target.path_leg import RESTARTING
from controlplane_target.path_move import PathMove
from controlplane_target.path_precopy import Look
from controlplane_target.path_proof import Proof
from controlplane_target.path_refuse import Refuse, since_begun, sources_of
from controlplane_target.path_request import parse
from controlplane_target.path_return import PathReturn
from controlplane_target.path_source import Source
from controlplane_target.persistent_path import PersistentPath

from tests.unit.roles.test_target_path_overtaken import Docker, Leg

STOPPED = ["stopping", "stopped", "copied", "reverting"]
WAY_ON = "Bring back from it what is needed, or leave what is there now as it is, .*; then move the copy away and run this again"


class Volumes(Docker):
    """An engine whose container lies in the volume shop_db, but for one that is made on the new place."""

    def __init__(self, old: Path) -> None:
        self.old = old
        super().__init__(old)

    def add(self, identity: str, source: Path | None, **more: Any) -> None:
        super().add(identity, source, **more)
        if source == self.old:
            self.held[identity]["Mounts"] = [{"Type": "volume", "Name": "shop_db", "Source": str(self.old), "Destination": "/data", "RW": True}]

    def containers(self) -> list[dict[str, Any]]:
        return list(self.held.values())

    def get(self, target: str, **more: Any) -> Any:
        return {"Driver": "local", "Mountpoint": str(self.old)} if target.startswith("/volumes/") else super().get(target, **more)


def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str, *, kind: str = "volume") -> Leg:
    """Return a leg that was cut off in that phase, whose journal has by what its old place is known."""
    leg = Leg(tmp_path, monkeypatch, phase)
    source = Source(kind, str(leg.old), str(leg.old), "shop_db" if kind == "volume" else "")
    if kind == "volume":
        leg.docker = Volumes(leg.old)
    [path] = leg.run.state["paths"]
    leg.run.write(paths=[{**path, "source": source._asdict(), **path_top.noted(source)}], container_id="old")
    return leg


def taken_down(leg: Leg, *, with_container: bool = True) -> None:
    """Let somebody type `docker compose down -v`."""
    leg.old.rename(leg.old.with_name("what it was"))
    if with_container:
        leg.docker.held.clear()


def brought_up(leg: Leg) -> None:
    """Let somebody type `docker compose up -d`, before which Docker makes an empty place of the same name."""
    leg.old.mkdir()
    leg.docker.add("theirs", leg.old)


def told(leg: Leg, kind: str = "volume") -> str:
    return {"volume": "volume shop_db", "bind": f"directory {leg.old}"}[kind]


# By what it is known.


@pytest.mark.parametrize("generation", [None, 0, 7])
def test_a_top_is_known_by_its_number_and_generation_and_only_without_that_within_a_boot_by_its_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generation: int | None
) -> None:
    monkeypatch.setattr(path_top, "identity", lambda path: {"inode": os.lstat(path).st_ino, "generation": generation})
    source = Source("volume", str(tmp_path), str(tmp_path), "v")
    noted = path_top.noted(source)["top"]
    assert set(noted) == {"device", "inode", "generation", "boot_id"}

    def is_replaced(**was: Any) -> bool:
        return bool(path_top.replaced([{"data": "/data", "source": source._asdict(), "top": {**noted, **was}}]))

    # One that was plugged out and in again has another number of its disk.
    assert [is_replaced(), is_replaced(inode=-1), is_replaced(generation=-1), is_replaced(device=-1)] == [False, True, True, not generation]
    # Disks are numbered anew at each boot.
    assert not is_replaced(device=-1, boot_id="an earlier one")
    assert is_replaced(generation=-1, boot_id="an earlier one")


def test_what_has_no_note_is_taken_as_it_is(tmp_path: Path) -> None:
    gone = {"kind": "bind", "path": str(tmp_path / "gone"), "base": "/", "volume": ""}
    assert path_top.replaced([{"data": "/data", "source": gone}, {"data": "/data", "source": gone, "top": {"container": "c1"}}]) == []
    assert [path_top.noted(Source(kind, "/data", "", "")) for kind in ("layer", "absent")] == [{}, {}]


def test_off_its_mount_an_old_place_is_not_called_another_one(tmp_path: Path) -> None:
    path = {"data": "/data", "source": {"kind": "bind", "path": str(tmp_path), "base": "/", "volume": ""}, "top": {"inode": -1, "generation": 0}}
    assert path_top.replaced([path]) == [path]
    assert path_top.replaced([{**path, "from_mount": "/mnt/elsewhere"}]) == []


def test_the_journal_has_it_as_the_copy_begins_and_nothing_of_an_attempt_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = interrupted(tmp_path, monkeypatch, "reverted")
    [path] = leg.run.state["paths"]
    leg.run.write(paths=[{**path, "top": None}], notes=["gone"], touched={"did": None}, kept_since={"at": 1.0}, copy_boot_id="")
    verbs, held = PersistentPath(leg.run.home, leg.docker, Cancel()), leg.docker.held["old"]
    monkeypatch.setattr(path_precopy.leg_verbs, "copied_live", lambda _: [])
    path_precopy.precopy(verbs, leg.run, leg.request, Look(held, sources_of(leg.docker, held, leg.request), leg.request))
    [path] = leg.run.state["paths"]
    assert (leg.run.phase, path["top"]["inode"]) == ("precopied", leg.old.stat().st_ino)
    assert [leg.run.state[key] for key in ("notes", "touched", "kept_since")] == [[], None, None]


# Going back.


@pytest.mark.parametrize("kind", ["volume", "bind"])
@pytest.mark.parametrize("phase", [*STOPPED, "compared", "switched"])
def test_a_stack_that_was_taken_down_with_its_volumes_and_brought_up_is_no_old_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str, kind: str
) -> None:
    leg = interrupted(tmp_path, monkeypatch, phase, kind=kind)
    taken_down(leg)
    brought_up(leg)
    said = f"It does not have what lay in {told(leg, kind)}, which is another one by now: a copy from before is in {leg.place}. {WAY_ON}"
    for _ in range(2):
        with pytest.raises(FailedFault, match=said):
            leg.recover()
        assert (leg.run.phase, leg.made, list(leg.docker.held), (leg.place / "file").read_text()) == ("reverting", [], ["theirs"], "as it was")
    # Who restored it there says so by moving the copy away.
    leg.place.rename(tmp_path / "saved")
    assert (leg.recover(), leg.run.phase) == ("source", "reverted")


@pytest.mark.parametrize("phase", STOPPED)
def test_one_without_a_note_is_gone_back_to_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    leg = interrupted(tmp_path, monkeypatch, phase)
    [path] = leg.run.state["paths"]
    leg.run.write(paths=[{key: value for key, value in path.items() if key != "top"}])
    taken_down(leg)
    brought_up(leg)
    assert (leg.recover(), leg.run.phase) == ("source", "reverted")


@pytest.mark.parametrize("phase", STOPPED)
def test_one_that_was_taken_down_and_brought_up_with_its_volumes_left_is_gone_back_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    leg = interrupted(tmp_path, monkeypatch, phase)
    leg.docker.held.clear()
    leg.docker.add("theirs", leg.old)
    assert (leg.recover(), leg.run.phase) == ("source", "reverted")


@pytest.mark.parametrize("phase", STOPPED)
@pytest.mark.parametrize("is_there", [True, False])
def test_the_old_container_is_not_started_on_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str, *, is_there: bool
) -> None:
    """Docker would make one that is missing."""
    leg = interrupted(tmp_path, monkeypatch, phase, kind="bind")
    taken_down(leg, with_container=False)
    now = "another one by now, made anew since it was copied" if is_there else "gone"
    if is_there:
        leg.old.mkdir()
    for _ in range(2):
        with pytest.raises(
            FailedFault, match=f"Going back, shop was not started: directory {leg.old}, where /data lay, is {now}. A copy of .* in {leg.place},"
        ):
            leg.recover()
        assert (leg.docker.asked, leg.run.phase, (leg.place / "file").exists()) == ([], "reverting", True)
    leg.place.rename(tmp_path / "saved")
    if not is_there:
        with pytest.raises(FailedFault, match=f"where /data lay, is {now}"):
            leg.recover()
    leg.old.mkdir(exist_ok=True)
    assert (leg.recover(), leg.run.phase, leg.docker.asked) == ("source", "reverted", ["start", "update"])


def test_one_that_somebody_started_on_another_directory_is_left_running_and_the_leg_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = interrupted(tmp_path, monkeypatch, "stopped", kind="bind")
    taken_down(leg)
    leg.old.mkdir()
    leg.docker.add("old", leg.old, started_at="2026-01-02T08:00:00Z")
    with pytest.raises(FailedFault, match=f"shop runs where it lay before, and was left as it is: .* is another one by now.* {leg.place}"):
        leg.recover()
    assert (leg.run.phase, leg.docker.held["old"]["State"]["Running"], (leg.place / "file").exists()) == ("reverting", True, True)


@pytest.mark.parametrize("phase", ["stopped", "reverting"])
def test_no_container_is_made_anew_on_an_empty_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    leg = interrupted(tmp_path, monkeypatch, phase)
    taken_down(leg)
    leg.old.mkdir()
    with pytest.raises(
        FailedFault, match=f"somebody removed shop, of which nothing was made anew: volume shop_db, .* another one by now.*{leg.place}"
    ):
        leg.recover()
    assert (leg.made, leg.run.phase) == ([], "reverting")


# Going on.


@pytest.mark.parametrize("phase", ["compared", "switched"])
def test_the_proven_copy_is_gone_on_with_where_no_container_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    leg = interrupted(tmp_path, monkeypatch, phase)
    taken_down(leg)
    leg.old.mkdir()
    assert (leg.recover(), leg.made, leg.run.phase, leg.run.home.retired()) == ("destination", ["anew"], "done", [])
    # All that was there is in the copy: that is no complaint.
    assert leg.run.state["complaint"] == ""
    assert leg.run.state["notes"] == [
        "volume shop_db, where /data lay, was gone when shop had moved: somebody removed what was there. Nothing of it is on record to be purged"
    ]


def test_what_somebody_put_in_its_stead_is_told_and_is_never_ours_to_be_purged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = interrupted(tmp_path, monkeypatch, "switched", kind="bind")
    theirs = tmp_path / "restored"
    theirs.mkdir()
    (theirs / "page").write_text("somebody's")
    for place in (theirs / "page", theirs):
        # From before the comparison, as a backup has it.
        os.utime(place, (1, 1))
    taken_down(leg, with_container=False)
    theirs.rename(leg.old)
    with pytest.raises(FailedFault, match=f"directory {leg.old}, where /data lay, is another one by now.* {leg.place} has nothing of it"):
        leg.goes_on()
    assert (leg.run.phase, leg.run.home.retired(), (leg.old / "page").read_text()) == ("done", [], "somebody's")
    assert leg.run.state["proof"]["/data"]["not_proven"] == [
        "every file by its sha256 (what lay where it was is not there any more): all were compared before it started on its new place"
    ]


@pytest.mark.parametrize("when", ["before the stop", "before the last copy", "while it is compared"])
def test_nothing_is_copied_from_another_place_nor_called_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    leg = interrupted(tmp_path, monkeypatch, "staging" if when == "before the stop" else "stopping", kind="bind")
    mover, done = leg.leg(PathMove), list[str]()
    monkeypatch.setattr(mover, "_held", nullcontext)
    monkeypatch.setattr(mover, "_stop", lambda _: False)
    for name in ("stage", "assert_unused", "copy_last"):
        monkeypatch.setattr(mover.trees, name, lambda name=name: done.append(name))

    def replaced() -> list[Any]:
        taken_down(leg, with_container=False)
        leg.old.mkdir()
        return []

    monkeypatch.setattr(mover.trees, "prove", replaced)
    if when != "while it is compared":
        replaced()
    with pytest.raises(FailedFault, match=f"^directory {leg.old}, where /data lay, is another one by now"):
        (mover.stage if when == "before the stop" else mover._stop_and_copy)()
    assert ("stage" in done, "copy_last" in done) == (False, when == "while it is compared")
    assert leg.run.phase == {"before the stop": "staging", "before the last copy": "stopped"}.get(when, "copied")


def test_a_place_that_was_replaced_since_the_copy_began_is_not_stopped_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = interrupted(tmp_path, monkeypatch, "staging", kind="bind")
    held = leg.docker.held["old"]
    assert since_begun(leg.docker, held, leg.run) == []
    taken_down(leg, with_container=False)
    leg.old.mkdir()
    assert since_begun(leg.docker, held, leg.run) == [f"/data came to lie in another directory {leg.old} of the same name"]
    monkeypatch.setattr(path_move.path_stack, "assert_known", lambda *_: None)
    with pytest.raises(
        RefusedFault, match=rf"another directory .* Nothing was changed\. .* A copy of what it held is in {leg.place}, .*{WAY_ON}"
    ) as told:
        leg.leg(PathMove).execute()
    assert (leg.docker.asked, leg.run.phase) == ([], "staging")
    # That would be refused: the copy lies there.
    assert "it copies from where they lie now" not in str(told.value)
    assert path_top.of_copies(leg.run.home, Source(**leg.run.state["paths"][0]["source"]), "/data", str(leg.place)) != []


def test_one_that_only_lies_elsewhere_by_now_is_copied_from_there_by_the_next_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = interrupted(tmp_path, monkeypatch, "staging", kind="bind")
    other = tmp_path / "elsewhere"
    other.mkdir()
    leg.docker.add("old", other)
    monkeypatch.setattr(path_move.path_stack, "assert_known", lambda *_: None)
    with pytest.raises(
        RefusedFault, match=r"/data came to lie in directory .*/elsewhere since .* Run this again: it copies from where they lie now\.$"
    ):
        leg.leg(PathMove).execute()


# A later attempt.


@pytest.mark.parametrize("phase", ["precopying", "precopied", "staging", "reverted"])
@pytest.mark.parametrize("by", ["R1", "R2"])
def test_a_later_attempt_does_not_write_over_the_copy_of_what_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str, by: str) -> None:
    leg = interrupted(tmp_path, monkeypatch, phase)
    taken_down(leg)
    brought_up(leg)
    home = leg.run.home
    look = Refuse(home, leg.docker, home.run(by), Proof(leg.docker, leg.request))
    said = (
        f"volume shop_db, where /data lies, is another one by now than what R1 copied to {leg.place}, and that copy would be written over. {WAY_ON}"
    )
    with pytest.raises(RefusedFault, match=f"{said}.*Nothing was changed"):
        look.answer()
    monkeypatch.setattr("controlplane_target.persistent_path.precopy", lambda *_: pytest.fail("copied"))
    with pytest.raises(RefusedFault, match=said):
        PersistentPath(home, leg.docker, Cancel()).precopy(home.run(by), leg.request)
    leg.place.rename(tmp_path / "saved")
    with pytest.raises(RefusedFault) as refused:
        look.answer()
    assert "another one by now" not in str(refused.value)


def test_what_a_container_does_not_have_any_more_is_not_taken_for_one_that_it_never_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its place would be the copy of what somebody removed."""
    leg = interrupted(tmp_path, monkeypatch, "reverted", kind="bind")
    [path], deep = leg.run.state["paths"], leg.old / "up"
    deep.mkdir()
    source = Source("bind", str(deep), str(leg.old), "")
    leg.run.write(paths=[{**path, "data": "/data/up", "source": source._asdict(), **path_top.noted(source)}])
    deep.rmdir()
    asked = parse({"container": "shop", "paths": [{"kind": "surface", "data": "/data/up", "place": str(leg.place), "owner": "1:1", "mode": "0750"}]})
    home: Any = leg.run.home
    with pytest.raises(RefusedFault, match=f"where /data/up lies, is another one by now than what R1 copied to {leg.place}"):
        Refuse(home, leg.docker, home.run("R2"), Proof(leg.docker, asked)).answer()


@pytest.mark.parametrize(
    ("later", "phase", "refused"), [("R2", "undone", ""), ("R0", "undone", ""), ("R2", "reverted", "R2"), ("R0", "reverted", "R0")]
)
def test_only_the_last_run_that_copied_there_says_what_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: str, phase: str, refused: str
) -> None:
    leg = interrupted(tmp_path, monkeypatch, "reverted")
    [path] = leg.run.state["paths"]
    source = Source(**path["source"])
    taken_down(leg)
    brought_up(leg)
    assert "what R1 copied" in path_top.of_copies(leg.run.home, source, "/data", str(leg.place))[0]
    time.sleep(0.02)
    leg.run.home.run(later).write(phase=phase, paths=[path])
    found = path_top.of_copies(leg.run.home, source, "/data", str(leg.place))
    assert [f"what {refused} copied" in one for one in found] == ([True] if refused else [])


def test_a_plain_file_in_the_place_of_a_copy_is_refused_and_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = interrupted(tmp_path, monkeypatch, "reverted")
    leg.place.rename(tmp_path / "saved")
    leg.place.write_text("a file")
    (leg.old / "lost+found").mkdir()
    with pytest.raises(RefusedFault, match=f"{leg.place} exists and is no directory"):
        Refuse(leg.run.home, leg.docker, leg.run.home.run("R2"), Proof(leg.docker, leg.request)).answer()


def test_the_same_place_is_copied_from_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = interrupted(tmp_path, monkeypatch, "reverted")
    source = Source(**leg.run.state["paths"][0]["source"])
    assert path_top.of_copies(leg.run.home, source, "/data", str(leg.place)) == []
    # Another place, and a copy of another one, have nothing to do with it.
    [path] = leg.run.state["paths"]
    strange = {**path, "top": {**path["top"], "inode": -1}}
    (tmp_path / "other").mkdir()
    for more in ({"to": str(tmp_path / "other")}, {"source": {**path["source"], "path": str(tmp_path / "other")}}):
        leg.run.write(paths=[{**strange, **more}])
        assert path_top.of_copies(leg.run.home, source, "/data", str(leg.place)) == []
    leg.run.write(paths=[path])
    # What was carried back lies in a volume that Compose made anew, and that is the source from then on.
    taken_down(leg)
    leg.old.mkdir()
    leg.run.write(paths=path_top.brought(leg.run.state["paths"], [(leg.run.state["paths"][0], source)], "made"))
    assert path_top.of_copies(leg.run.home, source, "/data", str(leg.place)) == []


# The way back.


def brought_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, kind: str = "volume") -> Leg:
    """Return an undo that was cut off once the data were back on their old place, before it was over."""
    leg = interrupted(tmp_path, monkeypatch, RESTARTING)
    leg.docker.held.clear()
    leg.docker.add("made", leg.old, started_at="0001-01-01T00:00:00Z")
    source = Source(**leg.run.state["paths"][0]["source"])._replace(kind=kind)
    [path] = path_top.brought(leg.run.state["paths"], [(leg.run.state["paths"][0], source)], "made")
    leg.run.write(
        paths=[{**path, "landed": str(leg.old)}], ends_back="undone", leg="undo", stop=None, phase_at={RESTARTING: 4e9, "starting": 4e9}, complaint=""
    )
    return leg


@pytest.mark.parametrize("kind", ["volume", "layer"])
def test_what_somebody_made_since_is_not_what_data_were_brought_back_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Closed, the new place would be on record to be purged, and it alone has them."""
    leg = brought_back(tmp_path, monkeypatch, kind=kind)
    taken_down(leg)
    brought_up(leg)
    for _ in range(2):
        with pytest.raises(
            FailedFault, match=f"shop does not have what /data was brought back to: .*Nothing was started. .* are in {leg.place}. {WAY_ON}"
        ):
            leg.leg(PathReturn).come_back("")
        assert (leg.run.phase, leg.docker.asked, leg.run.home.retired()) == (RESTARTING, [], [])
    leg.place.rename(tmp_path / "saved")
    leg.leg(PathReturn).come_back("")
    assert leg.run.phase == "undone"


def test_they_are_not_started_where_their_disk_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker would make an empty folder of it, and the new place be on record to be purged."""
    leg = brought_back(tmp_path, monkeypatch)
    [path] = leg.run.state["paths"]
    leg.run.write(paths=[{key: value for key, value in path.items() if key != "top"} | {"from_mount": "/mnt/old"}])
    with pytest.raises(FailedFault, match=f"^shop was not started on its old place: {leg.old}, where .*, not on /mnt/old: mount again"):
        leg.leg(PathReturn).come_back("")
    assert (leg.run.phase, leg.docker.asked) == (RESTARTING, [])


def test_data_that_were_brought_back_are_started_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = brought_back(tmp_path, monkeypatch)
    leg.leg(PathReturn).come_back("")
    assert (leg.run.phase, leg.docker.asked, [held["path"] for held in leg.run.home.retired()]) == ("undone", ["start"], [str(leg.place)])


def test_the_journal_has_what_they_were_brought_back_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = interrupted(tmp_path, monkeypatch, "returning", kind="bind")
    taken_down(leg)
    leg.old.mkdir()
    leg.docker.add("made", leg.old)
    back: Any = leg.leg(PathReturn)
    monkeypatch.setattr(back, "_copy_all", lambda *_: None)
    monkeypatch.setattr(back, "_assert_places", lambda: None)
    back._copy_back(back._landed())
    [path] = leg.run.state["paths"]
    assert (path["top"]["inode"], path["landed"]) == (leg.old.stat().st_ino, str(leg.old))


def test_the_copy_is_cleared_only_where_its_disk_is_there(tmp_path: Path) -> None:
    mount = mount_of(str(tmp_path.resolve()), read()).mount
    assert path_top.is_cleared({"to": str(tmp_path / "gone"), "to_mount": mount})
    assert not path_top.is_cleared({"to": str(tmp_path / "gone"), "to_mount": "/mnt/elsewhere"})


def test_a_file_or_a_link_in_the_stead_of_a_copy_is_something_and_no_traceback(tmp_path: Path) -> None:
    mount, place, below = mount_of(str(tmp_path.resolve()), read()).mount, tmp_path / "copy", tmp_path / "copy/deep"
    place.write_text("somebody's")
    assert not path_top.is_cleared({"to": str(place), "to_mount": mount})
    assert path_top.is_cleared({"to": str(below), "to_mount": mount})
    place.unlink()
    place.symlink_to("nowhere")
    assert not path_top.is_cleared({"to": str(place), "to_mount": mount})
