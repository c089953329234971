"""What drifts on a machine that was right before: a plan mends it in place, without a move, and nothing is left to do after it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import RUNNING, Operator, Target, planned, verdicts

pytestmark = [pytest.mark.lab, pytest.mark.slow]

NEW = "/mnt/data/docker"
LIMITS = {"max-file": "3", "max-size": "10000000"}
SOCKET_GUARD = "/etc/systemd/system/docker.socket.d/50-controlplane-mounts.conf"
BENEATH = "mkdir -p /run/look && unshare -m sh -c 'mount --make-rprivate / && mount --bind /mnt /run/look && {} /run/look/data'"


def drift(machine: LabMachine) -> None:
    """Take away what a plan put there: log limits, the socket's guard, the flag beneath the mount."""
    machine.sh(BENEATH.format("chattr -i"))
    machine.sh(f"rm {SOCKET_GUARD} && systemctl daemon-reload")
    script = "import json, pathlib; p = pathlib.Path('/etc/docker/daemon.json'); d = json.loads(p.read_text()); d.pop('log-opts')"
    machine.sh(f'python3 -c "{script}; p.write_text(json.dumps(d))"')


def by_capability(plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {step["capability"]: step for step in plan["steps"]}


def test_log_limits_a_lost_guard_and_a_writable_bare_directory_are_mended_in_place(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    host = machine(services=True)
    host.lab.seed(host.name, stack="mint-data")
    target, site = Target(host), Operator(host, tmp_path)
    site.plan()
    site.applied()
    assert site.plan("empty.json", code=0)["steps"] == []
    drift(host)
    data, before = target.data(), target.configuration()
    mounted = host.sh("findmnt -no ID,UUID /mnt/data")

    plan = site.plan("mend.json")
    steps = by_capability(plan)
    assert list(steps) == ["storage.fstab", "docker.data_root"]
    assert [(change["kind"], change["target"]) for change in steps["storage.fstab"]["changes"]] == [
        ("file", SOCKET_GUARD),
        ("attribute", "/mnt/data"),
    ]
    assert steps["storage.fstab"]["mends"] == [{"check": "D241", "surface": "boot.guard"}]
    assert steps["storage.fstab"]["downtime"]["services"] == []
    [change] = steps["docker.data_root"]["changes"]
    assert json.loads(change["after"]) == {"log-opts": LIMITS}
    assert set(steps["docker.data_root"]["downtime"]["services"]) == RUNNING
    # These containers were created without limits: named, and nothing is promised for them.
    assert steps["docker.data_root"]["mends"] == []
    [refusal] = plan["refusals"]
    assert refusal["reason"].endswith(
        "until somebody recreates them: mint-modules-import, mint-modules-minio, mint-modules-postgres, mint-modules-redis (D243 has the commands)"
    )

    result = site.applied("mend.json")
    assert result["changed"] == planned(plan)
    assert verdicts(result["verify"], plan) == {"MET"}
    assert "docker.log" in {finding["surface"] for finding in result["remaining"]}
    assert json.loads(host.sh("cat /etc/docker/daemon.json"))["log-opts"] == LIMITS
    assert "i" in host.sh(BENEATH.format("lsattr -d")).split()[0]
    assert host.sh("findmnt -no ID,UUID /mnt/data") == mounted
    target.assert_on_one_place(NEW, data)
    assert site.plan("empty.json", code=0)["steps"] == []

    undone = site.run("rollback", result["run"])
    assert undone.code == 0, undone
    assert target.configuration() == before
    assert "i" not in host.sh(BENEATH.format("lsattr -d")).split()[0]
    target.assert_on_one_place(NEW, data)
    site.assert_receipts_hold()
