"""What was written to since, and what is open, is refused with its reason."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts

ONE, TWO, OTHER = (f"tmp:/tmp/{name}" for name in ("one", "deep/two", "other"))
THERE = "cd /tmp; find . -type f -size +1M | sort"


def test_the_message_names_both() -> None:
    said = on_machine("cat /run/scenario-said")
    assert "one is another file by now, or was written to since" in said
    assert "two is in use: sleep" in said
    assert "Nothing was changed." in said


def test_nothing_is_removed() -> None:
    assert on_machine(THERE).split() == ["./deep/two", "./one", "./other"]
    assert verdicts()[OTHER] == "DRIFTED"
