"""A run's tools are laid down whole, whatever an earlier attempt left, and are run once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from tests.unit.roles.loading import library, module_util

files = module_util("target_run", "target_run_files")
package = library("target_run", "target_run_package")
MAIN = "import sys, helper; print(helper.WORD, *sys.argv[1:]); sys.exit(3 if sys.argv[1:] == ['no'] else 0)"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Return how to run the module on a run's folder, and what it answers."""

    def run(*words: str, **texts: str) -> Any:
        wanted = {"__main__.py": MAIN, "helper.py": "WORD = 'said'", **{f"{name}.py": text for name, text in texts.items()}}
        argv = [sys.executable, "-B", str(tmp_path / "run/controlplane_target"), *words]
        with patch_module_args({"folder": str(tmp_path / "run"), "files": wanted, "argv": argv}), pytest.raises(SystemExit):
            package.main()
        return json.loads(capsys.readouterr().out)

    return run


def names(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "run/controlplane_target").iterdir()}


def test_the_tools_are_there_for_root_alone_and_what_they_say_is_the_answer(run: Any, tmp_path: Path) -> None:
    answer = run("hello")
    assert (answer["changed"], answer["written"], answer["rc"], answer["stdout"]) == (True, ["__main__.py", "helper.py"], 0, "said hello\n")
    assert (tmp_path / "run/controlplane_target/helper.py").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
    again = run("hello")
    assert (again["changed"], again["written"], again["stdout"]) == (False, [], "said hello\n")


def test_that_the_tools_say_no_is_told_and_is_no_failure_of_the_task(run: Any) -> None:
    answer = run("no")
    assert (answer["failed"], answer["rc"]) == (False, 3)


def test_what_a_killed_attempt_left_and_what_another_version_had_goes_away(run: Any, tmp_path: Path) -> None:
    run(old="X = 1")
    (tmp_path / "run/controlplane_target/.helper.py.controlplane-a1b2").write_text("WOR")
    (tmp_path / "run/controlplane_target/helper.py").write_text("half")
    answer = run("hello")
    assert answer["stdout"] == "said hello\n"
    assert names(tmp_path) == {"__main__.py", "helper.py"}


def test_a_disk_that_is_full_takes_no_lease_and_says_so(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Path | bytes, **__: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "put", full)
    answer = run("hello")
    assert answer["failed"] is True
    assert "No space left on device. No lease was taken." in answer["msg"].replace("]", ".")
    assert "rc" not in answer


def test_a_file_outside_of_the_folder_is_refused(run: Any, tmp_path: Path) -> None:
    answer = run("hello", **{"../other": "X = 1"})
    assert answer["failed"] is True
    assert not (tmp_path / "run").exists()
