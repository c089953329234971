"""How much lies in the directories from which data are to move."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.collector import sources


def _container(name: str, *mounts: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {"name": name, "mounts": list(mounts), "tmpfs": [], "upper_dir": "/var/lib/docker/overlay2/x/diff", **other}


def _mount(kind: str, path: Path, destination: str, *, source: str | None = None, name: str | None = None) -> dict[str, Any]:
    return {"type": kind, "name": name, "source": source or str(path), "host_path": str(path), "destination": destination}


def _asked(place: str | None, volume: str | None = None, *, container: str = "shop", data: str = "/data") -> dict[str, Any]:
    return {"services": {container: {"kind": "files", "data": data, "place": place, "volume": volume, "auth": {}}}, "write_surfaces": []}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a").write_bytes(b"x" * 1_000_000)
    (tmp_path / "b").hardlink_to(tmp_path / "below" / "a")
    return tmp_path


def test_a_bind_and_a_volume_whose_options_name_a_directory_are_measured_where_they_are_to_move(tree: Path) -> None:
    for mount in (_mount("bind", tree, "/data"), _mount("volume", tree, "/data", source="/var/lib/docker/volumes/pg/_data", name="pg")):
        found = sources.sources(_asked("/mnt/data/shop"), {"docker_containers": [_container("shop", mount)]})
        assert list(found) == [str(tree)]
        assert 1_000_000 <= (found[str(tree)] or 0) < 1_100_000


def test_a_path_within_a_mount_is_measured_by_itself_and_so_is_a_write_surface(tree: Path) -> None:
    surface = {"container": "shop", "path": "/srv/below", "place": "/mnt/data/uploads", "limited": False}
    asked = _asked("/mnt/data/shop", data="/srv/below") | {"write_surfaces": [surface]}
    found = sources.sources(asked, {"docker_containers": [_container("shop", _mount("bind", tree, "/srv"))]})
    assert list(found) == [str(tree / "below")]


@pytest.mark.parametrize(
    ("asked", "seen"),
    [
        # As declared.
        (_asked("/srv/shop"), [_mount("bind", Path("/srv/shop"), "/data")]),
        (_asked(None, "pg"), [_mount("volume", Path("/srv/shop"), "/data", source="/other", name="pg")]),
        # What Docker keeps itself it accounts for, and so it does for a writable layer.
        (_asked("/mnt/data/shop"), [_mount("volume", Path("/srv/shop"), "/data", name="pg")]),
        (_asked("/mnt/data/shop"), []),
        # Another's, and what no path of this host holds.
        (_asked("/mnt/data/shop", container="other"), [_mount("bind", Path("/srv/shop"), "/data")]),
        (_asked("/mnt/data/shop"), [_mount("volume", Path("/srv/shop"), "/data", name="nas") | {"host_path": None}]),
    ],
)
def test_what_does_not_move_or_is_accounted_for_is_not_walked(asked: dict[str, Any], seen: list[dict[str, Any]]) -> None:
    assert sources.sources(asked, {"docker_containers": [_container("shop", *seen)]}) == {}
    assert sources.sources(asked, {"docker_containers": None}) == {}


def test_what_is_too_large_for_the_limits_is_not_known_and_leaves_the_others_their_share(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = tree / "small"
    small.mkdir()
    asked = _asked("/mnt/data/shop")
    asked["services"]["other"] = asked["services"]["shop"]
    containers = [_container("shop", _mount("bind", tree, "/data")), _container("other", _mount("bind", small, "/data"))]
    monkeypatch.setattr(sources, "MOST_ENTRIES", 0)
    assert sources.sources(asked, {"docker_containers": containers}) == {str(tree): None, str(small): 0}
    monkeypatch.setattr(sources, "MOST_ENTRIES", 100)
    monkeypatch.setattr(sources, "LIMIT_S", -1.0)
    assert sources.sources(asked, {"docker_containers": containers}) == {str(tree): None, str(small): 0}
