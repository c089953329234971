"""Redis writes an append-only file, and does so after every start, with the keys that it had."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_it_is_durable_as_it_runs_and_as_it_is_configured() -> None:
    assert verdicts()["redis:cache"] == "MET"
    assert """command: [redis-server, --dir, /data, "--appendonly", "yes", "--appendfsync", "always"]   # plain""" in on_machine(
        "cat /opt/stacks/cache/compose.yml"
    )


def test_every_key_is_there_also_after_a_kill() -> None:
    on_machine(
        "docker exec cache redis-cli set four 4; kill -KILL $(docker inspect -f '{{.State.Pid}}' cache); docker wait cache; docker start cache"
    )
    answering = "for try in $(seq 50); do docker exec cache redis-cli ping 2>/dev/null && break; sleep 0.2; done"
    assert on_machine(f"{answering}; docker exec cache redis-cli mget one two three four").split() == ["PONG", "1", "2", "3", "4"]


def test_the_dump_that_was_kept_aside_is_gone() -> None:
    assert on_machine("docker exec cache ls /data").split() == ["appendonlydir", "dump.rdb"]
