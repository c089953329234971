"""What was named is gone, and nothing else."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts

ONE, TWO, OTHER = (f"tmp:/tmp/{name}" for name in ("one", "deep/two", "other"))
THERE = "cd /tmp; find . -type f -size +1M | sort"


def test_the_named_files_are_gone_and_the_other_stays() -> None:
    assert on_machine(THERE) == "./other\n"
    found = verdicts()
    assert {ONE, TWO} & found.keys() == set()
    assert found[OTHER] == "DRIFTED"
