"""What of a container's own layer is kept once its container is gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from controlplane_target.path_layer import Layer
from controlplane_target.state import Home


@pytest.fixture
def layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layer:
    """Return the layer of a container that wrote nothing so far."""
    folders = {name: tmp_path / name.lower() for name in ("Upper", "Work", "Merged")}
    for folder in folders.values():
        folder.mkdir()
    (tmp_path / "lower").write_text("l/A\n")
    driver = {"Name": "overlay2", "Data": {f"{name}Dir": str(folder) for name, folder in folders.items()}}
    monkeypatch.setattr(Layer, "kept", lambda _: str(tmp_path / "kept/layer"))
    return Layer(Home(tmp_path / "home").run("R1"), {"Name": "/page", "GraphDriver": driver})


def write(tmp_path: Path, *names: str) -> None:
    for name in names:
        (tmp_path / "upper" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "upper" / name).write_text(name)


def test_a_layer_that_wrote_to_its_tmp_alone_is_kept_with_all_that_is_there(tmp_path: Path, layer: Layer) -> None:
    write(tmp_path, "tmp/uploads/one", "tmp/other")
    for data in (["/tmp/uploads"], ["/srv/data"]):
        assert layer.keep(data) == str(tmp_path / "kept/layer")
    for name in ("tmp/uploads/one", "tmp/other"):
        assert (tmp_path / "kept/layer" / name).read_text() == name
        # By a further name: it takes no room.
        assert (tmp_path / "kept/layer" / name).stat().st_ino == (tmp_path / "upper" / name).stat().st_ino


def test_what_a_server_leaves_in_run_is_nothing_to_speak_of_unless_its_data_lie_there(tmp_path: Path, layer: Layer) -> None:
    write(tmp_path, "run/server.pid", "run/uploads/one")
    assert layer.keep() is None
    assert layer.keep(["/srv/run/uploads"]) is None
    assert layer.keep(["/run/uploads"]) == str(tmp_path / "kept/layer")
    assert (tmp_path / "kept/layer/run/uploads/one").read_text() == "run/uploads/one"


def test_a_layer_without_a_file_is_not_kept(tmp_path: Path, layer: Layer) -> None:
    (tmp_path / "upper/tmp/empty").mkdir(parents=True)
    (tmp_path / "upper/tmp/nothing").touch()
    assert layer.keep(["/tmp"]) is None
    assert not (tmp_path / "kept").exists()
