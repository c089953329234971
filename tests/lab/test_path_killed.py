"""storage.persistent_paths, killed: the controller, its unit or the machine, at each phase; the same plan goes on to its end, and nothing is lost.

What counts as lost is what a client outside of the container has in its journal of acknowledged writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, Running, Target
from tests.lab.path_load import Client
from tests.lab.test_persistent_paths import COMPOSE, ONLY, moving

pytestmark = [pytest.mark.lab, pytest.mark.slow]

PHASES = ["precopying", "precopied", "staging", "stopping", "stopped", "copied", "compared", "switched", "starting", "answered", "done"]
BACK = ["returning", "restarting", "undone"]
NAME = "mint-modules-postgres"
_RUNC = """#!/bin/sh
for word; do ! grep -qs /mnt/data/mint-data/postgres "$word/config.json" || exit 1; done
exec /usr/sbin/runc.real "$@"
"""


def kill(who: str, host: LabMachine, running: Running) -> None:
    if who == "controller":
        running.kill()
        return
    if who == "machine":
        host.cut()
        running.end(timeout=300)
        host.up()
        host.sh("systemctl is-system-running --wait >/dev/null || true; docker info >/dev/null")
        return
    host.sh("systemctl kill --signal=SIGKILL --kill-whom=main 'controlplane-persistent-paths-*.service' || true")
    running.end(timeout=300)


def serves(host: LabMachine) -> None:
    """Return once the host has brought the service up by itself, or Docker was freed of what kept it from that."""
    ready = f"docker exec {NAME} psql -U postgres -h 127.0.0.1 -qAtc 'select 1' 2>/dev/null | grep -q 1"
    if host.run(["bash", "-c", f"for try in $(seq 100); do {ready} && exit; sleep 0.3; done; exit 1"]).returncode == 0:
        return
    # After a power cut Docker may hold the port of a container that it had removed; nothing starts on it until Docker itself is restarted.
    told = host.sh("journalctl -u 'controlplane-settle*' --no-pager || true; docker ps -a")
    assert "port is already allocated" in told, told
    host.sh("systemctl restart docker")


def prepared(machine: Callable[..., LabMachine], folder: Path) -> tuple[LabMachine, Operator, Client]:
    host = machine(services=True)
    host.lab.seed(host.name)
    site = moving(host, folder)
    policy = site.site / "policy.yml"
    kept = policy.read_text()
    for name in ("mint-modules-minio: {kind", "mint-modules-redis:"):
        head, _, rest = kept.partition(f"      {name}")
        kept = head + "".join(
            f"{line}\n" for line in rest.splitlines()[1:] if not head or not line.startswith("        ") or "durability: {fsync" in line
        )
    policy.write_text(kept)
    client = Client(host, "postgres")
    client.start_writing()
    return host, site, client


# The controller alone is killed in test_whole_move_killed.py.
# A machine of the same leg, with surfaces besides, is cut off in test_paths_together.py.
@pytest.mark.parametrize("who", ["unit", pytest.param("machine", marks=pytest.mark.long)])
def test_whoever_is_killed_in_whichever_phase_the_same_plan_goes_on_and_nothing_is_lost(
    machine: Callable[..., LabMachine], tmp_path: Path, who: str
) -> None:
    host, site, client = prepared(machine, tmp_path)
    target = Target(host)
    text = host.sh(f"cat {COMPOSE}")
    site.plan("plan.json", *ONLY)
    reached: list[str] = []
    for phase in ("precopying", "stopped", "compared", "starting"):
        running = site.start("apply", str(site.file("plan.json")), "-o", "json")
        reached.append(target.wait_for_phase(*PHASES[PHASES.index(phase) :], running=running))
        kill(who, host, running)
        serves(host)
        if who == "machine":
            client.start_writing()
        if reached[-1] == "done" or (site.rows() and site.rows()[-1]["state"] == "failed"):
            break
    if site.rows()[-1]["state"] == "failed":
        site.plan("plan.json", *ONLY)
    result = site.applied()
    assert result["outcome"] == "done", reached
    assert site.applied()["changed"] == []
    client.stop_writing()
    told = client.lost()
    assert told["count"] == 0, (reached, told)
    assert told["written"] > 100
    assert "/mnt/data/mint-data/postgres" in host.sh(f"docker inspect -f '{{{{json .Mounts}}}}' {NAME}")
    assert host.sh("ls /etc/systemd/system | grep controlplane-settle || true") == ""
    assert host.sh(f"docker inspect -f '{{{{.HostConfig.RestartPolicy.Name}}}}' {NAME}") == "unless-stopped\n"

    # And back, killed on the way. An apply that found all done has no run of its own.
    run = [row["run"] for row in site.receipts() if row["capability"] == "storage.persistent_paths"][-1]
    client.start_writing()
    time.sleep(1)
    for phase in BACK[:-1]:
        running = site.start("rollback", run, "-o", "json")
        came = target.wait_for_phase(*BACK[BACK.index(phase) :], running=running)
        kill(who, host, running)
        serves(host)
        if who == "machine":
            client.start_writing()
        if came == "undone":
            break
    done = site.run("rollback", run, "-o", "json")
    assert done.code in (0, 4), done.err
    client.stop_writing()
    told = client.lost()
    assert told["count"] == 0, told
    assert host.sh(f"cat {COMPOSE}") == text
    assert "mint-data_postgres" in host.sh(f"docker inspect -f '{{{{json .Mounts}}}}' {NAME}")
    assert host.sh("ls /etc/systemd/system | grep controlplane-settle || true") == ""
    site.assert_receipts_hold()


def test_a_service_that_does_not_come_up_on_its_new_place_goes_back_by_itself_with_what_was_written(
    machine: Callable[..., LabMachine], tmp_path: Path
) -> None:
    host, site, client = prepared(machine, tmp_path)
    text = host.sh(f"cat {COMPOSE}")
    site.plan("plan.json", *ONLY)
    # From now on nothing can start that mounts the place.
    host.run(["sh", "-c", "mv /usr/sbin/runc /usr/sbin/runc.real && cat > /usr/sbin/runc && chmod 755 /usr/sbin/runc"], stdin=_RUNC.encode())
    said = site.apply()
    assert said.code == 1, said
    assert "Went back" in said.err, said.err
    serves(host)
    assert "mint-data_postgres" in host.sh(f"docker inspect -f '{{{{json .Mounts}}}}' {NAME}")
    client.stop_writing()
    assert client.lost()["count"] == 0
    assert host.sh(f"cat {COMPOSE}") == text
    host.sh("mv /usr/sbin/runc.real /usr/sbin/runc")
    site.plan("again.json", *ONLY)
    site.applied("again.json")
