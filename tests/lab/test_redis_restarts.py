"""A Redis with an append-only file among what a move stops: refused where a start would lose its keys, whole where it writes and rewrites meanwhile.

What counts as lost is what a client outside of the container has in its journal of acknowledged writes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, planned
from tests.lab.redis_load import RedisClient

pytestmark = [pytest.mark.lab, pytest.mark.slow]

REDIS = "mint-modules-redis"
OFF = "AOF is off while it runs and on at its next start"
_REWRITING = f"while :; do docker exec {REDIS} redis-cli bgrewriteaof; sleep 0.4; done"
_CHECK = "redis-check-aof /data/appendonlydir/appendonly.aof.manifest"


@pytest.fixture
def durable(machine: Callable[..., LabMachine], tmp_path: Path) -> tuple[LabMachine, Operator, RedisClient]:
    """Return a machine whose Redis keeps an append-only file and 20,000 keys, its site, and a client of it."""
    host = machine(services=True)
    host.lab.seed(host.name, redis_aof=True, rows=200, keys=20, objects=2)
    client = RedisClient(host)
    client.fill(20_000)
    return host, Operator(host, tmp_path, redis="{appendonly: true, appendfsync: everysec}", paths=True), client


def test_nothing_stops_a_redis_that_would_start_empty(durable: tuple[LabMachine, Operator, RedisClient]) -> None:
    host, site, client = durable
    keys = client.ask(("DBSIZE",))
    site.plan("before.json")
    client.ask(("CONFIG", "SET", "appendonly", "no"))
    started = host.sh(f"docker inspect -f '{{{{.State.StartedAt}}}}' {REDIS}")

    plan = site.plan("refused.json")
    assert {step["capability"] for step in plan["steps"]} & {"docker.data_root"} == set()
    assert REDIS not in {name for step in plan["steps"] for name in step["downtime"]["services"]}
    assert any(OFF in refusal["reason"] for refusal in plan["refusals"] if refusal["capability"] == "docker.data_root"), plan["refusals"]
    stale = site.apply("before.json")
    assert (stale.code, "Nothing was changed." in stale.err) == (4, True), stale
    rebooted = site.run("verify", "--after-reboot")
    assert rebooted.code == 4, rebooted
    assert OFF in rebooted.err
    assert "Nothing was rebooted." in rebooted.err
    tool = host.sh("ls -d /var/lib/controlplane/*/ 2>/dev/null || true")
    assert tool.strip() == ""
    assert client.ask(("DBSIZE",)) == keys
    assert host.sh(f"docker inspect -f '{{{{.State.StartedAt}}}}' {REDIS}") == started


@pytest.mark.long
def test_an_append_only_file_comes_through_every_move(durable: tuple[LabMachine, Operator, RedisClient]) -> None:
    host, site, client = durable
    host.run(["systemd-run", "--quiet", "--unit=rewriting", "sh", "-c", _REWRITING])
    client.start_writing()
    plan = site.plan()
    capabilities = [step["capability"] for step in plan["steps"]]
    assert capabilities.index("docker.data_root") < capabilities.index("storage.persistent_paths")
    result = site.applied()
    assert result["changed"] == planned(plan)
    assert client.lost()["count"] == 0
    back = site.run("rollback", result["run"], "-o", "json")
    assert (back.code, back.json["outcome"]) == (0, "rolled-back"), back
    client.stop_writing()
    host.run(["systemctl", "stop", "rewriting"])
    told = client.lost()
    assert (told["count"], told["written"] > 1000) == (0, True), told
    assert client.settings("appendonly") == {"appendonly": "yes"}
    assert "is valid" in host.sh(f"docker exec {REDIS} {_CHECK}")
