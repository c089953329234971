"""storage.persistent_paths on real services that are written to all the time: moved, proven by their own data, and taken back.

What counts as lost is what clients outside of the containers have in their journals of acknowledged writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, Target, planned, verdicts
from tests.lab.path_load import Client
from tests.lab.redis_load import RedisClient

pytestmark = [pytest.mark.lab, pytest.mark.slow]

Make = Callable[..., LabMachine]
COMPOSE = "/opt/stacks/mint-data/compose.yml"
PLACES = {name: f"/mnt/data/mint-data/{name}" for name in ("postgres", "minio", "redis")}
ONLY = ("--capability", "storage.data_disk", "--capability", "storage.fstab", "--capability", "storage.persistent_paths")


def moving(host: LabMachine, folder: Path, *, places: dict[str, str] = PLACES) -> Operator:
    """Return an operator whose policy wants each service at its place on the data disk."""
    site = Operator(host, folder, paths=True)
    policy = site.site / "policy.yml"
    text = policy.read_text()
    for name, place in places.items():
        text = text.replace(f"volume: mint-data_{name}", f"place: {place}")
    policy.write_text(text)
    return site


# With all else of a plan, and through its reboot and purge, in test_whole_move.py.
@pytest.mark.long
def test_every_service_is_moved_under_writes_and_taken_back_with_what_was_written_since(machine: Make, tmp_path: Path) -> None:
    host = machine(services=True)
    host.lab.seed(host.name)
    site, target, redis = moving(host, tmp_path), Target(host), RedisClient(host)
    clients = [Client(host, "postgres"), Client(host, "objects"), redis]
    for client in clients:
        client.start_writing()
    before, text = target.data(), host.sh(f"cat {COMPOSE}")
    volumes = set(host.sh("docker volume ls -q").split())

    plan = site.plan("plan.json", *ONLY)
    moves = [step for step in plan["steps"] if step["capability"] == "storage.persistent_paths"]
    assert [step["downtime"]["services"] for step in moves] == [["mint-modules-minio"], ["mint-modules-postgres"], ["mint-modules-redis"]]
    assert [change["kind"] for change in moves[0]["changes"]] == ["move", "file", "recreate", "retire"]
    assert host.sh(f"cat {COMPOSE}") == text
    result = site.applied()
    assert result["changed"] == planned(plan)
    assert verdicts(result["verify"], plan) == {"MET"}

    stack = json.loads(host.sh(f"cat {COMPOSE}"))
    for service, place in PLACES.items():
        [mount] = stack["services"][service]["volumes"]
        assert mount == {"type": "bind", "source": place, "target": mount["target"], "bind": {"create_host_path": False}}
        mounted = json.loads(host.sh(f"docker inspect -f '{{{{json .Mounts}}}}' mint-modules-{service}"))
        assert [(one["Type"], one["Source"]) for one in mounted] == [("bind", place)]
    told = {row["told"]["container"]: row for row in site.receipts() if row["phase"] == "result" and row["capability"] == "storage.persistent_paths"}
    proofs = {name: path["proof"] for name, row in told.items() for path in row["told"]["paths"]}
    assert proofs["mint-modules-postgres"]["equal"] >= 1
    assert proofs["mint-modules-postgres"]["amcheck"] == "the extension is in no database"
    assert proofs["mint-modules-redis"]["keys"] >= 1000
    assert proofs["mint-modules-minio"]["equal"] >= 40
    for name, row in told.items():
        assert proofs[name]["lost"] == 0, row
        [step] = [one for one in moves if one["downtime"]["services"] == [name]]
        assert 0 < row["downtime_s"][name] <= step["downtime"]["estimate_s"]
    # Old data stay, and are on record by the volume's name.
    assert volumes <= set(host.sh("docker volume ls -q").split())
    records = json.loads(host.sh("cat /var/lib/controlplane/retired.json"))["retired"]
    assert {record["volume"] for record in records if "volume" in record} == volumes
    assert site.applied()["changed"] == []
    host.sh(f"docker compose -f {COMPOSE} up -d 2>&1 | grep -c Recreate && exit 1 || true")

    for client in clients:
        client.stop_writing()
    assert [client.lost()["count"] for client in clients] == [0, 0, 0]
    # Of Redis the sentinels count the writers' keys as well.
    assert {**before, "redis": None} == {**target.data(), "redis": None}
    assert redis.ask(("EXISTS", *(f"quote:{n}" for n in range(1, 1001)))) == [1000]
    for client in clients:
        client.start_writing()

    [run] = {row["run"] for row in told.values()}
    done = site.run("rollback", run, "-o", "json")
    assert done.code == 0, done.err
    for client in clients:
        client.stop_writing()
    lost = [client.lost() for client in clients]
    assert [one["count"] for one in lost] == [0, 0, 0], lost
    assert all(one["written"] > 100 for one in lost), lost
    assert host.sh(f"cat {COMPOSE}") == text
    assert "mint-data_postgres" in host.sh("docker inspect -f '{{json .Mounts}}' mint-modules-postgres")
    # Compose gives an anonymous volume what the container before had there: that would have been the place itself.
    assert "/mnt/data" not in host.sh("docker inspect -f '{{json .Mounts}}' mint-modules-postgres mint-modules-minio mint-modules-redis")
    site.assert_receipts_hold()


@pytest.mark.long
def test_what_was_moved_survives_a_reboot_and_its_old_volumes_are_purged_by_name(machine: Make, tmp_path: Path) -> None:
    host = machine(services=True)
    host.lab.seed(host.name)
    site, target = moving(host, tmp_path), Target(host)
    data = target.data()
    site.plan("plan.json", *ONLY)
    site.applied()
    host.reboot()
    assert target.data() == data
    site.write_site(retention="1s")
    doomed = site.plan("purge.json", "--capability", "storage.purge")
    [step] = doomed["steps"]
    assert all(change["destructive"] for change in step["changes"])
    assert len(step["changes"]) == 3
    site.applied("purge.json")
    assert host.sh("docker volume ls -q").split() == []
    assert target.data() == data
    assert site.applied("purge.json")["changed"] == []
