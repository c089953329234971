"""The drills' journal: one line for each that ended, and a run that was killed goes on with the next one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.vm.journal import last_attempts, read_journal

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
DRILLS = """
import os, signal, pytest
def test_the_first(record_property):
    record_property("point", "at 3 s")
def test_the_second():
    assert "one place" == "two places"
def test_the_third():
    if os.environ["KILL"]:
        os.kill(os.getpid(), signal.SIGKILL)
def test_the_fourth():
    pytest.skip("not here")
"""


@pytest.fixture
def drills(tmp_path: Path) -> Path:
    folder = tmp_path / "drills"
    folder.mkdir()
    (folder / "test_drills.py").write_text(DRILLS)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return folder


def run(folder: Path, *words: str, kill: bool = False) -> subprocess.CompletedProcess[str]:
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.vm.journal",
        "--journal",
        str(folder / "7.jsonl"),
        "--seed",
        "7",
        "--points",
        "1",
        *words,
        str(folder),
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "KILL": "yes" if kill else ""}
    return subprocess.run(argv, env=env, cwd=folder, capture_output=True, text=True, check=False)


def test_a_killed_run_goes_on_with_the_drill_that_did_not_end(drills: Path) -> None:
    journal = drills / "7.jsonl"
    assert run(drills, kill=True).returncode == -9
    first = read_journal(journal)
    assert [(line["drill"], line["outcome"], line["point"]) for line in first] == [("the_first", "passed", "at 3 s"), ("the_second", "failed", "")]
    assert first[1]["why"] == "AssertionError: assert 'one place' == 'two places'"
    assert run(drills, kill=False).returncode == 0
    after = read_journal(journal)
    assert after[:2] == first
    assert [(line["seed"], line["drill"], line["outcome"]) for line in after[2:]] == [(7, "the_third", "passed")]


def test_a_line_that_a_kill_cut_short_is_no_drill_and_spoils_no_other_line(drills: Path) -> None:
    journal = drills / "7.jsonl"
    whole = json.dumps({"seed": 7, "drill": "the_first", "point": "", "outcome": "passed", "seconds": 1})
    journal.write_text(f'{whole}\n{{"seed": 7, "dri')
    run(drills, kill=False)
    assert [line["drill"] for line in read_journal(journal)] == ["the_first", "the_second", "the_third"]


def test_what_failed_is_run_again_only_when_that_is_asked_for_and_stays_on_record(drills: Path) -> None:
    journal = drills / "7.jsonl"
    assert run(drills).returncode == 1
    run(drills)
    assert [line["drill"] for line in read_journal(journal)].count("the_second") == 1
    (drills / "test_drills.py").write_text(DRILLS.replace('"two places"', '"one place"'))
    assert run(drills, "--again").returncode == 0
    lines = read_journal(journal)
    assert [line["outcome"] for line in lines if line["drill"] == "the_second"] == ["failed", "passed"]
    assert last_attempts(lines)["the_second"]["outcome"] == "passed"
    # Nothing is left to run again.
    run(drills, "--again")
    assert read_journal(journal) == lines


def test_a_reason_that_quotes_pages_is_cut(drills: Path) -> None:
    (drills / "test_drills.py").write_text("def test_long():\n    assert False, 'x' * 9000\n")
    run(drills)
    [line] = read_journal(drills / "7.jsonl")
    assert len(line["why"]) == 401
