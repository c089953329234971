"""A container's data and its surfaces in one plan: it stops once and is made anew once, whoever is killed meanwhile, and all of it goes back in one.

What counts as lost is what clients have in their journals of acknowledged writes: one outside of the container, and one that writes into a surface.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, Target, planned, verdicts
from tests.lab.path_load import Client
from tests.lab.test_path_killed import BACK, PHASES, kill

pytestmark = [pytest.mark.lab, pytest.mark.slow]

Make = Callable[..., LabMachine]
DISK = ("--capability", "storage.data_disk", "--capability", "storage.fstab")
ONLY = ("--capability", "storage.persistent_paths", "--capability", "storage.write_surfaces")
COMPOSE = "/opt/stacks/shop/compose.yml"
_STACK = """name: shop
services:
  db:   # with what it writes besides
    image: lab/services:1
    container_name: shop-db
    command: [serve-postgres]
    restart: unless-stopped
    stop_grace_period: 30s
    volumes:
      - db:/var/lib/postgresql/data
      - /mnt/data/shop/cache:/var/cache/shop   # at its place already
    ports: ["127.0.0.1:5432:5432"]
    healthcheck: {test: [CMD, psql, -U, postgres, -h, 127.0.0.1, -c, select 1], interval: 1s, retries: 90}
volumes: {db: {}}
"""
_POLICY = """    services:
      shop-db: {kind: postgres, data: /var/lib/postgresql/data, place: /mnt/data/shop/db}
    write_surfaces:
      - {container: shop-db, path: /srv/uploads, place: /mnt/data/shop/uploads, owner: "4242:4343", mode: "0770"}
      - {container: shop-db, path: /var/spool/shop, place: /mnt/data/shop/spool, owner: "1000:1000", mode: "0750"}
      - {container: shop-db, path: /var/cache/shop, place: /mnt/data/shop/cache, mode: "2770"}
"""
_PLACES = {"/var/lib/postgresql/data": "/mnt/data/shop/db", "/srv/uploads": "/mnt/data/shop/uploads", "/var/spool/shop": "/mnt/data/shop/spool"}
_CACHE = {"/var/cache/shop": "/mnt/data/shop/cache"}
# Each name in the journal was written into the surface, and seen there, before.
_UPLOADS = r"""#!/bin/bash
# Many writes to one `exec`, which costs more than they do; not for ever, since it outlives its client.
put='cd /srv/uploads; for n in $(seq $((n + 1)) $((n + 50))); do echo $n > $n.new; sync $n.new; mv $n.new $n; sync .; echo $n; sleep 0.1; done'
while :; do
  docker exec --env "n=$(wc -l < /root/uploaded)" shop-db sh -ec "$put" 2> /dev/null >> /root/uploaded
  sleep 0.1
