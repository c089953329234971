"""Check mode removes nothing."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_the_retired_path_and_its_record_stay() -> None:
    assert verdicts()["retired:/var/lib/old-root"] == "DRIFTED"
    assert on_machine("cat /var/lib/old-root/sub/file") == "kept"
