"""redis.durability, killed: the controller, the container or the machine, at each phase of the run; the same plan goes on to its end.

Clients write all the time. Until the first append-only file is whole its writes are as durable as before the step: what a killed container or machine
may lose is what no dump held. From then on nothing that was acknowledged is lost (`always`), or nothing older than two seconds (`everysec`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, Running, Target
from tests.lab.redis_load import RedisClient
from tests.lab.test_redis_aof import ONLY, REDIS

pytestmark = [pytest.mark.lab, pytest.mark.slow]

PHASES = ["prepared", "turning-on", "on", "making-anew", "done"]
_KILL_CONTAINER = f"kill -KILL $(docker inspect -f '{{{{.State.Pid}}}}' {REDIS})"


# What tells why it stays down, in the words of those who were to bring it up.
_WHY = (
    f"docker ps -a; docker inspect -f '{{{{json .State}}}} {{{{json .HostConfig.RestartPolicy}}}}' {REDIS}; docker logs --tail 20 {REDIS}; "
    "journalctl --no-pager -n 60 -u 'controlplane-*'; cat /var/lib/controlplane/*/state.json"
)


# A power cut may leave zeros behind the last sync, which Redis does not load; what docs/redis-durability.md tells a person to do then.
_MEND = (
    f"if docker logs --tail 3 {REDIS} 2>&1 | grep -q 'Bad file format'; then docker stop {REDIS}; "
    f"(yes || :) | docker run --rm --interactive --volumes-from {REDIS} --entrypoint redis-check-aof $(docker inspect -f '{{{{.Image}}}}' {REDIS}) "
    f"--fix /data/appendonlydir/appendonly.aof.manifest; docker start {REDIS}; fi"
)


def await_redis(host: LabMachine, *, cut: bool = False) -> None:
    """Wait until it answers; after a power `cut`, by the file that it can load."""
    asked = f"docker exec {REDIS} redis-cli ping 2>/dev/null | grep -q PONG"
    tried = f"{asked} && exit; {_MEND if cut else ':'}; sleep 0.2"
    host.sh(f"for try in $(seq 300); do {tried}; done; {{ {_WHY}; }} 2>&1 || true; exit 1")


def is_whole(host: LabMachine) -> bool:
    """Say whether the append-only file is on disk, from outside: Redis itself says ok before."""
    mounts = f"docker inspect -f '{{{{range .Mounts}}}}{{{{.Source}}}} {{{{end}}}}' {REDIS}"
    found = f"for at in $({mounts}); do [ ! -s $at/appendonlydir/appendonly.aof.manifest ] || exit 0; done; exit 1"
    return host.run(["sh", "-c", found]).returncode == 0


def clock_of(host: LabMachine) -> float:
    return float(host.sh("date +%s.%N"))


def late(told: dict[str, Any], synced: str, killed_at: float, *, who: str) -> list[Any]:
    """Return which of the acknowledged writes that are gone were to be there, told by name up to twenty.

    A cut that a lab machine gets is its filesystems' shutdown, and an fsync that meets that in its journal's last commit may return well: it was not
    on disk, and no machine without power would have said so. That is the last write, and none of before the cut was asked for.
    """
    if synced == "everysec":
        return [row for row in told["lost"] if row[1] < killed_at - 2]
    met_the_cut = who == "machine" and told["count"] == 1 and told["lost"][0][0] == told["written"] - 1 and told["lost"][0][1] > killed_at
    return [] if met_the_cut else told["lost"]


def clear(client: RedisClient) -> None:
    """Let the next writer, who begins with the same names, find none of them."""
    client.ask(("EVAL", "for _, key in ipairs(redis.call('KEYS', 'w:*')) do redis.call('DEL', key) end", "0"))


def kill(who: str, host: LabMachine, running: Running) -> None:
    if who == "controller":
        running.kill()
        return
    if who == "machine":
        host.cut()
        running.end(timeout=300)
        host.up()
        host.sh("systemctl is-system-running --wait >/dev/null || true; docker info >/dev/null")
    else:
        # Where it is just made anew there may be none to kill.
        host.run(["sh", "-c", _KILL_CONTAINER])
        running.end(timeout=300)


@pytest.mark.parametrize(
    ("who", "synced", "first"),
    [
        pytest.param("controller", "always", "prepared", marks=pytest.mark.long),
        # From `turning-on` on a run comes to its end for all that its container is killed: each later phase has a machine of its own.
        pytest.param("container", "everysec", "prepared", marks=pytest.mark.long),
        ("container", "everysec", "on"),
        pytest.param("container", "always", "on", marks=pytest.mark.long),
        pytest.param("container", "always", "making-anew", marks=pytest.mark.long),
        ("machine", "always", "prepared"),
        pytest.param("machine", "everysec", "prepared", marks=pytest.mark.long),
    ],
)
def test_whoever_is_killed_between_two_steps_the_same_plan_goes_on_and_nothing_is_lost_once_the_file_is_whole(
    machine: Callable[..., LabMachine], tmp_path: Path, who: str, synced: str, first: str
) -> None:
    host = machine(services=True)
    host.lab.seed(host.name)
    site, client, target = Operator(host, tmp_path, redis=f"{{appendonly: true, appendfsync: {synced}}}"), RedisClient(host), Target(host)
    client.fill(20_000)
    client.ask(("SAVE",))
    if who == "controller":
        client.start_writing()
    site.plan("plan.json", *ONLY)
    between: list[str] = []
    hit: list[str] = []
    whole: list[bool] = []
    over = set(target.phases())
    for phase in PHASES[PHASES.index(first) :]:
        if site.rows() and site.rows()[-1]["state"] == "failed":
            # A verb that outlived what it worked on has closed its run: a new plan goes on, and the old journal stands for ever where it stands.
            site.plan("plan.json", *ONLY)
            over = set(target.phases())
        outside = tmp_path / f"acknowledged-{phase}"
        # What a machine keeps of its own writer a power cut takes along.
        with client.writing_outside(outside) if who != "controller" else nullcontext():
            running = site.start("apply", str(site.file("plan.json")), "-o", "json")
            reached = target.wait_for_phase(*PHASES[PHASES.index(phase) :], running=running, besides=over)
            was_whole, killed_at = is_whole(host), clock_of(host)
            kill(who, host, running)
        hit.append(reached)
        whole.append(was_whole)
        if who == "machine":
            # Nothing brings a run back from where the power found it, and the host itself may have ended it since.
            stands = [PHASES.index(at) for key, at in target.phases().items() if key not in over]
            assert stands, hit
            assert max(stands) >= PHASES.index(reached), (hit, target.phases())
        if who != "controller":
            # What the server that came back acknowledges, and writes into its dump, is newer than any append-only file of its life before.
            await_redis(host, cut=who == "machine")
            client.take_in(outside)
            told = client.lost()
            assert told["written"] > 0
            assert not was_whole or late(told, synced, killed_at, who=who) == [], (reached, killed_at, told)
            clear(client)
            assert client.ask(("SET", f"between:{phase}", "1"), ("SAVE",)) == ["OK", "OK"]
            between.append(f"between:{phase}")
        if reached == "done":
            break
    # Both last for longer than a look from outside takes: with neither hit, all of them came late. A run whose container or machine is killed as it
    # turns the file on may be brought to its end by the host.
    assert {"on", "making-anew"} & set(hit) or (who != "controller" and first == "prepared"), hit
    assert any(whole), (hit, whole)
    if site.rows()[-1]["state"] == "failed":
        site.plan("plan.json", *ONLY)
    result = site.applied()
    assert result["outcome"] == "done"
    await_redis(host)
    assert client.settings("appendonly", "appendfsync") == {"appendonly": "yes", "appendfsync": synced}
    if who == "controller":
        client.stop_writing()
        assert client.lost()["count"] == 0
    assert client.ask(("DBSIZE",))[0] >= 20_000
    assert client.ask(("EXISTS", *between, "k:0")) == [len(between) + 1]
    assert site.applied()["changed"] == []
    assert {row["state"] for row in site.rows()} <= {"done", "failed"}
    assert site.rows()[-1]["state"] == "done"
    site.assert_receipts_hold()

    # It is durable now: killed under writes, it comes back with all that it acknowledged.
    host.sh("rm -f /root/acknowledged")
    client.start_writing()
    time.sleep(3)
    host.sh(_KILL_CONTAINER)
    await_redis(host)
    client.stop_writing()
    told = client.lost()
    assert told["written"] > 100
    # What is synced once a second may lack what was acknowledged just before the kill, and nothing older.
    oldest = told["last"] - 2 if synced == "everysec" else told["last"]
    assert [row for row in told["lost"] if row[1] < oldest] == [], told
    assert synced == "everysec" or told["count"] == 0, told


@pytest.mark.parametrize("who", ["container", pytest.param("machine", marks=pytest.mark.long)])
def test_what_is_killed_after_its_controller_the_host_brings_up_with_all_that_was_acknowledged(
    machine: Callable[..., LabMachine], tmp_path: Path, who: str
) -> None:
    host = machine(services=True)
    host.lab.seed(host.name)
    site, client, target = Operator(host, tmp_path, redis="{appendonly: true, appendfsync: always}"), RedisClient(host), Target(host)
    client.fill(20_000)
    client.ask(("SAVE",))
    site.plan("plan.json", *ONLY)
    outside = tmp_path / "acknowledged"
    with client.writing_outside(outside):
        running = site.start("apply", str(site.file("plan.json")), "-o", "json")
        target.wait_for_phase("on", "making-anew", running=running)
        assert is_whole(host)
        running.kill()
        if who == "machine":
            host.cut()
        else:
            host.run(["sh", "-c", _KILL_CONTAINER])
            # Nobody but the host's own unit is there.
            await_redis(host)
    if who == "machine":
        host.up()
        host.sh("systemctl is-system-running --wait >/dev/null || true; docker info >/dev/null")
        await_redis(host, cut=True)
    client.take_in(outside)
    told = client.lost()
    assert (told["count"], told["written"] > 100) == (0, True), told
    assert client.settings("appendonly", "appendfsync") == {"appendonly": "yes", "appendfsync": "always"}
    assert site.applied()["outcome"] == "done"
    assert host.sh(f"docker inspect -f '{{{{.HostConfig.RestartPolicy.Name}}}}' {REDIS}").strip() != "no"
    assert host.sh("ls /etc/systemd/system | grep controlplane-settle || true") == ""
    assert client.lost()["count"] == 0
    site.assert_receipts_hold()


@pytest.mark.long
def test_a_power_cut_while_compose_has_both_containers_is_gone_on_with(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    host = machine(services=True)
    host.lab.seed(host.name, rows=200, keys=20, objects=2)
    site, client = Operator(host, tmp_path, redis="{appendonly: true, appendfsync: always}"), RedisClient(host)
    client.fill(20_000)
    client.ask(("SAVE",))
    # What is in no dump yet it writes before it ends, and that takes its time.
    client.ask(("EVAL", "for n = 1, 300000 do redis.call('SET', 'late:' .. n, n) end", "0"))
    site.plan("plan.json", *ONLY)
    running = site.start("apply", str(site.file("plan.json")), "-o", "json")
    # The new one is there, under the name that Compose gives it as long as the old one has its own. Whoever works on it stands still until the cut.
    made = "read -r _ < <(timeout 120 docker events --filter event=create)"
    host.sh(f"{made}; pkill -STOP -f '[c]ontrolplane_target'; systemctl kill --signal KILL 'controlplane-redis-aof-*'", timeout=150)
    beside = "docker ps -aq --filter name='^[0-9a-f]{12}_'"
    assert host.sh(f"{beside} | xargs docker inspect -f '{{{{.State.Status}}}}'").split() == ["created"]
    # At its next start the host itself settles that, sooner than anybody can look.
    kill("machine", host, running)
    assert site.applied()["outcome"] == "done"
    await_redis(host)
    assert host.sh("docker ps -a --format '{{.Names}}' | grep redis").split() == [REDIS]
    assert client.settings("appendonly", "appendfsync") == {"appendonly": "yes", "appendfsync": "always"}
    assert client.ask(("DBSIZE",))[0] >= 20_000
    assert site.applied()["changed"] == []
    site.assert_receipts_hold()


@pytest.mark.long
@pytest.mark.parametrize("synced", ["always", "everysec"])
def test_what_a_durable_redis_acknowledged_is_there_after_a_power_cut(machine: Callable[..., LabMachine], tmp_path: Path, synced: str) -> None:
    host = machine(services=True)
    host.lab.seed(host.name, rows=200, keys=20, objects=2)
    site, client = Operator(host, tmp_path, redis=f"{{appendonly: true, appendfsync: {synced}}}"), RedisClient(host)
    client.fill(20_000)
    site.plan("plan.json", *ONLY)
    site.applied()
    # Whoever only flushes to the machine's own disk loses with the power what tells of the loss.
    outside = tmp_path / "acknowledged"
    with client.writing_outside(outside):
        time.sleep(6)
        host.cut()
    host.up()
    host.sh("systemctl is-system-running --wait >/dev/null || true; docker info >/dev/null")
    await_redis(host, cut=True)
    client.take_in(outside)
    told = client.lost()
    assert told["written"] > 100
    # As redis.conf says of everysec: about a second, twice that under load.
    oldest = told["last"] - 2 if synced == "everysec" else told["first"]
    assert [row for row in told["lost"] if row[1] < oldest] == [], told
    assert synced == "everysec" or told["count"] == 0, told
    assert client.settings("appendonly", "appendfsync") == {"appendonly": "yes", "appendfsync": synced}
    assert client.ask(("EXISTS", "k:0", "k:5", "k:19999")) == [3]
    assert client.ask(("XPENDING", "k:5", "readers"))[0][0] == 1
    assert client.ask(("SET", "after", "1")) == ["OK"]


@pytest.mark.long
def test_a_way_back_whose_power_fails_goes_on_and_loses_nothing(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    host = machine(services=True)
    host.lab.seed(host.name)
    site, client, target = Operator(host, tmp_path, redis="{appendonly: true, appendfsync: always}"), RedisClient(host), Target(host)
    client.fill(20_000)
    site.plan("plan.json", *ONLY)
    key = next(key for key in site.applied()["receipts"] if "redis.durability" in key)
    # In no dump so far.
    assert client.ask(("SET", "late", "1")) == ["OK"]
    for phase in ("undoing", "undoing-anew"):
        running = site.start("rollback", key, "-o", "json")
        target.wait_for_phase(*("undoing", "undoing-anew", "undone")[("undoing", "undoing-anew").index(phase) :], running=running)
        host.cut()
        running.end(timeout=300)
        host.up()
        host.sh("systemctl is-system-running --wait >/dev/null || true; docker info >/dev/null")
        # Cut off between Compose's removal of the old container and its naming of the new one, the host itself brings it up.
        host.sh(f"for try in $(seq 150); do docker start {REDIS} && exit; sleep 0.4; done; exit 1")
        await_redis(host)
        assert client.ask(("EXISTS", "late", "k:0", "k:19999")) == [3], phase
    said = site.run("rollback", key, "-o", "json")
    if said.code != 0:
        # After a power cut Docker may hold the port of a container that it had removed; nothing starts on it until Docker itself is restarted.
        if "port is already allocated" not in said.out + said.err:
            pytest.fail(f"{said.err}{said.out}{host.sh('cat /var/lib/controlplane/*/state.json')}")
        host.sh("systemctl restart docker")
        host.sh(f"for try in $(seq 150); do docker start {REDIS} && exit; sleep 0.4; done; exit 1")
        await_redis(host)
        said = site.run("rollback", key, "-o", "json")
    assert said.code == 0, (said.err, said.out)
    await_redis(host)
    assert client.settings("appendonly", "save") == {"appendonly": "no", "save": "3600 1"}
    assert client.ask(("EXISTS", "late", "k:0", "k:19999")) == [3]
    host.sh(f"{_KILL_CONTAINER}; docker start {REDIS}")
    await_redis(host)
    assert client.ask(("EXISTS", "late", "k:0", "k:19999")) == [3]
