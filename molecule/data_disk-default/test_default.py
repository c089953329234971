"""A blank disk becomes the declared mount."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_the_mount_is_as_declared_and_the_bare_folder_is_immutable() -> None:
    assert verdicts()["mount:/mnt/data"] == "MET"
    assert (
        on_machine("umount /mnt/data; lsattr -d /mnt/data; mount UUID=6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11 /mnt/data -o noatime")
        .split()[0]
        .count("i")
        == 1
    )
