"""redis.durability on a real Redis that serves writes all the time: turned on live, persisted, proven key by key, and taken back.

What counts as lost is what a client outside of the container has in its journal of acknowledged writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, planned, verdicts
from tests.lab.redis_load import RedisClient

pytestmark = [pytest.mark.lab, pytest.mark.slow]

REDIS = "mint-modules-redis"
COMPOSE = "/opt/stacks/mint-data/compose.yml"
ONLY = ("--capability", "redis.durability")


def test_a_redis_that_compose_made_is_made_durable_under_writes_and_taken_back_without_losing_a_key(
    machine: Callable[..., LabMachine], tmp_path: Path
) -> None:
    host = machine(services=True)
    host.lab.seed(host.name)
    site = Operator(host, tmp_path, redis="{appendonly: true, appendfsync: always}")
    client = RedisClient(host)
    client.fill(100_000)
    before = host.sh(f"cat {COMPOSE}")
    client.start_writing()
    plan = site.plan("plan.json", *ONLY)
    [step] = plan["steps"]
    assert [change["kind"] for change in step["changes"]] == ["setting", "file", "recreate"]
    assert step["downtime"]["services"] == [REDIS]
    assert host.sh(f"cat {COMPOSE}") == before
    assert client.settings("appendonly") == {"appendonly": "no"}

    result = site.applied()
    client.stop_writing()
    assert result["changed"] == planned(plan)
    assert verdicts(result["verify"], plan) == {"MET"}
    assert client.settings("appendonly", "appendfsync") == {"appendonly": "yes", "appendfsync": "always"}
    told = client.lost()
    assert told["count"] == 0, told
    assert told["written"] > 1000
    after = json.loads(host.sh(f"cat {COMPOSE}"))
    assert after["services"]["redis"]["command"] == ["serve-redis", "--save", "3600 1", "--appendonly", "yes", "--appendfsync", "always"]
    [receipt] = [row for row in site.receipts() if row["capability"] == "redis.durability" and row["phase"] == "result"]
    assert receipt["told"]["before"]["appendonly"] == "no"
    assert receipt["told"]["after"]["appendonly"] == "yes"
    keys = receipt["told"]["keys"]
    assert keys["lost"] == []
    assert keys["equal"] >= 100_000
    assert 0 < receipt["downtime_s"][REDIS] <= step["downtime"]["estimate_s"]
    again = site.applied()
    assert again["changed"] == []

    client.start_writing()
    undone = site.run("rollback", receipt["key"], "-o", "json")
    client.stop_writing()
    assert undone.code == 0, undone
    assert host.sh(f"cat {COMPOSE}") == before
    assert client.settings("appendonly", "save") == {"appendonly": "no", "save": "3600 1"}
    assert client.lost()["count"] == 0
    assert client.ask(("DBSIZE",))[0] >= 100_000
    site.assert_receipts_hold()
