"""A disk that holds something is refused and keeps every byte."""

import re
import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_the_message_names_the_disk_what_it_holds_and_the_policy_field() -> None:
    said = on_machine("cat /run/scenario-said")
    assert re.search(r"data\.img|DATA\d{4}", said)
    assert "holds ext4 11111111-2222-3333-4444-555555555555. " in said
    assert said.endswith("Nothing was changed.")
    assert re.search(r"policy\.yml, hosts\.molecule\.disks\[\]\.(loop_file|serial)", said)


def test_the_disk_and_the_mountpoint_are_as_before() -> None:
    assert on_machine("sha256sum --check /root/before").endswith(": OK\n")
    assert on_machine("ls -A /mnt") == ""
    assert verdicts()["mount:/mnt/data"] == "DRIFTED"
