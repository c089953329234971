"""The undo of a move of paths: refused once what the run retired is gone, and told with its proof where it came to its end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import begun, leg_verbs, path_undo, purge, redis_rest, retired
from controlplane_target.cancel import Cancel
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.path_return import PathReturn
from controlplane_target.persistent_path import PersistentPath
from controlplane_target.state import Run

from tests.unit.roles.test_target_path_edited import Host

VOLUME = "volumes/shop/_data"


def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, **more: Any) -> tuple[Host, Path]:
    """Return a host whose service was moved from that kind of place, and what is kept of it, which is on record as retired."""
    host = Host(tmp_path, monkeypatch, "done", **more)
    old = tmp_path / ("old" if kind == "bind" else VOLUME)
    old.mkdir(parents=True, exist_ok=True)
    (old / "page").write_text("as it was")
    source = {"kind": kind, "path": "/data" if kind == "layer" else str(old), "base": str(old), "volume": "shop" if kind == "volume" else ""}
    [path] = host.run.state["paths"]
    host.run.write(paths=[{**path, "source": source}], governed=[], kept=str(old) if kind == "layer" else None)
    retired.retire(host.run.home, "R1", [{"from": str(old), "to": str(host.place)}], now=1.0)
    monkeypatch.setattr(path_undo, "_of_the_room", lambda *_: [])
    monkeypatch.setattr(path_undo, "is_in_place", lambda _: True)
    monkeypatch.setattr(redis_rest, "at_risk", lambda _: [])
    monkeypatch.setattr("controlplane_target.open_files.users_of", lambda _tree: [])
    monkeypatch.setattr(leg_verbs, "assert_leased", lambda *_: None)
    return host, old


def removed(host: Host, old: Path, *, stays: bool = False) -> None:
    """Let an approved purge remove what was retired."""
    [record] = host.run.home.retired()
    item = {key: record[key] for key in ("path", "run", "recorded")}
    purge.purge(host.run.home, host.run.home.run("P1"), [item], purge.Terms([], 0, time.time()))
    assert list(old.iterdir()) == [] if stays else not old.exists()


def undo(host: Host, of: Run | None = None) -> dict[str, Any]:
    verbs: Any = PersistentPath(host.run.home, host.docker, Cancel())
    return path_undo.undo(verbs, host.run if of is None else host.run.home.run("U1"), of or host.run)


def returns(monkeypatch: pytest.MonkeyPatch, *, fails: str = "", **journal: Any) -> None:
    """Let the way back come to its end with this in its journal."""

    def come_back(leg: PathReturn, _reason: str) -> None:
        paths = [{**path, "landed": "/old/place"} for path in leg.paths]
        leg.run.write(phase="undone", paths=paths, **journal)
        leg.origin.write(phase="undone")
        if fails:
            raise FailedFault(fails)

    monkeypatch.setattr(PathReturn, "come_back", come_back)


@pytest.mark.parametrize("kind", ["bind", "volume", "anonymous", "layer"])
def test_after_a_purge_of_what_it_retired_a_run_does_not_go_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    host, old = moved(tmp_path, monkeypatch, kind)
    removed(host, old)
    returns(monkeypatch)
    with pytest.raises(RefusedFault) as refused:
        undo(host)
    assert str(refused.value) == (
        f"undo of R1 refused: {old}, which R1 had retired of /data, was purged or removed, so there is nothing to go back to: restore it from a "
        "backup, or move the data by a new policy and plan. Nothing was changed."
    )
    assert (host.run.phase, host.docker.asked) == ("done", [])


@pytest.mark.parametrize("kind", ["bind", "volume", "anonymous", "layer"])
def test_neither_does_it_once_a_purge_began_to_remove_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    host, old = moved(tmp_path, monkeypatch, kind)
    old.rename(begun.aside_of(str(old)))
    returns(monkeypatch)
    with pytest.raises(RefusedFault, match=r"was purged or removed, so there is nothing to go back to.*Nothing was changed\."):
        undo(host)


@pytest.mark.parametrize("kind", ["bind", "volume", "anonymous", "layer"])
def test_neither_where_a_purge_emptied_it_and_left_its_folder_for_a_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    host, old = moved(tmp_path, monkeypatch, kind)
    monkeypatch.setattr(purge, "_stays", lambda *_: True)
    removed(host, old, stays=True)
    returns(monkeypatch)
    with pytest.raises(RefusedFault, match=f"{old}, which R1 had retired of /data, was purged or removed, so there is nothing to go back to"):
        undo(host)
    # As that says: restored from a backup.
    (old / "page").write_text("as it was")
    assert undo(host)["changed"] is True


@pytest.mark.parametrize("kind", ["bind", "volume", "anonymous", "layer"])
def test_neither_once_a_purge_began_to_empty_it_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    host, _ = moved(tmp_path, monkeypatch, kind)
    [record] = host.run.home.retired()
    begun.note(host.run.home.run("P1"), [{**record, "in_place": True}])
    returns(monkeypatch)
    with pytest.raises(RefusedFault, match="was purged or removed"):
        undo(host)


@pytest.mark.parametrize(("kind", "goes"), [("bind", False), ("volume", False), ("anonymous", True), ("layer", True)])
def test_what_somebody_cleared_away_is_missed_where_the_data_would_go_back_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, goes: bool
) -> None:
    host, old = moved(tmp_path, monkeypatch, kind)
    (old / "page").unlink()
    old.rmdir()
    returns(monkeypatch)
    if not goes:
        with pytest.raises(RefusedFault, match="was purged or removed"):
            undo(host)
        return
    # Of these the way back makes a fresh one, whatever became of the old one.
    assert undo(host)["changed"] is True


def test_a_volume_that_moved_on_with_dockers_root_is_gone_back_to_where_it_lies_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host, old = moved(tmp_path, monkeypatch, "volume")
    now = tmp_path / "root" / VOLUME
    now.parent.mkdir(parents=True)
    old.rename(now)
    answers, volume = host.docker.call, {"Mountpoint": str(now)}
    monkeypatch.setattr(host.docker, "call", lambda how, target, **more: (200, volume) if "/volumes/" in target else answers(how, target, **more))
    returns(monkeypatch)
    # What would be copied over is what counts, and not what the former root still has.
    (now / "page").write_text("somebody's by now")
    with pytest.raises(RefusedFault, match=f"{now} changed since it was retired, and going back would overwrite that"):
        undo(host)
    (now / "page").unlink()
    volume["Mountpoint"] = str(tmp_path / "nowhere")
    with pytest.raises(RefusedFault, match="was purged or removed"):
        undo(host)


def test_such_a_volume_as_it_was_is_no_reason_to_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host, old = moved(tmp_path, monkeypatch, "volume")
    now = tmp_path / "root" / VOLUME
    now.parent.mkdir(parents=True)
    old.rename(now)
    answers = host.docker.call
    told = (200, {"Mountpoint": str(now)})
    monkeypatch.setattr(host.docker, "call", lambda how, target, **more: told if "/volumes/" in target else answers(how, target, **more))
    returns(monkeypatch)
    assert undo(host)["changed"] is True


def test_a_part_that_was_purged_keeps_all_of_it_from_going_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host, old = moved(tmp_path, monkeypatch, "volume")
    [path] = host.run.state["paths"]
    other = {**path, "data": "/up", "source": {**path["source"], "path": str(tmp_path / "old")}}
    request = {**host.run.state["request"], "paths": [*host.run.state["request"]["paths"], {"data": "/up", "place": str(host.place)}]}
    host.run.write(paths=[path, other], request=request)
    monkeypatch.setattr(host.docker, "get", _with(host.docker.get, "/up"))
    removed(host, old)
    returns(monkeypatch)
    with pytest.raises(RefusedFault, match=f"undo of R1 refused: {old}, which R1 had retired of /data, was purged or removed"):
        undo(host)


def _with(get: Any, destination: str) -> Any:
    def shown(target: str, **more: Any) -> Any:
        held = get(target, **more)
        [mount] = held["Mounts"]
        return {**held, "Mounts": [mount, {**mount, "Destination": destination}]}

    return shown


def test_what_is_there_goes_back_and_its_proof_is_told_without_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host, _ = moved(tmp_path, monkeypatch, "volume")
    returns(monkeypatch, proof={"/data": {"tables": 2, "lost": [], "not_proven": ["all of it: what it was before the stop is not known"]}})
    told = undo(host, of=host.run)["told"]
    [path] = told["paths"]
    assert told["container"] == "shop"
    assert (path["data"], path["from"], path["to"]) == ("/data", str(host.place), "/old/place")
    assert path["proof"] == {"tables": 2, "lost": 0, "not_proven": ["all of it: what it was before the stop is not known"]}


def test_a_way_back_that_ended_with_a_complaint_tells_it_to_who_asks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host, _ = moved(tmp_path, monkeypatch, "volume")
    wrong = "1 of what shop keeps are not as they were before"
    returns(monkeypatch, fails=wrong, proof={"/data": {"tables": 2, "lost": ["public.pages"]}}, complaint=wrong)
    with pytest.raises(FailedFault, match=wrong):
        undo(host, of=host.run)
    again = undo(host, of=host.run)
    assert (again["changed"], again["told"]["complaint"], again["told"]["paths"][0]["proof"]) == (False, wrong, {"tables": 2, "lost": 1})


def test_a_run_that_never_went_back_tells_no_proof_of_its_way_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host, _ = moved(tmp_path, monkeypatch, "volume", proof={"/data": {"tables": 2}})
    host.run.write(phase="reverted")
    assert "told" not in undo(host)
