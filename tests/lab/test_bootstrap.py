"""infra.vm.bootstrap: a fresh machine to its baseline in one plan, and Docker on the data disk from its very first start."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.lab.systems import SYSTEMS, System
from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, verdicts

pytestmark = pytest.mark.lab

Make = Callable[..., LabMachine]
# One of each family; the others are alike but for their packages.
_ALWAYS = ("debian-12", "ubuntu-24.04")
MACHINES = """version: 1
profiles:
  standard:
    baseline:
      packages: [tini]
      services: [SSH, cron.service]
      time: none
      docker: {packages: [DOCKER]}
      monitoring: {packages: [prometheus-node-exporter], unit: prometheus-node-exporter.service}
machines:
  NAME: {profile: standard}
"""
STEPS = ["storage.data_disk", "storage.fstab", "infra.vm.bootstrap"]
# dpkg's states between nothing and installed: unpacked (U), half-configured (F), half-installed (H).
HALF_WAY = "dpkg-query -W -f '${db:Status-Abbrev}\\n' containerd docker.io 2>/dev/null | grep -q '^.[UFH]' && echo HALF-WAY"
ROOTS = "find /var/lib/docker /var/lib/containerd -mindepth 1 2>/dev/null | head -3 || true"


def operator(machine: LabMachine, folder: Path, system: System = "debian-12") -> Operator:
    site = Operator(machine, folder)
    text, _, _ = (site.site / "policy.yml").read_text().partition("    services:")
    # A machine without its data disk is to have one all the same.
    text = text.replace("loop_file: .,", "loop_file: /srv/missing.img,")
    (site.site / "policy.yml").write_text(text)
    # Ubuntu 24.04 starts sshd by its socket.
    ssh = "ssh.socket" if system == "ubuntu-24.04" else "ssh.service"
    machines = MACHINES.replace("NAME", machine.name).replace("SSH", ssh).replace("DOCKER", ", ".join(SYSTEMS[system].docker))
    (site.site / "machines.yml").write_text(machines)
    return site


def surfaces(site: Operator) -> dict[str, str]:
    return {f"{finding['check']} {finding['surface']}": finding["verdict"] for finding in site.run("audit", "-o", "json").json["findings"]}


def assert_docker_lives_on_the_disk(machine: LabMachine) -> None:
    assert machine.sh("docker info -f '{{.DockerRootDir}} {{.LoggingDriver}}'").strip() == "/mnt/data/docker json-file"
    assert machine.sh(ROOTS) == "", "nothing of it ever lay on the boot disk"
    assert machine.sh("systemctl is-enabled docker.service; systemctl is-active docker.service containerd.service").split() == [
        "enabled",
        "active",
        "active",
    ]


def assert_whole(site: Operator) -> None:
    found = surfaces(site)
    for name in (
        *(
            "D235 docker.data_root",
            "D235 docker.containerd_root",
            "D240 mount:/mnt/data",
            "D240 fstab:/mnt/data",
            "D241 boot.guard",
            "D243 docker.log",
        ),
        *("D247 baseline.packages", "D247 baseline.unit:cron.service", "D247 baseline.time", "D247 baseline.docker", "D248 hook.monitoring"),
    ):
        assert found[name] == "MET", (name, found)
    again = site.plan("again.json", code=0)
    assert (again["steps"], again["refusals"]) == ([], [])


@pytest.mark.parametrize("system", [pytest.param(system, marks=[] if system in _ALWAYS else pytest.mark.long) for system in SYSTEMS])
def test_a_fresh_machine_comes_to_its_baseline_with_docker_on_the_data_disk_from_its_first_start(
    machine: Make, tmp_path: Path, system: System
) -> None:
    host = machine(engine="none", system=system)
    site = operator(host, tmp_path, system)
    assert {surfaces(site)[name] for name in ("D247 baseline.docker", "D247 baseline.packages")} == {"DRIFTED"}
    plan = site.plan()
    assert [step["capability"] for step in plan["steps"]] == STEPS
    assert plan["refusals"] == []
    result = site.applied()
    assert verdicts(result["verify"], plan) == {"MET"}
    assert_docker_lives_on_the_disk(host)
    # The guard was there before Docker: it never started without it.
    guarded = host.sh("stat -c %Y /etc/systemd/system/docker.service.d/50-controlplane-mounts.conf")
    assert float(guarded) <= float(host.sh('date -d "$(systemctl show -p ExecMainStartTimestamp --value docker)" +%s'))
    assert_whole(site)
    assert site.run("verify", "-o", "json").json["summary"]["unknown"] == 0

    rolled = site.run("rollback", site.rows()[0]["run"], "-o", "json")
    assert rolled.code == 0, rolled
    assert host.sh("systemctl is-active docker.service containerd.service docker.socket || true").split() == ["inactive"] * 3
    assert host.run(["test", "-e", "/etc/docker/daemon.json"]).returncode != 0
    assert "ii" in host.sh("dpkg-query -W -f '${db:Status-Abbrev}' docker.io")


def test_an_installation_that_lost_its_controller_is_finished_by_the_same_plan(machine: Make, tmp_path: Path) -> None:
    host = machine(engine="none")
    site = operator(host, tmp_path)
    site.plan()
    running = site.start("apply", str(site.file("plan.json")), "-o", "json")
    limit = time.monotonic() + 200
    # Not by sh(): sshd turns a connection away while it has many, and the play makes its own.
    while "HALF-WAY" not in host.run(["sh", "-c", HALF_WAY]).stdout:
        assert running.process.poll() is None, running.end()
        assert time.monotonic() < limit
        time.sleep(0.3)
    running.kill()
    host.sh("killall -q -KILL dpkg apt-get || true")
    state = host.sh("dpkg --audit; grep -h '\"phase\"' /var/lib/controlplane/*infra.vm.bootstrap*/state.json || true")
    assert "installing" in state, state
    site.applied()
    assert_docker_lives_on_the_disk(host)
    assert host.sh("dpkg --audit") == ""
    assert_whole(site)


def test_without_its_data_disk_the_machine_gets_its_baseline_and_no_docker(machine: Make, tmp_path: Path) -> None:
    host = machine(engine="none", data_disk=False)
    site = operator(host, tmp_path)
    plan: dict[str, Any] = site.plan()
    reasons = {refusal["capability"]: refusal["reason"] for refusal in plan["refusals"]}
    assert reasons["infra.vm.bootstrap"].startswith("Docker is not installed: its root is to lie on /mnt/data, which can't be provided: ")
    [step] = plan["steps"]
    brought = ["tini", "cron", "prometheus-node-exporter", "cron.service", "prometheus-node-exporter.service"]
    assert [change["target"] for change in step["changes"]] == brought
    site.applied()
    assert host.run(["test", "-e", "/usr/sbin/dockerd"]).returncode != 0
    assert host.sh(ROOTS) == ""
    assert surfaces(site)["D247 baseline.packages"] == "MET"
