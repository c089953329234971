"""The way back restores fstab byte for byte and takes the guards away."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_fstab_is_as_before_and_the_data_is_still_mounted() -> None:
    assert (
        on_machine("cmp /etc/fstab /root/fstab.before; ls /etc/systemd/system/docker.service.d/50-controlplane-mounts.conf 2>/dev/null || true") == ""
    )
    found = verdicts()
    assert (found["mount:/mnt/data"], found["fstab:/mnt/data"], found["boot.guard"]) == ("MET", "DRIFTED", "DRIFTED")
