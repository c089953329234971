"""An fstab that would not verify is not written."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_the_message_tells_what_findmnt_found() -> None:
    said = on_machine("cat /run/scenario-said")
    assert "findmnt --verify objects to the new text: /mnt/data: ext4 does not match with on-disk xfs" in said
    assert "Nothing was changed." in said


def test_fstab_is_as_before_and_docker_is_unguarded() -> None:
    assert (
        on_machine("cmp /etc/fstab /root/fstab.before; ls /etc/systemd/system/docker.service.d/50-controlplane-mounts.conf 2>/dev/null || true") == ""
    )
    assert verdicts()["fstab:/mnt/data"] == "DRIFTED"
