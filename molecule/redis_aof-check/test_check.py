"""Check mode changes nothing."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_nothing_is_changed() -> None:
    assert verdicts()["redis:cache"] == "DRIFTED"
    assert "command: [redis-server, --dir, /data]   # plain" in on_machine("cat /opt/stacks/cache/compose.yml")
    assert on_machine("docker exec cache redis-cli config get appendonly; docker exec cache ls /data").split() == ["appendonly", "no", "dump.rdb"]
    assert on_machine("ls -A /opt/stacks/cache; ls /var/lib/controlplane 2>/dev/null || true") == "compose.yml\n"
