"""How files fared, old place against new one: what a differing output means, and what is known of a container's layer."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import path_fared
from controlplane_target.path_listing import Sides, written_since

DIFFERS: dict[str, Any] = {"output": "differs", "lost": ["the output of wikictl"]}


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    """Return an old place and its copy, with nothing written to either since."""
    for place in ("old", "new"):
        (tmp_path / place / "deep").mkdir(parents=True)
        for name in ("one", "deep/two"):
            (tmp_path / place / name).write_text(name)
    # A file's ctime may lag a tick behind.
    time.sleep(0.03)
    return Sides(str(tmp_path / "old"), str(tmp_path / "new"))


def explained(sides: Sides | None, since: int, told: dict[str, Any] | None = None) -> dict[str, Any]:
    said = path_fared.explained(told or DIFFERS, sides, since, since)
    return {name: said[name] for name in ("output", "lost", "unknown", "not_proven", "equal", "changed") if said.get(name)}


def test_where_nobody_wrote_to_either_place_an_output_that_differs_is_a_loss(sides: Sides) -> None:
    assert explained(sides, time.time_ns()) == {"output": "differs", "lost": ["the output of wikictl"], "equal": 2}


@pytest.mark.parametrize("where", ["old", "new"])
@pytest.mark.parametrize("name", ["page", "deep/page", "one"])
def test_a_page_that_a_client_wrote_meanwhile_makes_it_unknown_and_no_loss(sides: Sides, where: str, name: str) -> None:
    since = time.time_ns()
    time.sleep(0.03)
    (Path(getattr(sides, where)) / name).write_text("a new page")
    if where == "old":
        # Between the reading and the stop: the copy has it as well.
        (Path(sides.new) / name).write_text("a new page")
    told = explained(sides, since)
    [said] = told["not_proven"]
    assert said.startswith("what its proof says (its output differs, and files were written since it was read before the stop; each file is as")
    assert ("lost" in told, told["unknown"]) == (False, 1)


def test_a_page_that_a_client_removed_makes_it_unknown_as_well(sides: Sides) -> None:
    since = time.time_ns()
    time.sleep(0.03)
    (Path(sides.new) / "deep/two").unlink()
    assert explained(sides, since)["unknown"] == 1


def test_a_file_that_is_not_as_it_was_and_that_nobody_wrote_is_lost_whatever_was_written_besides(sides: Sides) -> None:
    (Path(sides.new) / "one").write_text("other")
    time.sleep(0.03)
    since = time.time_ns()
    (Path(sides.new) / "page").write_text("a new page")
    assert explained(sides, since)["lost"] == ["one"]


def test_what_may_have_run_before_or_has_no_old_place_is_unknown(sides: Sides) -> None:
    unsure = {"output": "differs", "lost": [], "unknown": 1}
    assert "nobody knows since when it ran" in explained(sides, time.time_ns(), unsure)["not_proven"][0]
    told = explained(None, 0)
    assert (told["unknown"], "nothing is left of the old place" in told["not_proven"][0]) == (1, True)


def test_a_tree_is_written_to_by_whatever_moves_a_time_below_its_top(tmp_path: Path) -> None:
    (tmp_path / "top/deep").mkdir(parents=True)
    (tmp_path / "top/deep/file").write_text("x")
    time.sleep(0.03)
    since = time.time_ns()
    time.sleep(0.03)
    assert not written_since(str(tmp_path / "top"), since)
    (tmp_path / "top").chmod(0o750)
    assert not written_since(str(tmp_path / "top"), since)
    os.link(tmp_path / "top/deep/file", tmp_path / "further")
    assert not written_since(str(tmp_path / "top"), since, by_ctime=False)
    assert written_since(str(tmp_path / "top"), since)


# A container's layer.


def test_of_a_layer_each_file_that_it_wrote_is_listed_and_what_its_image_brought_is_named(tmp_path: Path) -> None:
    for name in ("kept/srv/data", "new"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("kept/srv/data/a", "new/a", "kept/srv/data/b"):
        (tmp_path / name).write_text("same")
    for name in ("new/b", "new/of-the-image"):
        (tmp_path / name).write_text("other")
    time.sleep(0.03)
    since = time.time_ns()
    # A file's times come from a clock that lags by up to a tick.
    time.sleep(0.03)
    (tmp_path / "new/newer").write_text("a client's")
    told = Sides(str(tmp_path / "kept/srv/data"), str(tmp_path / "new"), is_kept=True).listed(since)
    assert (told["objects"], told["equal"], told["lost"]) == (2, 1, ["b"])
    assert told["not_proven"] == ["1 files that its image brought: they were compared while it stood still"]
    # With nothing kept all of it is the image's.
    told = Sides("", str(tmp_path / "new"), is_kept=True).listed(since)
    assert (told["objects"], told["not_proven"]) == (0, ["3 files that its image brought: they were compared while it stood still"])


@pytest.mark.skipif(os.geteuid() != 0, reason="trusted attributes need root")
def test_a_file_of_which_a_layer_has_the_attributes_alone_is_its_images(tmp_path: Path) -> None:
    for name in ("kept", "new"):
        (tmp_path / name).mkdir()
    (tmp_path / "new/file").write_text("content")
    (tmp_path / "kept/file").write_bytes(b"\0" * 7)
    os.setxattr(tmp_path / "kept/file", "trusted.overlay.metacopy", b"")
    time.sleep(0.03)
    told = Sides(str(tmp_path / "kept"), str(tmp_path / "new"), is_kept=True).listed(time.time_ns())
    assert (told["objects"], told["lost"], told["not_proven"]) == (0, [], ["1 files that its image brought: they were compared while it stood still"])


def test_what_is_kept_of_a_layer_is_known_as_written_by_its_content_alone(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("x")
    time.sleep(0.03)
    since = time.time_ns()
    time.sleep(0.03)
    os.link(tmp_path / "kept/file", tmp_path / "upper")
    held = Sides(str(tmp_path / "kept"), str(tmp_path), is_kept=True)
    assert not held.is_written_behind(since)
    with (tmp_path / "upper").open("a") as file:
        file.write("y")
    assert held.is_written_behind(since)
    assert not Sides(str(tmp_path / "gone"), str(tmp_path), is_kept=True).is_written_behind(0)
