"""One plan for all that drifts on mint-data: disk, fstab, Docker's roots, each service's data, Redis' durability; all of it back, and to the end.

Written to all the time; what counts as lost is what clients outside of the containers have in their journals of acknowledged writes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import RUNNING, Operator, Target, planned, verdicts
from tests.lab.path_load import Client
from tests.lab.redis_load import RedisClient
from tests.lab.test_persistent_paths import COMPOSE

pytestmark = [pytest.mark.lab, pytest.mark.slow]

CAPABILITIES = ["storage.data_disk", "storage.fstab", "docker.data_root", *["storage.persistent_paths"] * 3, "redis.durability"]


def test_everything_moves_by_one_plan_and_back_by_one_rollback_and_then_to_its_end(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    host = machine(services=True)
    host.lab.seed(host.name)
    site, target = Operator(host, tmp_path, redis="{appendonly: true, appendfsync: always}", paths=True), Target(host)
    policy = site.site / "policy.yml"
    policy.write_text(
        policy.read_text()
        .replace("volume: mint-data_postgres", "place: /mnt/data/mint-data/postgres")
        .replace("volume: mint-data_minio", "place: /mnt/data/mint-data/minio")
    )
    clients: list[Any] = [Client(host, "postgres"), Client(host, "objects"), RedisClient(host)]
    text, configuration = host.sh(f"cat {COMPOSE}"), target.configuration()

    def write_for(act: Callable[[], Any]) -> Any:
        """Let clients write while `act` runs, and hold that nothing of all that was ever acknowledged is lost."""
        for client in clients:
            client.start_writing()
        done = act()
        for client in clients:
            client.stop_writing()
        lost = [client.lost() for client in clients]
        assert [one["count"] for one in lost] == [0, 0, 0], lost
        return done

    plan = site.plan()
    assert [step["capability"] for step in plan["steps"]] == CAPABILITIES
    stated = {name: sum(s["downtime"]["estimate_s"] for s in plan["steps"] if name in s["downtime"]["services"]) for name in RUNNING}
    result = write_for(site.applied)
    assert result["changed"] == planned(plan)
    assert verdicts(result["verify"], plan) == {"MET"}
    assert set(result["downtime_s"]) == RUNNING
    assert all(0 < seconds <= stated[name] for name, seconds in result["downtime_s"].items()), (result["downtime_s"], stated)

    # Back before the purge, with every write made since.
    back = write_for(lambda: site.run("rollback", result["run"], "-o", "json"))
    assert back.code == 0, back.err
    assert target.root() == "/var/lib/docker"
    assert (host.sh(f"cat {COMPOSE}"), target.configuration()) == (text, configuration)

    # And there again, through a reboot, to the end.
    plan = site.plan("again.json")
    assert [step["capability"] for step in plan["steps"]][-5:] == CAPABILITIES[-5:]
    result = write_for(lambda: site.applied("again.json"))
    # A job that ended long ago keeps the log options that it was made with, until somebody does as the audit says.
    [old] = [one["reason"] for one in site.run("audit", "--check", "D243", "-o", "json").json["findings"] if one["verdict"] != "MET"]
    assert "1 of 4 containers keep other options until they are recreated: mint-modules-import " in old
    recreate = old.rpartition(": ")[2]
    assert recreate.startswith("docker compose --project-name mint-data ")
    assert recreate.endswith(" up --no-start --no-deps --force-recreate import")
    host.sh(recreate)
    data = target.data()
    host.reboot()
    assert target.data() == data
    site.write_site(retention="1s")
    site.plan("purge.json", "--capability", "storage.purge")
    site.applied("purge.json")
    # A purge is a change as well, which a reboot has to prove.
    host.reboot()
    assert target.data() == data
    said = site.run("audit", "-o", "json")
    assert [one for one in said.json["findings"] if one["verdict"] != "MET"] == []
    assert site.run("plan").code == 0
    site.assert_receipts_hold()
