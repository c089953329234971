"""redis.durability where the disk is full, or Docker goes away, between two of its steps: it says so, and no key is lost on any way out.

What counts as lost is what a client outside of the container has in its journal of acknowledged writes, or had written before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, Target
from tests.lab.redis_load import RedisClient
from tests.lab.test_redis_aof import COMPOSE, ONLY, REDIS

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.long]

KEYS = 20_000
_STACK = """name: full
services:
  full:
    image: lab/services:1
    container_name: full
    command: [redis-server, --dir, /data, --protected-mode, "no"]
    volumes: ["/mnt/data/full:/data"]
    ports: ["127.0.0.1:7005:6379"]
"""
_POLICY = """
      full: {kind: redis, data: /data, place: /mnt/data/full, durability: {appendonly: true, appendfsync: always}}
"""
# Root's reserve is what a server in a container would write into.
_DISK = "mkfs.ext4 -q -m 0 {device} 256m && mkdir -p /mnt/data && mount {device} /mnt/data && mkdir /mnt/data/full"
_FILL = (
    "fallocate -l $(( $(stat -f -c %a /mnt/data) * $(stat -f -c %S /mnt/data) )) /mnt/data/filler.1; "
    "dd if=/dev/zero of=/mnt/data/filler.2 bs=1M; dd if=/dev/zero of=/mnt/data/filler.3 bs=4k; "
)
_ROOM = "rm -f /mnt/data/filler.*"


def strike(host: LabMachine, phase: str, script: str) -> None:
    """Let the machine itself run a script as soon as a run's journal stands at `phase`: whoever asks from outside comes late."""
    wait = f'until grep -qs \'"phase": "{phase}"\' /var/lib/controlplane/*/state.json; do sleep 0.02; done'
    host.sh("rm -f /run/struck")
    host.run(["systemd-run", "--quiet", "--collect", "--unit=strike", "sh", "-c", f"{wait}; {script} touch /run/struck"])


def assert_struck(host: LabMachine) -> None:
    host.sh("for try in $(seq 300); do test -e /run/struck && exit; sleep 0.2; done; exit 1")


def await_answer(host: LabMachine, name: str) -> None:
    host.sh(f"for try in $(seq 300); do docker exec {name} redis-cli ping 2>/dev/null | grep -q PONG && exit; sleep 0.2; done; exit 1")


def go_on(site: Operator) -> None:
    """Make a new plan where the last run failed, and carry it out where it has anything to do."""
    if site.rows()[-1]["state"] == "failed":
        made = site.run("plan", "--out", str(site.file("again.json")), "-o", "json", *ONLY)
        assert made.code in (0, 3), made
        if made.code == 3:
            site.applied("again.json")


def last_run(site: Operator) -> str:
    return str([row["key"] for row in site.receipts() if row["capability"] == "redis.durability"][-1])


@pytest.fixture
def full(machine: Callable[..., LabMachine], tmp_path: Path) -> tuple[LabMachine, Operator, RedisClient]:
    """Return a machine whose one Redis keeps its data on a small disk of its own, which nothing fills yet."""
    host = machine(services=True)
    host.sh(_DISK.format(device=host.data_device))
    host.run(["mkdir", "-p", "/opt/stacks/full"])
    host.run(["tee", "/opt/stacks/full/compose.yml"], stdin=_STACK.encode())
    host.sh("cd /opt/stacks/full && docker compose up -d")
    site, client = Operator(host, tmp_path), RedisClient(host, port=7005)
    policy = site.site / "policy.yml"
    head, found, _ = policy.read_text().partition("    services:\n")
    assert found
    policy.write_text(f"{head}    services:{_POLICY}")
    await_answer(host, "full")
    client.fill(KEYS)
    return host, site, client


def assert_whole(client: RedisClient) -> None:
    assert client.ask(("DBSIZE",)) == [KEYS]
    assert client.ask(("EXISTS", "k:0", "k:1", "k:2", "k:3", "k:4", "k:5", f"k:{KEYS - 1}")) == [7]
    assert client.ask(("XPENDING", "k:5", "readers"))[0][0] == 1


def test_a_disk_that_is_full_when_it_is_turned_on_leaves_it_as_it_was(full: tuple[LabMachine, Operator, RedisClient]) -> None:
    host, site, client = full
    before = host.sh("cat /opt/stacks/full/compose.yml; docker inspect -f '{{.Id}}' full")
    site.plan("plan.json", *ONLY)
    strike(host, "prepared", _FILL)
    said = site.apply()
    assert_struck(host)
    assert said.code == 1, said
    assert "AOF" in said.err, said.err
    assert site.rows()[-1]["state"] == "failed"
    assert_whole(client)
    assert client.settings("appendonly") == {"appendonly": "no"}
    # The way back needs no room of that disk.
    back = site.run("rollback", last_run(site), "-o", "json")
    assert back.code == 0, back
    assert client.settings("appendonly", "appendfsync") == {"appendonly": "no", "appendfsync": "everysec"}
    assert host.sh("cat /opt/stacks/full/compose.yml; docker inspect -f '{{.Id}}' full") == before
    assert_whole(client)

    host.sh(_ROOM)
    site.plan("plan.json", *ONLY)
    site.applied()
    assert client.settings("appendonly", "appendfsync") == {"appendonly": "yes", "appendfsync": "always"}
    assert_whole(client)
    site.assert_receipts_hold()


