"""A container that would become more than was asked for is refused, before anything is turned on."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_the_message_names_the_file_and_the_way_out() -> None:
    said = on_machine("cat /run/scenario-said")
    assert "cache was not made from /opt/stacks/cache/compose.yml as they are" in said
    assert "Nothing was changed." in said
    assert "docker compose --project-name cache" in said


def test_it_runs_as_it_did() -> None:
    assert verdicts()["redis:cache"] == "DRIFTED"
    assert on_machine("docker exec cache redis-cli config get appendonly; docker exec cache ls /data").split() == ["appendonly", "no", "dump.rdb"]
    assert "command: [redis-server, --dir, /data]   # plain" in on_machine("cat /opt/stacks/cache/compose.yml")
