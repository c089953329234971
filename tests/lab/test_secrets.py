"""A service's password goes nowhere but to the service: not into arguments, state, receipts, evidence, nor onto the target."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.lab.canary import found_below, watched_arguments
from tests.lab.conftest import LabMachine
from tests.lab.operating import MAIN, Operator, Target, planned

pytestmark = [pytest.mark.lab, pytest.mark.slow]

Make = Callable[..., LabMachine]
DURABLE = "{appendonly: true, appendfsync: everysec}"
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


def assert_nothing_of_it_on(machine: LabMachine) -> None:
    places = "/var/lib/controlplane /root/.ansible /home/ops/.ansible /tmp /var/tmp /etc /var/log /run/log"
    looked = [set(machine.sh(f"sleep 2; grep -rlF {CANARY[:10]} {places} 2>/dev/null || true").split()) for _ in range(2)]
    # For as long as runc starts a container's own check of its health, that container's environment lies in a file of runc's.
    assert looked[0] & looked[1] == set()
    assert machine.sh(f"journalctl --no-pager -o cat | grep -F -e {CANARY[:-4]} | grep -v 'journalctl' || true") == ""


def test_a_password_goes_nowhere_but_to_its_service(machine: Make, tmp_path: Path) -> None:
    host = machine(services=True)
    host.lab.seed(host.name, stack="mint-data", rows=500, keys=50, objects=4)
    give_redis_a_password(host)
    target, site = Target(host), Operator(host, tmp_path / "first", redis=DURABLE)
    policy = site.site / "policy.yml"
    policy.write_text(policy.read_text().replace("kind: redis\n", "kind: redis\n        auth: {password_env: MINT_REDIS_PASSWORD}\n"))
    data = target.data()
    assert data["redis"]["keys"] == 50
    temp = tmp_path / "temp"
    temp.mkdir()
    site.env["TMPDIR"] = str(temp)

    with watched_arguments(CANARY) as arguments:
        evidence = site.run("evidence", "--out", str(site.file("evidence.json")), "-o", "json")
        plan = site.plan()
        result = site.applied()
    assert arguments == []
    assert result["changed"] == planned(plan)
    target.assert_on_one_place("/mnt/data/docker", data)
    [finding] = [f for f in result["verify"]["findings"] if f["surface"] == "redis:mint-modules-redis"]
    # It was asked, and turned on, with its password.
    assert finding["verdict"] == "MET", finding
    assert [step["capability"] for step in plan["steps"]][-1] == "redis.durability"
    assert CANARY not in evidence.out + evidence.err + json.dumps(result)
    assert found_below(CANARY, site.site, tmp_path, Path.home() / ".ansible") == []
    assert_nothing_of_it_on(host)


ONLY_IN_ITS_FILE = f"""
import json, os
path = "{COMPOSE}"
stack = json.load(open(path))
redis = stack["services"]["redis"]
redis["volumes"] = ["/data", "/srv/redis:/conf:ro"]
redis["command"] = ["redis-server", "/conf/redis.conf", "--dir", "/data", "--protected-mode", "no", "--save", "3600 1"]
redis["healthcheck"] = {{"disable": True}}
os.mkdir("/srv/redis")
open("/srv/redis/redis.conf", "w").write("requirepass {CANARY}\\nuser looker on >{CANARY} +info +config|get\\n")
json.dump(stack, open(path, "w"))
"""


def hide_redis_password(machine: LabMachine) -> None:
    """Give Redis a password that its container shows neither in its environment nor in its command."""
    assert machine.run(["python3", "-B", "-"], stdin=ONLY_IN_ITS_FILE.encode()).returncode == 0
    machine.sh(f"docker compose -f {COMPOSE} up --detach redis")
    machine.sh("for n in $(seq 50); do docker exec mint-modules-redis redis-cli ping 2>&1 | grep -q NOAUTH && exit 0; sleep 0.2; done; exit 1")
    assert CANARY not in machine.sh("docker inspect mint-modules-redis")


def judged(site: Operator, auth: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the finding on Redis with `auth` in the policy."""
    policy = site.site / "policy.yml"
    before = policy.read_text()
    policy.write_text(before.replace("kind: redis\n", f"kind: redis\n        auth: {auth}\n"))
    try:
        said = site.run("audit", "-o", "json", env=env)
    finally:
        policy.write_text(before)
    [finding] = [f for f in said.json["findings"] if f["surface"] == "redis:mint-modules-redis"]
    assert CANARY not in said.out + said.err
    return dict(finding)


