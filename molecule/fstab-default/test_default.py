"""Entry and guards are in force."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_the_entry_and_the_guard_are_as_declared() -> None:
    found = verdicts()
    assert (found["fstab:/mnt/data"], found["boot.guard"]) == ("MET", "MET")


def test_every_other_line_of_fstab_is_as_before() -> None:
    assert on_machine("head -c $(stat -c %s /root/fstab.before) /etc/fstab | cmp - /root/fstab.before") == ""
