"""Moves of single paths: where data lie, what is refused, how they are listed, and which of the phases may go on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import path_leg, path_place, path_refusals, path_refuse, path_source, phases
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.path_listing import listed
from controlplane_target.path_request import as_json, parse
from controlplane_target.path_source import Source, assert_no_link, assert_no_link_so_far, is_missing, source_of

DATA = {"kind": "files", "data": "/data", "place": "/mnt/data/shop"}
UPLOADS = {"kind": "surface", "data": "/uploads", "place": "/mnt/data/uploads", "owner": "1:2", "mode": "0750"}
ASKED = {"container": "shop", "paths": [DATA]}


class _Docker:
    """An engine that knows these volumes and containers."""

    def __init__(self, volumes: dict[str, dict[str, Any]] | None = None, containers: list[dict[str, Any]] | None = None) -> None:
        self.volumes, self.held = volumes or {}, containers or []

    def get(self, target: str, **_: Any) -> Any:
        return self.volumes[target.rpartition("/")[2]]

    def containers(self) -> list[dict[str, Any]]:
        return self.held


def inspection(*mounts: dict[str, Any], **host: Any) -> dict[str, Any]:
    return {"Name": "/shop", "Mounts": list(mounts), "HostConfig": {"Tmpfs": {}, **host}, "State": {"Running": True}}


def bind(source: str, destination: str = "/data", **more: Any) -> dict[str, Any]:
    return {"Type": "bind", "Source": source, "Destination": destination, "RW": True, **more}


def volume(name: str, destination: str = "/data") -> dict[str, Any]:
    return {"Type": "volume", "Name": name, "Source": f"/docker/{name}", "Destination": destination, "RW": True}


def test_a_request_survives_a_journal_and_anything_else_is_refused() -> None:
    request = parse({**ASKED, "paths": [{**DATA, "proof": ["count"]}, UPLOADS], "auth": {"user": "ops", "password_env": "X"}})
    assert parse(as_json(request)) == request
    assert (request.service, request.told) == (request.at("/data"), "/data, /uploads")
    assert request.only(["/uploads"]).service is None
    for wrong in ({"volume": "v"}, {"place": "", "volume": ""}, {"kind": "x"}, {"more": 1}, {"owner": "root"}, {"mode": "rwx"}):
        with pytest.raises(ValueError, match=r".+"):
            parse({**ASKED, "paths": [{**DATA, **wrong}]})
    for paths in ([], [DATA, DATA], [DATA, {**DATA, "data": "/other", "place": "/x"}]):
        with pytest.raises(ValueError, match="each is named once, and one of them at most is the service's own data"):
            parse({**ASKED, "paths": paths})
    for path in ("relative", "/", "/a/../b", "/a\nb"):
        with pytest.raises(RefusedFault, match="no absolute, normalised path"):
            parse({**ASKED, "paths": [{**DATA, "place": path}]})


def test_a_source_is_where_the_data_really_lie() -> None:
    docker: Any = _Docker(
        {
            "plain": {"Driver": "local", "Mountpoint": "/docker/plain"},
            "bound": {"Driver": "local", "Mountpoint": "/docker/bound", "Options": {"type": "none", "o": "bind", "device": "/srv//old"}},
            "a" * 64: {"Driver": "local", "Mountpoint": "/docker/a"},
            "nfs": {"Driver": "local", "Mountpoint": "/docker/nfs", "Options": {"type": "nfs", "device": ":/x"}},
            "other": {"Driver": "rexray", "Mountpoint": "/x"},
        }
    )
    assert source_of(docker, inspection(bind("/srv")), "/data/deep") == Source("bind", "/srv/deep", "/srv", "")
    assert source_of(docker, inspection(volume("plain")), "/data") == Source("volume", "/docker/plain", "/docker/plain", "plain")
    # Its own folder is empty once nobody uses it.
    assert source_of(docker, inspection(volume("bound")), "/data").path == "/srv/old"
    assert source_of(docker, inspection(volume("a" * 64)), "/data").kind == "anonymous"
    assert source_of(docker, inspection(bind("/a", "/"), bind("/b", "/data")), "/data/x").path == "/b/x"
    assert source_of(docker, inspection(), "/data") == Source("layer", "/data", "", "")
    for held, reason in (
        (inspection(volume("nfs")), "is nfs of :/x"),
        (inspection(volume("other")), "kept by the driver rexray"),
        (inspection(Tmpfs={"/data/": ""}), "lies in memory"),
    ):
        with pytest.raises(RefusedFault, match=reason):
            source_of(docker, held, "/data")


def test_a_folder_of_a_volume_is_refused_by_its_name_and_nobody_takes_the_whole_for_it() -> None:
    def told(folder: str, target: str = "/data") -> dict[str, Any]:
        return {"Type": "volume", "Source": "shop", "Target": target, "VolumeOptions": {"Subpath": folder} if folder else None}

    docker: Any = _Docker({"shop": {"Driver": "local", "Mountpoint": "/docker/shop"}})
    held = inspection(volume("shop"), volume("shop", "/conf"), Mounts=[told("db/deep", "/data/"), told("", "/conf")])
    for data in ("/data", "/data/below"):
        with pytest.raises(
            RefusedFault, match=r"lies in the folder db/deep of volume shop \(volume\.subpath\).* Nothing was changed\. By hand: copy"
        ) as refused:
            path_refuse.sources_of(docker, held, parse({**ASKED, "paths": [{**DATA, "data": data}]}))
        assert data in str(refused.value)
    for data in ("/conf", "/elsewhere"):
        assert path_refuse.sources_of(docker, held, parse({**ASKED, "paths": [{**DATA, "data": data}]}))
    # Another container that mounts a folder of the volume shares it all the same.
    docker.held = [{**held, "Name": "/other"}]
    found = path_refusals.of_the_source(docker, Source("volume", "/docker/shop", "/docker/shop", "shop"), "shop")
    assert found == ["container other also mounts /docker/shop: its data would stay behind"]


def test_no_link_leads_from_where_a_mount_begins(tmp_path: Path) -> None:
    base = tmp_path / "volume"
    (base / "real").mkdir(parents=True)
    (base / "away").symlink_to("/etc")
    assert_no_link(Source("volume", str(base / "real"), str(base), "v"), "shop")
    for name in ("away", "away/ssl", "file"):
        (base / "file").touch()
        with pytest.raises(RefusedFault, match="is a link, or no directory"):
            assert_no_link(Source("volume", str(base / name), str(base), "v"), "shop")
    assert is_missing(Source("volume", str(base / "none"), str(base), "v"))
    assert not is_missing(Source("volume", str(base / "away"), str(base), "v"))


def test_nothing_is_copied_back_through_a_link_and_what_is_missing_may_be_made(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to("/etc")
    with pytest.raises(FailedFault, match="is a link"):
        assert_no_link_so_far(str(tmp_path), str(tmp_path / "data/deep"))
    assert_no_link_so_far(str(tmp_path), str(tmp_path / "new/deep"))
    assert_no_link_so_far(str(tmp_path), str(tmp_path))


def test_who_shares_the_data_is_named_and_who_only_reads_above_them_is_not(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    others = [
        {**inspection(bind(str(data))), "Name": "/same"},
        {**inspection(bind(str(tmp_path), RW=False)), "Name": "/backup"},
        {**inspection(bind(str(tmp_path))), "Name": "/above"},
        {**inspection(bind(str(data / "below"))), "Name": "/below"},
        {**inspection(bind("/srv")), "Name": "/apart"},
        {**inspection(bind(str(data))), "Name": "/shop"},
    ]
    docker: Any = _Docker(containers=others)
    found = path_refusals.of_the_source(docker, Source("bind", str(data), str(data), ""), "shop")
    assert [line.split(" ")[1] for line in found] == ["above", "below", "same"]


@pytest.mark.parametrize(
    ("state", "host", "mounts", "reason"),
    [
        ({"Running": False}, {}, (), "does not run"),
        ({"Paused": True}, {}, (), "is paused"),
        ({"Health": {"Status": "unhealthy"}}, {}, (), "is unhealthy already"),
        ({}, {"AutoRemove": True}, (), "runs with --rm"),
        ({}, {}, (bind("/x", "/data/wal"),), "/data/wal is mounted below /data"),
        ({}, {"Tmpfs": {"/data/cache": ""}}, (), "/data/cache is mounted below /data"),
    ],
)
def test_what_of_a_container_speaks_against_a_move(state: dict[str, Any], host: dict[str, Any], mounts: tuple[Any, ...], reason: str) -> None:
    held = inspection(*mounts, **host)
    held["State"].update(state)
    [said] = path_refusals.of_the_container(held, parse(ASKED))
    assert reason in said


def test_a_databases_links_out_of_its_data_are_named(tmp_path: Path) -> None:
    (tmp_path / "pg_wal").symlink_to("/var/lib/wal")
    (tmp_path / "inner").symlink_to("/data/real")
    (tmp_path / "pg_tblspc").mkdir()
    (tmp_path / "pg_tblspc/1").symlink_to("/elsewhere")
    assert path_refusals.of_the_links(str(tmp_path), "/data") == [
        "pg_wal is a link to /var/lib/wal, out of /data: give it a mount of its own, or move it in"
    ]


def test_a_listing_tells_what_clients_changed_from_what_is_lost(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for name in ("same", "newer", "lost", "gone"):
        for side in (old, new):
            (side / "deep").mkdir(parents=True, exist_ok=True)
            (side / "deep" / name).write_text(name)
    (old / "link").symlink_to("/etc/shadow")
    (new / "deep/lost").write_text("other")
    started = (new / "deep/lost").stat().st_ctime_ns + 1
    while (new / "deep/newer").stat().st_ctime_ns < started:
        (new / "deep/newer").write_text("newer still")
    (new / "deep/gone").unlink()
    told = listed(str(old), str(new), started)
    assert {key: told[key] for key in ("objects", "equal", "changed", "gone", "unreadable", "lost")} == {
        "objects": 4,
        "equal": 1,
        "changed": 1,
        "gone": 1,
        "unreadable": 0,
        "lost": ["deep/lost"],
    }


def test_a_file_whose_attributes_alone_are_younger_is_neither_changed_nor_lost_and_one_that_nobody_can_have_removed_is_lost(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for side in (old, new):
        (side / "deep").mkdir(parents=True)
        for name in ("deep/read", "deep/mode", "gone/name", "never/name"):
            (side / name).parent.mkdir(exist_ok=True)
            (side / name).write_text(name)
    for name in ("deep/read", "deep/mode"):
        (new / name).write_text("other")
    for name in ("gone", "never"):
        (new / name / "name").unlink()
    started = max((new / name).stat().st_ctime_ns for name in ("deep/read", "deep/mode", "gone", "never")) + 1
    while (new / "deep/mode").stat().st_ctime_ns < started or (new / "gone").stat().st_ctime_ns < started:
        (new / "deep/mode").chmod(0o600)
        (new / "gone").chmod(0o700)
    (new / "deep/read").read_text()
    told = listed(str(old), str(new), started)
    assert {key: told[key] for key in ("equal", "changed", "unknown", "gone", "lost")} == {
        "equal": 0,
        "changed": 0,
        "unknown": 1,
        "gone": 1,
        "lost": ["deep/read", "never/name"],
    }


def test_a_place_gets_its_owner_and_mode_and_only_itself(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    before = (tmp_path / "file").stat()
    owner = f"{os.getuid()}:{os.getgid()}"
    [wanted] = parse({**ASKED, "paths": [{**DATA, "place": str(tmp_path), "owner": owner, "mode": "2750"}]}).paths
    had = path_place.had(str(tmp_path))
    assert [(one["target"], one["after"]) for one in path_place.ungoverned(wanted)] == [(str(tmp_path), "mode 2750")]
    assert path_place.govern(str(tmp_path), owner, "2750")
    assert not path_place.govern(str(tmp_path), owner, "2750")
    assert path_place.ungoverned(wanted) == []
    assert tmp_path.stat().st_mode & 0o7777 == 0o2750
    assert (tmp_path / "file").stat().st_mode == before.st_mode
    assert path_place.govern(str(tmp_path), had["owner"], had["mode"])
    assert path_place.had(str(tmp_path)) == had


def test_every_open_phase_is_one_that_the_way_back_or_the_table_knows() -> None:
    assert set(path_leg.OPEN) == {*phases.CRITICAL, path_leg.RETURNING, path_leg.RESTARTING}
    assert not set(path_leg.OPEN) & set(phases.TERMINAL)
    assert path_source.is_at_or_below("/a/b", "/a")
