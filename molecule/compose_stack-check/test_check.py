"""Check mode changes nothing, and pulls nothing."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_nothing_is_changed() -> None:
    assert verdicts()["service:till"] == "MET"
    on_machine("sha256sum --check --quiet /root/files")
    assert on_machine(
        "docker ps -a --format '{{.Names}} {{.Image}}' | sort; ls -A /opt/stacks/till; ls /var/lib/controlplane 2>/dev/null || true"
    ) == ("till 127.0.0.1:5000/shop/till:0\ntill-old-1 127.0.0.1:5000/shop/page:0\n.env\ncompose.yml\n")
    assert on_machine("docker images --digests --format '{{.Tag}}' 127.0.0.1:5000/shop/till") == "0\n"
