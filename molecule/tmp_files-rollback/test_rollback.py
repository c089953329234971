"""The way back says that there is none."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts

ONE, TWO, OTHER = (f"tmp:/tmp/{name}" for name in ("one", "deep/two", "other"))
THERE = "cd /tmp; find . -type f -size +1M | sort"


def test_it_is_refused_and_what_is_gone_stays_gone() -> None:
    assert "can't be undone" in on_machine("cat /run/scenario-said")
    assert on_machine(THERE) == "./other\n"
    assert verdicts()[OTHER] == "DRIFTED"
