"""A run that was killed in mkfs goes on and ends well."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_the_filesystem_was_made_again_and_is_sound() -> None:
    assert verdicts()["mount:/mnt/data"] == "MET"
    device = on_machine("findmnt -no SOURCE /mnt/data").strip()
    on_machine(f"umount /mnt/data && e2fsck -fn {device} && mount -o noatime {device} /mnt/data")
