"""Several paths of one container in one leg: how its files change, what is refused of all of them at once, and what is on record at its end."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import compose, path_edit, path_place, path_refusals, path_stack, text_change
from controlplane_target.cancel import Cancel
from controlplane_target.compose import Stack
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.path_edit import Edit
from controlplane_target.path_move import PathMove
from controlplane_target.path_proof import Proof
from controlplane_target.path_refuse import Refuse, by_hand
from controlplane_target.path_request import Request, as_json, parse
from controlplane_target.path_return import PathReturn
from controlplane_target.state import Home, Run

from tests.unit.roles import compose_stand_in
from tests.unit.roles.docker_by_hand import carry_out, read

TEXT = "services:\n  db:\n    image: x\n    volumes:\n      - data:/data   # what it keeps\nvolumes: {data: {}}\n"
MORE = "services:\n  db:\n    volumes: [/tmp/uploads]\n"


def request(*paths: dict[str, Any], override: bool = False) -> Request:
    return parse({"container": "shop", "paths": list(paths), "override": override})


def data(place: str = "/mnt/data/db", **more: Any) -> dict[str, Any]:
    return {"kind": "minio", "data": "/data", "place": place, **more}


def uploads(place: str = "/mnt/data/uploads", path: str = "/tmp/uploads", **more: Any) -> dict[str, Any]:
    return {"kind": "surface", "data": path, "place": place, **more}


class _Docker:
    """An engine with one container and these volumes."""

    path = "/run/docker.sock"

    def __init__(self, inspection: dict[str, Any], volumes: dict[str, dict[str, Any]] | None = None) -> None:
        self.inspection, self.volumes = inspection, volumes or {}

    def call(self, _method: str, target: str, **_: Any) -> tuple[int, Any]:
        if target.startswith("/volumes/"):
            found = self.volumes.get(target.rpartition("/")[2])
            return (404, {}) if found is None else (200, found)
        return 200, self.inspection

    def get(self, target: str, **_: Any) -> Any:
        return self.volumes[target.rpartition("/")[2]]

    def containers(self) -> list[dict[str, Any]]:
        return [self.inspection]


def stack(tmp_path: Path, *texts: str) -> Stack:
    files = [tmp_path / name for name in ("compose.yml", "more.yml")[: len(texts)]]
    for path, text in zip(files, texts, strict=True):
        path.write_text(text)
    return Stack("shop", str(tmp_path), "db", tuple(map(str, files)), (), "h1")


def test_all_entries_of_one_file_change_in_one_text_and_its_name_is_pinned_once(tmp_path: Path) -> None:
    made = path_edit.edit(stack(tmp_path, TEXT), request(data(), uploads()))
    [(before, after)] = made.texts.values()
    long = "- type: bind\n        source: {0}\n        target: {1}\n        bind: {{create_host_path: false}}"
    assert before == TEXT
    assert after == (
        TEXT.replace("services:", "name: shop\nservices:", 1)
        .replace("- data:/data", long.format("/mnt/data/db", "/data"))
        .replace("what it keeps\n", "what it keeps\n      " + long.format("/mnt/data/uploads", "/tmp/uploads") + "\n")
    )


def test_each_entry_changes_in_the_file_that_names_it_and_two_volumes_are_declared_in_one(tmp_path: Path) -> None:
    made = path_edit.edit(stack(tmp_path, TEXT, MORE), request(data(), uploads()))
    first, second = (after for _, after in made.texts.values())
    assert ("/mnt/data/uploads" in first, "/mnt/data/uploads" in second) == (False, True)
    assert (first.startswith("name: shop\n"), second.startswith("name: shop\n")) == (True, False)
    made = path_edit.edit(stack(tmp_path, TEXT), request(data("", volume="shop_db"), uploads("", volume="shop_up")))
    [(_, after)] = made.texts.values()
    assert "volumes: {" in after
    assert [f'"{key}": {{"name": "shop_{key}"}}' in after for key in ("db", "up")] == [True, True]


def test_an_override_file_holds_all_entries(tmp_path: Path) -> None:
    held = stack(tmp_path, TEXT)
    made = path_edit.edit(held, request(data(), uploads(), override=True))
    [(path, (before, after))] = made.texts.items()
    assert (Path(path).name, before) == ("compose.override.yml", None)
    assert after.count("type: bind") == 2
    assert made.stack.files == (*held.files, path)


def test_files_that_were_written_in_part_are_written_to_their_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compose_stand_in.install(monkeypatch, tmp_path)
    run, asked = Run(Home(tmp_path / "home"), "R1"), request(data(), uploads())
    held = stack(tmp_path, TEXT, MORE)
    made = path_edit.edit(held, asked)
    run.folder.mkdir(parents=True)
    path_stack.record(run, made)
    first, second = held.files
    Path(first).write_text(made.texts[first][1])
    path_stack.write(run, held, asked, strict=True)
    assert [text_change.digest(Path(path).read_text()) for path in held.files] == [text_change.digest(made.texts[path][1]) for path in held.files]
    path_stack.put_back(run)
    assert (Path(first).read_text(), Path(second).read_text()) == (TEXT, MORE)


def test_compose_has_to_read_every_entry_as_wanted_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, asked = stack(tmp_path, TEXT), request(data(), uploads())
    made = Edit(held, {held.files[0]: (TEXT, "new")})

    def entry(source: str, target: str) -> dict[str, Any]:
        return {"type": "bind", "source": source, "target": target}

    def assert_reads(*entries: dict[str, Any], image: str = "x") -> None:
        monkeypatch.setattr(compose, "reading", lambda _: {"services": {"db": {"image": "x", "volumes": [entry("/old", "/data")]}}})
        monkeypatch.setattr(compose, "reading_of", lambda *_: {"services": {"db": {"image": image, "volumes": list(entries)}}})
        path_edit.assert_only_that(held, made, asked)

    both = (entry("/mnt/data/db", "/data"), entry("/mnt/data/uploads", "/tmp/uploads"))
    assert_reads(*both)
    for wrong, image in ((both[:1], "x"), ((both[0], entry("/else", "/tmp/uploads")), "x"), ((*both, entry("/a", "/b")), "x"), (both, "y")):
        with pytest.raises(RefusedFault, match="mounts /data from /mnt/data/db and /tmp/uploads from /mnt/data/uploads"):
            assert_reads(*wrong, image=image)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"read_only": True}, "read_only"),
        ({"volume": {"subpath": "deep", "nocopy": True}}, "volume.subpath"),
        ({"type": "bind", "bind": {"selinux": "Z", "create_host_path": True}}, "bind.selinux"),
        ({"bind": {"propagation": "rshared"}}, "bind.propagation"),
        ({"volume": {"nocopy": True}, "bind": {"create_host_path": True}, "read_only": False}, None),
    ],
)
def test_what_an_entry_of_another_file_says_besides_its_source_is_not_lost_silently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], told: str | None
) -> None:
    held, asked = stack(tmp_path, TEXT), request(data(), override=True)
    made = path_edit.edit(held, asked)
    old = {"type": "volume", "source": "data", "target": "/data", **more}
    new = {"type": "bind", "source": "/mnt/data/db", "target": "/data"}
    monkeypatch.setattr(compose, "reading", lambda _: {"services": {"db": {"volumes": [old]}}})
    monkeypatch.setattr(compose, "reading_of", lambda *_: {"services": {"db": {"volumes": [new]}}})
    if told is None:
        path_edit.assert_only_that(held, made, asked)
        return
    with pytest.raises(RefusedFault, match=f"db mounts /data with {told}, which would be lost. Nothing was changed."):
        path_edit.assert_only_that(held, made, asked)


def test_what_lies_within_another_is_refused_whichever_side_it_is(tmp_path: Path) -> None:
    for name in ("a", "a/deep", "b"):
        (tmp_path / name).mkdir(exist_ok=True)
    a, deep, b, new = (str(tmp_path / name) for name in ("a", "a/deep", "b", "new"))
    assert path_refusals.of_them_together([(a, new), (b, f"{new}-2"), (None, f"{new}-3")]) == []
    for pairs in ([(a, new), (deep, f"{new}-2")], [(a, new), (b, f"{new}/below")], [(a, new), (b, deep)], [(a, new), (None, new)]):
        assert "lie within each other" in " ".join(path_refusals.of_them_together(pairs)), pairs


def test_all_reasons_of_all_paths_are_told_at_once(tmp_path: Path) -> None:
    old, place = tmp_path / "old", tmp_path / "place"
    for folder in (old, place):
        folder.mkdir()
        (folder / "somebody").touch()
    mounts = [{"Type": "bind", "Source": str(old), "Destination": "/data", "RW": True}]
    held = {"Id": "c1", "Name": "/shop", "Mounts": mounts, "HostConfig": {"AutoRemove": True}, "State": {"Running": False}, "Config": {}}
    held["GraphDriver"] = {"Name": "overlay2", "Data": {f"{part}Dir": str(tmp_path / part.lower()) for part in ("Upper", "Work", "Merged")}}
    (tmp_path / "lower").write_text("l/A:l/B\n")
    (tmp_path / "merged").mkdir()
    (tmp_path / "upper").mkdir()
    home, docker = Home(tmp_path / "home"), _Docker(held)
    asked = request(data(str(place)), uploads(str(tmp_path / "uploads")), uploads(str(tmp_path / "deep"), "/data/deep"))
    proof = Proof(docker, asked)  # type: ignore[arg-type] # a fake
    with pytest.raises(RefusedFault) as refused:
        Refuse(home, docker, home.run("R1"), proof).answer()  # type: ignore[arg-type]
    said = str(refused.value)
    for reason in (
        "moving /data, /tmp/uploads, /data/deep of shop refused: ",
        "shop does not run",
        "shop runs with --rm",
        "docker cp shop:/tmp/uploads/. - | tar ",
        f"{place} is not empty, and no run of this program on this host made it",
        "shop has no /tmp/uploads so far, so nobody says whose it is",
        "shop has no /data/deep so far",
    ):
        assert reason in said
    assert said.endswith("Nothing was changed.")


def test_the_commands_for_a_container_without_compose_carry_all_of_its_paths_over(tmp_path: Path) -> None:
    place = tmp_path / "not there/up loads"
    said = by_hand(request(data("", volume="shop_db"), uploads(str(place))))
    done = carry_out(said, tmp_path, {"shop:/data": {"row": "1", "deep/row": "2"}, "shop:/tmp/uploads": {"quote.pdf": "3"}})
    assert read(tmp_path / "volumes/shop_db") == {"row": "1", "deep/row": "2"}
    assert read(place) == {"quote.pdf": "3"}
    assert done.stopped == ["shop"]
    bind = f"type=bind,source={place},target=/tmp/uploads"
    assert done.run_with == ["--mount", "type=volume,source=shop_db,target=/data", "--mount", bind]


def test_nothing_is_copied_by_hand_from_a_container_that_does_not_stop(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        carry_out(by_hand(request(data("", volume="shop_db"))), tmp_path, {"other:/data": {"row": "1"}})
    assert not (tmp_path / "volumes/shop_db").exists()


@pytest.mark.parametrize(
    ("volume", "reason"),
    [
        ({"Driver": "rexray", "Mountpoint": "/x"}, "volume shop_db, where /data is to go, is kept by the driver rexray"),
        (
            {"Driver": "local", "Mountpoint": "/x", "Options": {"type": "nfs", "o": "addr=nas", "device": ":/x"}},
            "is to go, is nfs of :/x, not a directory",
        ),
        ({"Driver": "local", "Mountpoint": "/x", "Options": {"type": "tmpfs", "device": "tmpfs"}}, "is to go, is tmpfs of tmpfs, not a directory"),
        (
            {"Driver": "local", "Mountpoint": "/x", "Options": {"type": "ext4", "device": "/dev/sdx"}},
            "is to go, is ext4 of /dev/sdx, not a directory",
        ),
    ],
    ids=["driver", "nfs", "tmpfs", "a disk"],
)
def test_a_volume_that_is_no_directory_of_this_host_is_no_place(tmp_path: Path, volume: dict[str, Any], reason: str) -> None:
    mounts = [{"Type": "bind", "Source": str(tmp_path), "Destination": "/data", "RW": True}]
    held = {"Id": "c1", "Name": "/shop", "Mounts": mounts, "HostConfig": {}, "State": {"Running": False}, "Config": {}}
    home, docker, asked = Home(tmp_path / "home"), _Docker(held, {"shop_db": volume}), request(data("", volume="shop_db"))
    with pytest.raises(RefusedFault) as refused:
        Refuse(home, docker, home.run("R1"), Proof(docker, asked)).answer()  # type: ignore[arg-type] # fakes
    assert reason in str(refused.value)
    assert str(refused.value).endswith("Nothing was changed.")
    asked = request(data("", volume="shop_none"))
    assert path_place.place_of(docker, asked.paths[0]) is None  # type: ignore[arg-type]


def test_a_path_at_its_place_is_no_part_of_the_move_but_for_owner_and_mode(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir(mode=0o700)
    held = {"Name": "/shop", "Mounts": [{"Type": "bind", "Source": str(place), "Destination": "/data"}], "HostConfig": {}, "State": {"Running": True}}
    docker: Any = _Docker(held)
    for mode, changes in (("0700", []), ("0750", [("attribute", str(place), "mode 0700", "mode 0750")])):
        asked = request(data(str(place), mode=mode))
        answer = Refuse(Home(tmp_path / "home"), docker, Home(tmp_path / "home").run("R1"), Proof(docker, asked)).answer()
        assert [tuple(one.values()) for one in answer["changes"]] == changes
        assert answer["already"] is not changes
        assert answer["already"] == (not changes)


def finished(tmp_path: Path, *, broken: bool) -> tuple[PathMove, Run]:
    """Return a leg whose service answered on its new places: data from a volume, a surface from a directory, and one from its layer."""
    for name in ("volume", "new-data", "old-up", "new-up", "kept/srv/layer", "new-layer"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("other" if broken and name.startswith("new") else "same")
    asked = request(data(str(tmp_path / "new-data")), uploads(str(tmp_path / "new-up")), uploads(str(tmp_path / "new-layer"), "/srv/layer"))

    def path(name: str, kind: str, source: str, to: str, volume: str = "") -> dict[str, Any]:
        held = {"kind": kind, "path": source, "base": source, "volume": volume}
        return {"data": name, "source": held, "to": str(tmp_path / to), "to_mount": "/"}

    def tree(name: str, source: str, to: str) -> dict[str, Any]:
        return {"kind": "data", "path": name, "from": str(tmp_path / source), "to": str(tmp_path / to)}

    run = Run(Home(tmp_path / "home"), "R1")
    run.write(
        phase="answered",
        request=as_json(asked),
        paths=[
            path("/data", "volume", str(tmp_path / "volume"), "new-data", "shop_db"),
            path("/tmp/uploads", "bind", str(tmp_path / "old-up"), "new-up"),
            path("/srv/layer", "layer", "/srv/layer", "new-layer"),
        ],
        trees=[
            tree("/data", "volume", "new-data"),
            tree("/tmp/uploads", "old-up", "new-up"),
            tree("/srv/layer", "gone", "new-layer"),
        ],
        kept=str(tmp_path / "kept"),
        ends={"well": "done", "back": "reverted"},
        # What is younger than the start, clients changed.
        phase_at={"starting": 2e9},
        proof={"/data": {"unknown": "no proof of its own"}},
        complaint="",
    )
    return PathMove(run, Cancel(), [], Proof(_Docker({"State": {"Running": True}}), asked)), run  # type: ignore[arg-type]


def test_each_old_place_is_retired_the_volume_by_its_name_and_the_layer_as_it_was_kept(tmp_path: Path) -> None:
    leg, run = finished(tmp_path, broken=False)
    leg.finish()
    assert run.phase == "done"
    assert {name: (proof["equal"], proof["lost"]) for name, proof in run.state["proof"].items()} == {
        "/data": (1, []),
        "/tmp/uploads": (1, []),
        "/srv/layer": (1, []),
    }
    records = {Path(record["path"]).name: (record.get("volume"), Path(record["replaced_by"]).name) for record in run.home.retired()}
    assert records == {"volume": ("shop_db", "new-data"), "old-up": (None, "new-up"), "kept": (None, "new-layer")}


def test_what_is_not_as_it_was_is_told_for_each_path_once_also_after_a_kill(tmp_path: Path) -> None:
    leg, run = finished(tmp_path, broken=True)
    for _ in range(2):
        run.write(phase="answered")
        told = "; ".join(f"1 files of {path} of shop are not as they were" for path in ("/data", "/tmp/uploads", "/srv/layer"))
        with pytest.raises(FailedFault, match=f"^{told}\\. "):
            leg.finish()
    assert run.state["complaint"].count("/tmp/uploads") == 1
    assert json.loads((run.folder / "state.json").read_text())["phase"] == "done"


def test_places_that_no_data_moved_get_owner_and_mode_with_the_leg_and_give_them_back(tmp_path: Path) -> None:
    leg, run = finished(tmp_path, broken=False)
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o755)
    asked = request(data(str(tmp_path / "new-data")), uploads(str(cache), "/cache", mode="2770"))
    leg.request = asked
    run.write(paths=run.state["paths"][:1], governed=[{"data": "/cache", "to": str(cache), **path_place.had(str(cache))}])
    leg._govern()
    assert cache.stat().st_mode & 0o7777 == 0o2770
    leg._ungovern()
    assert cache.stat().st_mode & 0o7777 == 0o755
    cache.rmdir()
    leg._ungovern()


def test_data_from_within_an_anonymous_volume_are_the_newest_ones_in_the_new_one(tmp_path: Path) -> None:
    for name in ("old/deep", "old/beside", "place", "new"):
        (tmp_path / name).mkdir(parents=True)
    for name, text in (("old/deep/file", "as it was when it moved"), ("old/beside/file", "beside"), ("place/file", "newest")):
        (tmp_path / name).write_text(text)

    def tree(kind: str, source: str, to: str) -> dict[str, Any]:
        sides = {"from": str(tmp_path / source), "to": str(tmp_path / to)}
        return {"kind": kind, "path": f"/{to}", **sides, "read_since_ns": 0, "to_mount": "", "flags_set": True}

    run, asked = Run(Home(tmp_path / "home"), "R1"), request(data())
    leg = PathReturn(run, Cancel(), [], Proof(_Docker({}), asked))  # type: ignore[arg-type] # a fake
    leg._copy_all([tree("anonymous", "old", "new")], [tree("data", "place", "new/deep")])
    assert {str(path.relative_to(tmp_path / "new")): path.read_text() for path in (tmp_path / "new").rglob("file")} == {
        "deep/file": "newest",
        "beside/file": "beside",
    }
    assert [report["path"] for report in run.state["compared"]] == ["/new", "/new/deep"]
    assert [held["kind"] for held in run.state["trees"]] == ["anonymous", "data"]
