"""Check mode changes nothing."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_nothing_is_changed() -> None:
    assert verdicts()["write_surface:page:/tmp/uploads"] == "DRIFTED"
    assert on_machine("docker exec page cat /tmp/uploads/one /tmp/other") == "one\nother\n"
    assert on_machine("ls /mnt/data; ls -A /opt/stacks/page; ls /var/lib/controlplane 2>/dev/null || true") == "lost+found\ncompose.yml\n"
