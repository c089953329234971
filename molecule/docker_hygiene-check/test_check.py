"""Check mode changes nothing."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_nothing_is_removed_and_no_timer_is_there() -> None:
    assert verdicts()["docker.hygiene_timer"] == "DRIFTED"
    assert len(on_machine("docker images --format '{{.Repository}}:{{.Tag}}'").split()) == 4
    assert on_machine("ls /etc/systemd/system | grep hygiene || true; ls /var/lib/controlplane 2>/dev/null || true") == ""
