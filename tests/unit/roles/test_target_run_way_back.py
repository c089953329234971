"""A run's way back is on the target before its first change, and says how things were before its first attempt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from tests.unit.roles.loading import library, module_util

files = module_util("target_run", "target_run_files")
module_util("target_run", "target_run_fence")
module_util("target_run", "target_run_folder")
way_back = library("target_run", "target_run_way_back")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Return how to run the module on a run's folder, and what it answers."""

    def run(
        *,
        record: str = "before\n",
        undo: str = "#!/bin/sh\n",
        name: str = "was.json",
        check: bool = False,
        changes: bool = False,
        fence: Sequence[str] = ("env",),
    ) -> Any:
        given = {"folder": str(tmp_path / "home/run"), "records": {name: record}, "undo": undo, "readme": "what it holds\n"}
        given |= {"changes_storage": changes, "fence": list(fence)}
        with patch_module_args({**given, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            way_back.main()
        return json.loads(capsys.readouterr().out)

    return run


def seen(tmp_path: Path) -> dict[str, tuple[str, int]]:
    return {path.name: (path.read_text(), path.stat().st_mode & 0o777) for path in (tmp_path / "home/run").iterdir()}


def test_all_of_it_is_there_for_root_alone_and_a_second_attempt_keeps_the_first_record(run: Any, tmp_path: Path) -> None:
    answer = run()
    assert (answer["changed"], answer["written"]) == (True, ["was.json", "undo", "README"])
    assert seen(tmp_path) == {"was.json": ("before\n", 0o600), "undo": ("#!/bin/sh\n", 0o700), "README": ("what it holds\n", 0o600)}
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("home", "home/run")] == [0o700, 0o700]
    again = run(record="half-done\n")
    assert (again["changed"], again["written"]) == (False, [])
    assert seen(tmp_path)["was.json"] == ("before\n", 0o600)
    assert run(undo="#!/bin/sh\n# newer\n")["written"] == ["undo"]


def test_a_run_that_changes_storage_says_so_before_it_does(run: Any, tmp_path: Path) -> None:
    run()
    assert not (tmp_path / "home/last-change.json").exists()
    run(check=True, changes=True)
    assert not (tmp_path / "home/last-change.json").exists()
    assert run(changes=True)["changed"] is False
    said = json.loads((tmp_path / "home/last-change.json").read_text())
    assert said["run"] == "run"


def test_a_play_that_lost_its_lease_leaves_nothing(run: Any, tmp_path: Path) -> None:
    answer = run(fence=["false"])
    assert answer["failed"] is True
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_what_it_would_write_and_writes_nothing(run: Any, tmp_path: Path) -> None:
    assert run(check=True)["changed"] is True
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../was.json", "undo", "README", "a/b", "", ".."])
def test_a_record_is_a_file_of_the_run_and_never_its_undo(run: Any, tmp_path: Path, name: str) -> None:
    answer = run(name=name)
    assert answer["failed"] is True
    assert "plain name" in answer["msg"]
    assert list(tmp_path.iterdir()) == []


def test_a_way_back_that_can_not_be_written_ends_the_run(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Path | bytes, **__: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write", full)
    answer = run()
    assert answer["failed"] is True
    assert "No space left" in answer["msg"]
    assert "Nothing was changed" in answer["msg"]
