"""Check mode changes nothing."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_nothing_is_changed() -> None:
    assert verdicts()["service:shop"] == "DRIFTED"
    assert "volumes" not in on_machine("cat /opt/stacks/shop/compose.yml")
    on_machine("docker exec -i shop sh -c 'cd /srv/shop && sha256sum --check --quiet -' < /root/parts")
    assert on_machine("ls /mnt/data; ls -A /opt/stacks/shop; ls /var/lib/controlplane 2>/dev/null || true") == "lost+found\ncompose.yml\n"
