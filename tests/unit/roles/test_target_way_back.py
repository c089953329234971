"""A run's way back is on the target before its first change, and says how things were before its first attempt."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import verbs, way_back

from tests.unit.roles.leased import claimed


@pytest.fixture
def leave(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Return how to carry out the verb for the run `run`; it gives the exit code and the answer."""

    def leave(
        *, record: str = "before\n", undo: str = "#!/bin/sh\n", name: str = "was.json", changes: bool = False, check: bool = False
    ) -> tuple[int, Any]:
        asked = {"records": {name: record}, "undo": undo, "readme": "what it holds\n", "changes_storage": changes}
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(asked)))
        code = verbs.main(
            [
                "--base",
                str(tmp_path / "home"),
                "way-back",
                "--run",
                "run",
                *(["--check"] if check else claimed(monkeypatch)),
            ]
        )
        return code, json.loads(capsys.readouterr().out)

    return leave


def seen(tmp_path: Path) -> dict[str, tuple[str, int]]:
    return {path.name: (path.read_text(), path.stat().st_mode & 0o777) for path in (tmp_path / "home/run").iterdir()}


def test_all_of_it_is_there_for_root_alone_and_a_second_attempt_keeps_the_first_record(leave: Any, tmp_path: Path) -> None:
    assert leave() == (0, {"changed": True, "written": ["was.json", "undo", "README"]})
    assert seen(tmp_path) == {"was.json": ("before\n", 0o600), "undo": ("#!/bin/sh\n", 0o700), "README": ("what it holds\n", 0o600)}
    assert (tmp_path / "home/run").stat().st_mode & 0o777 == 0o700
    assert leave(record="half-done\n") == (0, {"changed": False, "written": []})
    assert seen(tmp_path)["was.json"] == ("before\n", 0o600)
    assert leave(undo="#!/bin/sh\n# newer\n")[1]["written"] == ["undo"]


def test_a_run_that_changes_storage_says_so_before_it_does(leave: Any, tmp_path: Path) -> None:
    leave()
    assert not (tmp_path / "home/last-change.json").exists()
    assert leave(changes=True) == (0, {"changed": False, "written": []})
    assert json.loads((tmp_path / "home/last-change.json").read_text())["run"] == "run"


def test_a_dry_run_says_whether_it_would_write_and_writes_nothing(leave: Any, tmp_path: Path) -> None:
    assert leave(check=True, changes=True) == (0, {"changed": True})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../was.json", "undo", "README", "state.json", "a/b", "", ".."])
def test_a_record_is_a_file_of_the_run_and_never_its_undo_or_journal(leave: Any, tmp_path: Path, name: str) -> None:
    code, said = leave(name=name)
    assert code == 4
    assert "plain name" in said["message"]
    assert list(tmp_path.iterdir()) == []


def test_a_way_back_that_can_not_be_written_ends_the_run(leave: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Path | bytes, **__: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(way_back, "write_atomic", full)
    code, said = leave()
    assert code == 1
    assert "No space left" in said["message"]
    assert "Nothing was changed" in said["message"]