def test_a_disk_that_fills_up_before_the_container_is_made_anew_costs_no_key(full: tuple[LabMachine, Operator, RedisClient]) -> None:
    host, site, client = full
    text = host.sh("cat /opt/stacks/full/compose.yml")
    site.plan("plan.json", *ONLY)
    # Told to end a server saves its dump first, which it can't: it is killed in the end, and only the append-only file has all.
    strike(host, "on", _FILL)
    said = site.apply()
    assert_struck(host)
    assert said.code in (0, 1), said
    host.sh(f"{_ROOM}; docker start full")
    await_answer(host, "full")
    assert_whole(client)
    go_on(site)
    assert client.settings("appendonly", "appendfsync") == {"appendonly": "yes", "appendfsync": "always"}
    assert client.ask(("SET", "late", "1"), ("DEL", "late")) == ["OK", 1]
    assert_whole(client)

    back = site.run("rollback", last_run(site), "-o", "json")
    assert back.code == 0, back
    assert host.sh("cat /opt/stacks/full/compose.yml") == text
    assert client.settings("appendonly") == {"appendonly": "no"}
    assert_whole(client)
    host.sh("docker restart full")
    await_answer(host, "full")
    assert_whole(client)
    site.assert_receipts_hold()


@pytest.mark.parametrize("phase", ["on", "making-anew"])
def test_a_docker_that_is_restarted_meanwhile_costs_no_write(machine: Callable[..., LabMachine], tmp_path: Path, phase: str) -> None:
    host = machine(services=True)
    host.lab.seed(host.name, rows=200, keys=20, objects=2)
    site, client = Operator(host, tmp_path, redis="{appendonly: true, appendfsync: always}"), RedisClient(host)
    client.fill(KEYS)
    site.plan("plan.json", *ONLY)
    client.start_writing()
    strike(host, phase, "systemctl restart docker;")
    said = site.apply()
    assert_struck(host)
    assert said.code in (0, 1), said
    # As the message of a run that failed says. Between two names of the same container there is none to start.
    up = f"docker start {REDIS} || docker compose -f {COMPOSE} up -d redis"
    host.sh(f"docker info >/dev/null; for try in $(seq 50); do {{ {up}; }} && exit; sleep 0.4; done; exit 1")
    await_answer(host, REDIS)
    go_on(site)
    await_answer(host, REDIS)
    client.stop_writing()
    told = client.lost()
    assert (told["count"], told["written"] > 100) == (0, True), (said, told)
    assert client.ask(("DBSIZE",))[0] >= KEYS
    assert client.settings("appendonly", "appendfsync") == {"appendonly": "yes", "appendfsync": "always"}
    # It starts so by itself, with all of it.
    host.sh(f"kill -KILL $(docker inspect -f '{{{{.State.Pid}}}}' {REDIS})")
    await_answer(host, REDIS)
    assert client.settings("appendonly") == {"appendonly": "yes"}
    assert client.lost()["count"] == 0
    site.assert_receipts_hold()


def test_a_docker_that_somebody_stopped_stays_so_and_brings_it_up_with_its_file_later(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    host = machine(services=True)
    host.lab.seed(host.name, rows=200, keys=20, objects=2)
    site, client = Operator(host, tmp_path, redis="{appendonly: true, appendfsync: always}"), RedisClient(host)
    client.fill(KEYS)
    site.plan("plan.json", *ONLY)
    client.start_writing()
    running = site.start("apply", str(site.file("plan.json")), "-o", "json")
    Target(host).wait_for_phase("on", "making-anew", running=running)
    running.kill()
    # Of the run nothing is left but the host's own unit; its socket would start Docker for whoever asks.
    host.sh("pkill -KILL -f '[r]edis (turn-on|persist|prove)' || true; systemctl stop docker.service")
    time.sleep(20)
    assert host.sh("systemctl is-active docker.service docker.socket || true").split() == ["inactive", "active"]
    host.sh("systemctl start docker.service")
    await_answer(host, REDIS)
    client.stop_writing()
    told = client.lost()
    assert (told["count"], told["written"] > 100) == (0, True), told
    assert site.applied()["outcome"] == "done"
    assert client.settings("appendonly", "appendfsync") == {"appendonly": "yes", "appendfsync": "always"}
    assert client.lost()["count"] == 0
    site.assert_receipts_hold()
