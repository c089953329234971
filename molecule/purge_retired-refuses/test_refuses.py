"""What somebody wrote to since it was retired is refused."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_the_message_says_that_it_changed() -> None:
    said = on_machine("cat /run/scenario-said")
    assert "/var/lib/old-root changed since it was retired" in said
    assert "Nothing was changed." in said


def test_the_path_and_what_is_newer_stay() -> None:
    assert verdicts()["retired:/var/lib/old-root"] == "DRIFTED"
    assert on_machine("ls /var/lib/old-root/sub") == "file\nnewer\n"
