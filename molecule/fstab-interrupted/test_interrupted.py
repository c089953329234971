"""A run that was killed before systemd read the entry goes on."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_systemd_has_read_the_entry_and_it_stands_there_once() -> None:
    assert on_machine("systemctl show -p NeedDaemonReload --value mnt-data.mount") == "no\n"
    assert on_machine("grep -c /mnt/data /etc/fstab") == "1\n"
    found = verdicts()
    assert (found["fstab:/mnt/data"], found["boot.guard"]) == ("MET", "MET")
