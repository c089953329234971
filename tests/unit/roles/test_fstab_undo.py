"""The undo of fstab: whose flags it clears, and that a directory which is gone is in nobody's way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.roles.loading import file

undo = file("fstab", "undo")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(undo, "HERE", tmp_path)
    return tmp_path


def test_only_directories_that_are_there_and_still_immutable_are_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [folder / "kept", folder / "cleared", folder / "gone"]
    for place in places[:2]:
        place.mkdir()
    (folder / "bare.json").write_text(json.dumps([str(place) for place in places]))
    looked = []

    def beneath(action: str, path: str) -> dict[str, bool]:
        looked.append((action, path))
        return {"immutable": path.endswith("kept")}

    monkeypatch.setattr(undo, "beneath", beneath)
    assert undo.protected() == [str(places[0])]
    assert looked == [("look", str(places[0])), ("look", str(places[1]))]


def test_a_run_that_set_no_flag_clears_none(folder: Path) -> None:
    assert undo.protected() == []
    (folder / "bare.json").write_text("[]\n")
    assert undo.protected() == []
