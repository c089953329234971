"""A machine whose guard is missing gets no Docker."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_the_message_tells_what_is_missing() -> None:
    said = on_machine("cat /run/scenario-said")
    assert "50-controlplane-mounts.conf is not there, so nothing would keep Docker from starting on the bare mountpoint" in said
    assert "Nothing was changed." in said


def test_nothing_is_installed() -> None:
    assert on_machine("ls /usr/sbin/dockerd /etc/docker 2>/dev/null || true") == ""
    assert verdicts()["docker.data_root"] == "DRIFTED"
