"""Check mode changes nothing."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_nothing_is_changed() -> None:
    assert on_machine("ls /usr/sbin/dockerd /etc/docker /var/lib/controlplane 2>/dev/null || true") == ""
    assert verdicts()["docker.data_root"] == "DRIFTED"
