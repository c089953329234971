"""The way back removes the timer; what was removed stays removed."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_the_timer_is_gone() -> None:
    assert verdicts()["docker.hygiene_timer"] == "DRIFTED"
    assert on_machine("ls /etc/systemd/system /etc/systemd/system/timers.target.wants | grep hygiene || true") == ""
    assert on_machine("systemctl is-active controlplane-hygiene.timer || true") == "inactive\n"


def test_what_was_removed_is_not_made_up() -> None:
    assert on_machine("docker images --format '{{.Repository}}:{{.Tag}}'").split() == ["lab/services:1"]