done
"""


class Uploads:
    """A client that writes into a surface all the time."""

    def __init__(self, host: LabMachine) -> None:
        self.host = host
        host.run(["sh", "-c", "cat > /root/uploads.sh && touch /root/uploaded"], stdin=_UPLOADS.encode())

    def start_writing(self) -> None:
        self.host.run(["systemd-run", "--quiet", "--unit=load-uploads", "bash", "/root/uploads.sh"])

    def stop_writing(self) -> None:
        self.host.run(["systemctl", "stop", "load-uploads"])

    def lost(self) -> list[str]:
        """Return the names that were acknowledged and are not there, with their content."""
        # What is written inside outlives the client that asked for it: a file that is not done yet gets its name while this looks.
        done = "find /srv/uploads -maxdepth 1 -name [0-9]* ! -name *.new -exec cat {} +"
        seen = self.host.sh(f"set -f; docker exec shop-db {done}").split()
        return sorted({line for line in self.host.sh("cat /root/uploaded").split() if line.isdigit()} - set(seen))


def shop(machine: Make, folder: Path) -> tuple[LabMachine, Operator, Client, Uploads]:
    """Return a machine with the container, an operator whose policy wants all of its paths at their places, and the two clients, who write."""
    host = machine(services=True)
    site = Operator(host, folder)
    policy = site.site / "policy.yml"
    head, found, _ = policy.read_text().partition("    services:\n")
    assert found
    policy.write_text(head + _POLICY)
    site.plan("disk.json", *DISK)
    site.applied("disk.json")
    host.sh("mkdir -p /opt/stacks/shop /mnt/data/shop/cache && chmod 755 /mnt/data/shop/cache")
    host.run(["sh", "-c", f"cat > {COMPOSE}"], stdin=_STACK.encode())
    host.sh(f"docker compose -f {COMPOSE} up -d --wait")
    host.sh("docker exec shop-db sh -c 'mkdir -p /srv/uploads/deep && echo kept > /srv/uploads/deep/kept && chown -R 4242:4343 /srv/uploads'")
    client, uploads = Client(host, "postgres"), Uploads(host)
    for writer in (client, uploads):
        writer.start_writing()
    return host, site, client, uploads


def mounted(host: LabMachine) -> dict[str, str]:
    mounts = json.loads(host.sh("docker inspect -f '{{json .Mounts}}' shop-db"))
    return {mount["Destination"]: mount.get("Name") or mount["Source"] for mount in mounts}


def watch(host: LabMachine) -> None:
    """Write down from now on what happens to containers of the service: Docker itself remembers few events, and each `exec` is four of them."""
    which = "--filter label=com.docker.compose.service=db --filter event=die --filter event=create --filter event=start"
    command = f"docker events {which} --format '{{{{.Action}}}}' >> /root/events"
    host.run(["systemd-run", "--quiet", "--unit=watch-events", "sh", "-c", command])


def happened(host: LabMachine) -> list[str]:
    """Return what happened since the last time that this was asked for."""
    said = host.sh("cat /root/events; : > /root/events").split()
    return sorted(said)


def test_a_database_and_its_surfaces_move_under_writes_with_one_stop_and_go_back_in_one(machine: Make, tmp_path: Path) -> None:
    host, site, client, uploads = shop(machine, tmp_path)
    before = mounted(host)
    plan = site.plan("plan.json", *ONLY)
    [step] = plan["steps"]
    assert (step["capability"], step["downtime"]["services"], plan["refusals"]) == ("storage.persistent_paths", ["shop-db"], [])
    assert len(step["mends"]) == 4
    assert [change["kind"] for change in step["changes"]].count("recreate") == 1
    watch(host)
    result = site.applied()
    assert result["changed"] == planned(plan)
    assert verdicts(result["verify"], plan) == {"MET"}
    assert happened(host) == ["create", "die", "start"]
    assert mounted(host) == {**_PLACES, **_CACHE}
    assert host.sh("stat -c '%u:%g %a' /mnt/data/shop/uploads /mnt/data/shop/spool /mnt/data/shop/cache").splitlines() == [
        "4242:4343 770",
        "1000:1000 750",
        "0:0 2770",
    ]
    assert host.sh("docker exec shop-db cat /srv/uploads/deep/kept") == "kept\n"
    [row] = [row for row in site.receipts() if row["phase"] == "result" and row["capability"] == "storage.persistent_paths"]
    assert 0 < row["downtime_s"]["shop-db"] <= step["downtime"]["estimate_s"]
    told = {path["data"]: path for path in row["told"]["paths"]}
    assert told["/var/lib/postgresql/data"]["proof"]["lost"] == 0
    assert [told[path]["from"] for path in ("/srv/uploads", "/var/spool/shop", "/var/cache/shop")] == ["its writable layer", "nowhere so far", None]
    assert {report["path"] for report in row["told"]["compared"]} == {"/var/lib/postgresql/data", "/srv/uploads"}
    assert site.applied()["changed"] == []
    assert happened(host) == []
    assert "Recreate" not in host.sh(f"docker compose -f {COMPOSE} up -d 2>&1")
    # What was there before is on record, the volume by its name.
    records = json.loads(host.sh("cat /var/lib/controlplane/retired.json"))["retired"]
    assert [record.get("volume") for record in records if "volume" in record] == ["shop_db"]
    assert len(records) == 2

    host.sh("docker exec shop-db sh -c 'echo newer > /var/spool/shop/newer; echo newer > /var/cache/shop/newer'")
    back = site.run("rollback", result["run"], "-o", "json")
    assert back.code == 0, back.err
    assert happened(host) == ["create", "die", "start"]
    client.stop_writing()
    uploads.stop_writing()
    lost = client.lost()
    assert (lost["count"], lost["written"] > 100) == (0, True), lost
    assert uploads.lost() == []
    assert (mounted(host), host.sh(f"cat {COMPOSE}")) == (before, _STACK)
    assert host.sh("docker exec shop-db cat /srv/uploads/deep/kept /var/spool/shop/newer /var/cache/shop/newer") == "kept\nnewer\nnewer\n"
    assert host.sh("stat -c %a /mnt/data/shop/cache") == "755\n"
    assert host.sh("docker exec shop-db stat -c %u:%g /srv/uploads /srv/uploads/deep").split() == ["4242:4343"] * 2
    site.assert_receipts_hold()


# The controller is killed in test_whole_move_killed.py, the unit in test_path_killed.py.
@pytest.mark.parametrize("who", [pytest.param("controller", marks=pytest.mark.long), pytest.param("unit", marks=pytest.mark.long), "machine"])
def test_whoever_is_killed_all_paths_are_on_one_side_and_the_same_plan_goes_on(machine: Make, tmp_path: Path, who: str) -> None:
    host, site, client, uploads = shop(machine, tmp_path)
    target, before = Target(host), mounted(host)
    site.plan("plan.json", *ONLY)
    reached: list[str] = []
    for phase in ("precopying", "stopped", "compared", "starting"):
        running = site.start("apply", str(site.file("plan.json")), "-o", "json")
        reached.append(target.wait_for_phase(*PHASES[PHASES.index(phase) :], running=running))
        kill(who, host, running)
        answers(host)
        # What only lost its controller goes on by itself.
        assert who == "controller" or mounted(host) in (before, {**_PLACES, **_CACHE})
        if who == "machine":
            client.start_writing()
            uploads.start_writing()
        if reached[-1] == "done" or (site.rows() and site.rows()[-1]["state"] == "failed"):
            break
    if site.rows()[-1]["state"] == "failed":
        site.plan("plan.json", *ONLY)
    assert site.applied()["outcome"] == "done", reached
    assert site.applied()["changed"] == []
    assert mounted(host) == {**_PLACES, **_CACHE}
    run = [row["run"] for row in site.receipts() if row["capability"] == "storage.persistent_paths"][-1]
    time.sleep(1)
    for phase in BACK[:-1]:
        running = site.start("rollback", run, "-o", "json")
        came = target.wait_for_phase(*BACK[BACK.index(phase) :], running=running)
        kill(who, host, running)
        answers(host)
        if who == "machine":
            client.start_writing()
            uploads.start_writing()
        if came == "undone":
            break
    done = site.run("rollback", run, "-o", "json")
    assert done.code in (0, 4), done.err
    client.stop_writing()
    uploads.stop_writing()
    lost = client.lost()
    assert (lost["count"], lost["written"] > 100) == (0, True), (reached, lost)
    assert uploads.lost() == []
    assert (mounted(host), host.sh(f"cat {COMPOSE}")) == (before, _STACK)
    assert host.sh("docker exec shop-db cat /srv/uploads/deep/kept") == "kept\n"
    assert host.sh("stat -c %a /mnt/data/shop/cache") == "755\n"
    assert host.sh("ls /etc/systemd/system | grep controlplane-settle || true") == ""
    assert host.sh("docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' shop-db") == "unless-stopped\n"
    site.assert_receipts_hold()


def answers(host: LabMachine) -> None:
    """Return once the host has brought the service up by itself, or Docker was freed of what kept it from that."""
    ready = "docker exec shop-db psql -U postgres -h 127.0.0.1 -qAtc 'select 1' 2>/dev/null | grep -q 1"
    if host.run(["bash", "-c", f"for try in $(seq 100); do {ready} && exit; sleep 0.3; done; exit 1"]).returncode == 0:
        return
    told = host.sh("journalctl -u 'controlplane-settle*' --no-pager; docker ps -a")
    assert "port is already allocated" in told, told
    host.sh("systemctl restart docker")
