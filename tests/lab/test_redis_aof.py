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

# One stack with a Redis for each way in which one is configured; none of them is durable.
_STACK = """# caches of the shop
name: caches
services:
  bound:   # its file is bound into it
    image: lab/services:1
    container_name: bound
    command: [redis-server, /etc/cache.conf]
    volumes: ["/opt/stacks/caches/bound.conf:/etc/cache.conf", "bound:/data"]
    ports: ["127.0.0.1:7001:6379"]
  login:
    image: lab/services:1
    container_name: login
    # no file at all
    command:
      - redis-server
      - --dir   # its data
      - /data
      - --user
      - default
      - "off"
      - --user
      - ops
      - "on"
      - ">${OPS_PASSWORD}"
      - "~*"
      - "&*"
      - +@all   # all
    volumes: [login:/data]
    ports: ["127.0.0.1:7002:6379"]
  layer:
    image: lab/services:1
    container_name: layer
    command: redis-server /etc/redis/redis.conf --daemonize no --bind 0.0.0.0 --logfile /dev/null --dir /data --protected-mode no --save "900 1"
    volumes: [layer:/data]
    ports: ["127.0.0.1:7003:6379"]
  lately:
    image: lab/services:1
    container_name: lately
    command: [redis-server, --dir, /data, --protected-mode, "no", --save, ""]
    volumes: [lately:/data]
    ports: ["127.0.0.1:7004:6379"]
  follower:
    image: lab/services:1
    container_name: follower
    command: [redis-server, --dir, /data, --replicaof, lately, "6379", --protected-mode, "no"]
    volumes: [follower:/data]
  shell:
    image: lab/services:1
    container_name: shell
    command: sh -c 'exec redis-server --dir /data --appendonly no'
    volumes: [shell:/data]
volumes: {bound: {}, login: {}, layer: {}, lately: {}, follower: {}, shell: {}}
"""
_CONF = """# the cache of the shop
port 6379
bind 0.0.0.0
protected-mode no
requirepass of-the-file
dir /data
save 900 1
# appendonly no
"""
_IMAGE = "lab/services:1"
_DURABLE = "{appendonly: true, appendfsync: everysec}"
_POLICY = f"""
      bound: {{kind: redis, data: /data, volume: caches_bound, durability: {{appendonly: true, appendfsync: everysec, save: "3600 1"}}}}
      login: {{kind: redis, data: /data, volume: caches_login, auth: {{user: ops, password_env: OPS_PASSWORD}}, durability: {_DURABLE}}}
      layer: {{kind: redis, data: /data, volume: caches_layer, durability: {_DURABLE}}}
      lately: {{kind: redis, data: /data, volume: caches_lately, durability: {_DURABLE}}}
      follower: {{kind: redis, data: /data, volume: caches_follower, durability: {_DURABLE}}}
      shell: {{kind: redis, data: /data, volume: caches_shell, durability: {_DURABLE}}}
      lonely: {{kind: redis, data: /data, volume: lonely, durability: {_DURABLE}}}
"""
_PASSWORD = "known-to-the-controller-alone"

REDIS = "mint-modules-redis"
COMPOSE = "/opt/stacks/mint-data/compose.yml"
ONLY = ("--capability", "redis.durability")


# 7.0 is what test_whole_move.py makes durable.
@pytest.mark.parametrize("version", [pytest.param("7.0", marks=pytest.mark.long), "8.0"])
def test_a_redis_that_compose_made_is_made_durable_under_writes_and_taken_back_without_losing_a_key(
    machine: Callable[..., LabMachine], tmp_path: Path, version: str
) -> None:
    host = machine(services=True)
    host.lab.seed(host.name)
    if version == "8.0":
        image = host.lab.newer_services(host.name)
        host.sh(f"""sed -i '/"redis": {{/,$ s#lab/services:1"#{image}"#' {COMPOSE} && docker compose -f {COMPOSE} up -d redis""")
    site = Operator(host, tmp_path, redis="{appendonly: true, appendfsync: always}")
    client = RedisClient(host)
    assert f"redis_version:{version}." in client.ask(("INFO", "server"))[0]
    client.fill(100_000)
    assert set(client.expiring().values()) == {True}, client.expiring()
    before = host.sh(f"cat {COMPOSE}")
    client.start_writing()
    plan = site.plan("plan.json", *ONLY)
    [step] = plan["steps"]
    assert [change["kind"] for change in step["changes"]] == ["rename", "setting", "setting", "file", "recreate"]
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
    assert keys["lost"] == 0
    assert keys["equal"] >= 100_000
    assert set(client.expiring().values()) == {True}, client.expiring()
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
    assert set(client.expiring().values()) == {True}, client.expiring()
    site.assert_receipts_hold()


