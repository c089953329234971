"""An installation that was cut off inside dpkg is finished."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_nothing_is_left_half_done() -> None:
    assert on_machine("dpkg --audit") == ""
    assert verdicts()["docker.data_root"] == "MET"
