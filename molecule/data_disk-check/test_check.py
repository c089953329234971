"""Check mode changes nothing."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_nothing_is_changed() -> None:
    assert on_machine("sha256sum --check /root/before").endswith(": OK\n")
    assert on_machine("ls -A /mnt; ls /var/lib/controlplane 2>/dev/null || true") == ""
    assert verdicts()["mount:/mnt/data"] == "DRIFTED"
