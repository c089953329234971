"""A destination that holds something of somebody else is refused, and nothing is stopped."""

import json
import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_the_message_names_the_destination() -> None:
    said = on_machine("cat /run/scenario-said")
    assert "/mnt/data/docker is not empty, and no run of this program on this host made it" in said
    assert "Nothing was changed." in said


def test_docker_is_where_it_was_with_what_ran() -> None:
    assert verdicts()["docker.data_root"] == "DRIFTED"
    assert json.loads(on_machine("cat /etc/docker/daemon.json")) == {"max-concurrent-downloads": 7}
    assert on_machine("docker ps --format '{{.Names}}'; ls -A /mnt/data/docker") == "writer\nsomebody\n"
