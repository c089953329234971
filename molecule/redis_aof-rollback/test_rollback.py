"""The way back turns it off without losing a key, puts the file back, and leaves nothing that would be loaded later."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_it_runs_and_is_configured_as_before() -> None:
    assert verdicts()["redis:cache"] == "DRIFTED"
    assert "command: [redis-server, --dir, /data]   # plain" in on_machine("cat /opt/stacks/cache/compose.yml")
    assert on_machine("docker exec cache redis-cli config get appendonly").split() == ["appendonly", "no"]


def test_every_key_is_there_and_in_the_dump() -> None:
    assert on_machine("docker exec cache redis-cli mget one two three").split() == ["1", "2", "3"]
    on_machine("kill -KILL $(docker inspect -f '{{.State.Pid}}' cache); docker wait cache; docker start cache")
    answering = "for try in $(seq 50); do docker exec cache redis-cli ping 2>/dev/null && break; sleep 0.2; done"
    assert on_machine(f"{answering}; docker exec cache redis-cli mget one two three").split() == ["PONG", "1", "2", "3"]


def test_the_append_only_files_have_another_name() -> None:
    names = on_machine("docker exec cache ls /data").split()
    assert "appendonlydir" not in names
    assert [name.partition("-CAP-")[0] for name in names if name.startswith("appendonlydir.")] == ["appendonlydir.undone"]
