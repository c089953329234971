"""A service's password goes nowhere but to the service: not into arguments, state, receipts, evidence, nor onto the target."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, Target, planned

pytestmark = [pytest.mark.lab, pytest.mark.slow]

Make = Callable[..., LabMachine]
CANARY = "Kanarienvogel-8c1f0b72"
COMPOSE = "/opt/stacks/mint-data/compose.yml"
REDIS = f"""
import json, os
path = "{COMPOSE}"
stack = json.load(open(path))
redis = stack["services"]["redis"]
# redis-cli in the container logs in by REDISCLI_AUTH; the server reads its password from a file, so it is in no argument.
redis["environment"] = {{"REDISCLI_AUTH": "{CANARY}", "MINT_REDIS_PASSWORD": "{CANARY}"}}
redis["volumes"] = ["/data", "/srv/redis:/conf:ro"]
redis["command"] = ["redis-server", "/conf/redis.conf", "--dir", "/data", "--protected-mode", "no", "--save", "3600 1"]
os.mkdir("/srv/redis")
open("/srv/redis/redis.conf", "w").write("requirepass {CANARY}\\n")
json.dump(stack, open(path, "w"))
"""


def give_redis_a_password(machine: LabMachine) -> None:
    assert machine.run(["python3", "-B", "-"], stdin=REDIS.encode()).returncode == 0
    machine.sh(f"docker compose -f {COMPOSE} up --detach --wait redis")
    said = machine.sh("docker exec -e REDISCLI_AUTH= mint-modules-redis redis-cli ping 2>&1 || true")
    assert "NOAUTH" in said, said


def found_below(*folders: Path) -> list[str]:
    """Return the files that hold the canary."""
    needle, found = CANARY.encode(), []
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                if path.is_file() and not path.is_symlink() and needle in path.read_bytes():
                    found.append(str(path))
            except OSError:
                continue
    return found


@contextmanager
def watched_arguments() -> Iterator[list[str]]:
    """Look at every process of this host, lab machines included, as often as can be while the block runs."""
    seen: list[str] = []
    needle, over = CANARY.encode(), threading.Event()

    def watch() -> None:
        while not over.is_set():
            for entry in os.listdir("/proc"):  # noqa: PTH208 - names only, and often
                if entry.isdigit():
                    try:
                        words = Path(f"/proc/{entry}/cmdline").read_bytes()
                    except OSError:
                        continue
                    if needle in words:
                        seen.append(words.replace(b"\0", b" ").decode(errors="replace"))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def test_a_password_goes_nowhere_but_to_its_service(machine: Make, tmp_path: Path) -> None:
    host = machine(services=True)
    host.lab.seed(host.name, stack="mint-data", rows=500, keys=50, objects=4)
    give_redis_a_password(host)
    target, site = Target(host), Operator(host, tmp_path / "first")
    policy = site.site / "policy.yml"
    policy.write_text(policy.read_text().replace("kind: redis\n", "kind: redis\n        auth: {password_env: MINT_REDIS_PASSWORD}\n"))
    data = target.data()
    assert data["redis"]["keys"] == 50
    temp = tmp_path / "temp"
    temp.mkdir()
    site.env["TMPDIR"] = str(temp)

    with watched_arguments() as arguments:
        evidence = site.run("evidence", "--out", str(site.file("evidence.json")), "-o", "json")
        plan = site.plan()
        result = site.applied()
    assert arguments == []
    assert result["changed"] == planned(plan)
    target.assert_on_one_place("/mnt/data/docker", data)
    [finding] = [f for f in result["verify"]["findings"] if f["surface"] == "redis:mint-modules-redis"]
    assert finding["verdict"] == "DRIFTED", finding  # it was asked, with its password: appendonly is off
    assert CANARY not in evidence.out + evidence.err + json.dumps(result)
    assert found_below(site.site, tmp_path, Path.home() / ".ansible") == []
    places = "/var/lib/controlplane /root/.ansible /home/ops/.ansible /tmp /var/tmp /etc /var/log /run/log"
    assert host.sh(f"grep -rlF {CANARY[:10]} {places} 2>/dev/null || true") == ""
    assert host.sh(f"journalctl --no-pager -o cat | grep -F -e {CANARY[:-4]} | grep -v 'journalctl' || true") == ""