def test_a_password_that_only_the_controller_knows_opens_its_service_and_nothing_else_sees_it(machine: Make, tmp_path: Path) -> None:
    host = machine(services=True)
    host.lab.seed(host.name, stack="mint-data", rows=20, keys=5, objects=1)
    hide_redis_password(host)
    site = Operator(host, tmp_path / "first", login="ops", redis=DURABLE)
    temp = tmp_path / "temp"
    temp.mkdir()
    site.env["TMPDIR"] = str(temp)
    known = {"MINT_REDIS_PASSWORD": CANARY}
    text = (site.site / "policy.yml").read_text()

    with watched_arguments(CANARY) as arguments:
        by_variable = judged(site, "{password_env: MINT_REDIS_PASSWORD}", known)
        by_user = judged(site, "{user: looker, password_env: MINT_REDIS_PASSWORD}", known)
        (site.site / "policy.yml").write_text(text.replace("kind: redis\n", "kind: redis\n        auth: {password_env: MINT_REDIS_PASSWORD}\n"))
        evidence = site.run("evidence", "--out", str(site.file("evidence.json")), "-o", "json", env=known)
        (site.site / "policy.yml").write_text(text)
    assert arguments == []
    for finding in (by_variable, by_user):
        # It was asked, and answered: appendonly is off.
        assert (finding["verdict"], "appendonly is no while running" in finding["reason"]) == ("DRIFTED", True), finding
    assert CANARY not in evidence.out + evidence.err
    assert found_below(CANARY, tmp_path, Path.home() / ".ansible") == []
    assert_nothing_of_it_on(host)

    # The wrong one is not made up for by what the container's own file says.
    wrong = judged(site, "{password_env: MINT_REDIS_PASSWORD}", {"MINT_REDIS_PASSWORD": "wrong"})
    assert (wrong["verdict"], "(the password was refused)" in wrong["reason"]) == ("UNKNOWN", True), wrong
    nobody = judged(site, "{user: nobody, password_env: MINT_REDIS_PASSWORD}", known)
    assert (nobody["verdict"], "(the password was refused)" in nobody["reason"]) == ("UNKNOWN", True), nobody


@pytest.mark.long
def test_a_password_comes_from_a_private_file_or_from_the_sites_vault(machine: Make, tmp_path: Path) -> None:
    host = machine(services=True)
    host.lab.seed(host.name, stack="mint-data", rows=20, keys=5, objects=1)
    hide_redis_password(host)
    site = Operator(host, tmp_path / "first", redis=DURABLE)
    file, vault, key = site.site / "redis.password", site.site / "vault.yml", site.site / "vault.key"
    file.write_text(f"{CANARY}\n")
    file.chmod(0o600)
    vault.write_text(f'redis_password: "{CANARY}"\n')
    key.write_text("open sesame\n")
    env = {"ANSIBLE_VAULT_PASSWORD_FILE": str(key)}
    subprocess.run([Path(MAIN[0]).parent / "ansible-vault", "encrypt", vault], env={**os.environ, **env}, capture_output=True, check=True)

    with watched_arguments(CANARY) as arguments:
        assert judged(site, "{password_file: redis.password}")["verdict"] == "DRIFTED"
        assert judged(site, "{vault: redis_password}", env)["verdict"] == "DRIFTED"
    assert arguments == []
    file.chmod(0o644)
    loose = judged(site, "{password_file: redis.password}")
    assert (loose["verdict"], f"chmod 600 {file}" in loose["reason"]) == ("UNKNOWN", True), loose
    shut = judged(site, "{vault: redis_password}")
    assert (shut["verdict"], f"{vault} could not be decrypted" in shut["reason"]) == ("UNKNOWN", True), shut
    file.unlink()
    assert found_below(CANARY, tmp_path, Path.home() / ".ansible") == []
    assert_nothing_of_it_on(host)
