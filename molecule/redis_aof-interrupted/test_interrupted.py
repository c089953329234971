"""A run whose power went when there was no container any more brings it up with all its keys."""

import json
import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts

JOURNAL = "/var/lib/controlplane/CAP-20260101-000000__redis.durability__R0001/state.json"


def test_it_is_durable_with_the_keys_that_it_had() -> None:
    assert verdicts()["redis:cache"] == "MET"
    assert on_machine("docker exec cache redis-cli mget one two three").split() == ["1", "2", "3"]
    assert """command: [redis-server, --dir, /data, "--appendonly", "yes", "--appendfsync", "always"]   # plain""" in on_machine(
        "cat /opt/stacks/cache/compose.yml"
    )


def test_the_run_is_closed() -> None:
    assert json.loads(on_machine(f"cat {JOURNAL}"))["phase"] == "done"