@pytest.mark.parametrize("version", ["7.0", pytest.param("8.0", marks=pytest.mark.long)])
def test_each_way_in_which_a_redis_is_configured_is_persisted_where_it_is_read_and_what_cannot_be_is_refused_with_the_way_out(
    machine: Callable[..., LabMachine], tmp_path: Path, version: str
) -> None:
    host = machine(services=True)
    image = host.lab.newer_services(host.name) if version == "8.0" else _IMAGE
    host.run(["mkdir", "-p", "/opt/stacks/caches"])
    host.run(["tee", "/opt/stacks/caches/compose.yml"], stdin=_STACK.replace(_IMAGE, image).encode())
    host.run(["tee", "/opt/stacks/caches/bound.conf"], stdin=_CONF.encode())
    host.sh("chmod 644 /opt/stacks/caches/bound.conf")
    host.sh(f"printf 'OPS_PASSWORD={_PASSWORD}\n' > /opt/stacks/caches/.env && cd /opt/stacks/caches && docker compose up -d --wait")
    host.sh(f"docker run -d --name lonely -v lonely:/data {image} redis-server --dir /data")
    site = Operator(host, tmp_path)
    policy = site.site / "policy.yml"
    head, found, _ = policy.read_text().partition("    services:\n")
    assert found
    policy.write_text(f"{head}    services:{_POLICY}")
    clients = {
        "bound": RedisClient(host, port=7001, auth=("of-the-file",)),
        "login": RedisClient(host, port=7002, auth=("ops", _PASSWORD)),
        "layer": RedisClient(host, port=7003),
        "lately": RedisClient(host, port=7004),
    }
    for client in clients.values():
        assert f"redis_version:{version}." in client.ask(("INFO", "server"))[0]
        client.fill(600)
    # A file of an earlier life in one; another runs so already and would forget it.
    layer = "docker exec layer redis-cli"
    host.sh(f"{layer} config set appendonly yes && sleep 1 && {layer} config set appendonly no && {layer} set later value")
    host.sh("docker exec lately redis-cli config set appendonly yes")
    site.env["OPS_PASSWORD"] = _PASSWORD
    before = {name: host.sh(f"cat /opt/stacks/caches/{name}") for name in ("compose.yml", "bound.conf")}

    plan = site.plan("plan.json", *ONLY)
    told = {step["variables"]["redis_aof_container"]: [change["kind"] for change in step["changes"]] for step in plan["steps"]}
    assert told == {
        "bound": ["rename", "setting", "setting", "file"],
        "layer": ["rename", "setting", "file", "recreate"],
        "lately": ["file", "recreate"],
        "login": ["rename", "setting", "file", "recreate"],
    }
    refused = {one["reason"].split(":")[0]: one["reason"] for one in plan["refusals"]}
    assert "it is a replica, whose data comes from its master" in refused["follower"]
    assert "Compose did not make it" in refused["lonely"]
    assert "its command is a shell's" in refused["shell"]
    assert all("redis-cli config set appendonly yes" in refused[name] for name in ("lonely", "shell"))

    result = site.applied()
    assert result["changed"] == planned(plan)
    for name, client in clients.items():
        settings = client.settings("appendonly", "appendfsync")
        assert settings == {"appendonly": "yes", "appendfsync": "everysec"}, name
        assert client.ask(("DBSIZE",)) == [601 if name == "layer" else 600], name
    # Every other byte of both files is as it was.
    conf = host.sh("cat /opt/stacks/caches/bound.conf")
    assert conf == before["bound.conf"].replace("save 900 1", "save 3600 1") + "appendonly yes\n"
    text = host.sh("cat /opt/stacks/caches/compose.yml")
    settings = "--appendonly yes"
    assert text == (
        before["compose.yml"]
        .replace(
            "      - +@all   # all\n",
            '      - +@all   # all\n      - "--appendonly"\n      - "yes"\n',
        )
        .replace("command: redis-server /etc/redis/redis.conf", 'command: "redis-server /etc/redis/redis.conf')
        .replace('--save "900 1"', f'--save \\"900 1\\" {settings}"')
        .replace('--save, ""]', '--save, "", "--appendonly", "yes"]')
    )
    assert "later" in host.sh(f"{layer} keys later")
    assert host.sh("docker exec layer sh -c 'ls -d /data/appendonlydir.CAP-*'").strip()
    up = "docker exec follower redis-cli info replication | grep -q link_status:up"
    host.sh(f"for try in $(seq 50); do {up} && exit; sleep 0.2; done; exit 1")
    # Twice: as they run, and as they start by themselves.
    host.sh("docker restart bound login layer lately")
    said = site.run("audit", "-o", "json", timeout=200)
    found = {f["surface"]: (f["verdict"], f["reason"]) for f in said.json["findings"] if f["surface"].startswith("redis:")}
    assert [found[f"redis:{name}"][0] for name in clients] == ["MET"] * 4, found
    for name, client in clients.items():
        assert client.ask(("DBSIZE",)) == [601 if name == "layer" else 600], name
    told = "\n".join(path.read_text() for path in (site.site / "state").rglob("*.json"))
    assert _PASSWORD not in told
    assert "of-the-file" not in told
    assert host.run(["grep", "-r", _PASSWORD, "/var/lib/controlplane"]).stdout == ""
