"""Check mode changes nothing."""

import json
import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_nothing_is_changed() -> None:
    assert verdicts()["docker.data_root"] == "DRIFTED"
    assert json.loads(on_machine("cat /etc/docker/daemon.json")) == {"max-concurrent-downloads": 7}
    assert on_machine("docker ps --format '{{.Names}}'; ls -A /mnt/data; ls /var/lib/controlplane 2>/dev/null || true") == "writer\nlost+found\n"
