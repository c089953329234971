"""The way back unmounts, and the filesystem stays."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_the_mount_is_gone_and_the_filesystem_is_there() -> None:
    assert verdicts()["mount:/mnt/data"] == "DRIFTED"
    assert on_machine("ls -A /mnt") == ""
    assert "6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11" in on_machine("blkid")
