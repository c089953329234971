"""Check mode removes nothing."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts

ONE, TWO, OTHER = (f"tmp:/tmp/{name}" for name in ("one", "deep/two", "other"))
THERE = "cd /tmp; find . -type f -size +1M | sort"


def test_all_of_them_are_there() -> None:
    assert on_machine(THERE).split() == ["./deep/two", "./one", "./other"]
    assert verdicts()[ONE] == "DRIFTED"
