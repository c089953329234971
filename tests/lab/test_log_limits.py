"""Log limits of daemon.json, without a move: merged by a restart that brings back exactly what ran, and taken back byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.playing import RUN, play
from tests.lab.test_docker_data_root import KEY, OLD, RUNNING, Host, assert_refused, wanted

pytestmark = [pytest.mark.lab, pytest.mark.slow]


def logs(machine: LabMachine, name: str) -> dict[str, str]:
    return dict(json.loads(machine.sh(f"docker inspect -f '{{{{json .HostConfig.LogConfig.Config}}}}' {name}")))


# With a lost guard besides in test_mend_drifts.py.
@pytest.mark.long
def test_log_limits_alone_are_merged_with_a_restart_that_brings_back_what_ran_and_are_taken_back_byte_for_byte(
    machine: Callable[..., LabMachine], tmp_path: Path
) -> None:
    host = Host(machine(services=True))
    sh = host.machine.sh
    sh('mkdir -p /etc/docker && printf \'{"max-concurrent-downloads": 7,"log-opts":{"labels": "a"}}\' > /etc/docker/daemon.json')
    sh("systemctl restart docker && docker start " + " ".join(sorted(RUNNING)))
    sh("docker create --name idle lab/services:1 sleep 9999")
    host.sentinels = host.data()
    before = sh("sha256sum /etc/docker/daemon.json; docker ps -q | sort; systemctl show -p MainPID docker")
    limits = {"log-driver": "json-file", "log-opts": {"labels": "a", "max-size": "10000000", "max-file": "3"}}
    alone = wanted(docker_data_root_moves=[], docker_data_root_daemon_json=limits)

    sh("docker run -d --rm --name fleeting lab/services:1 sleep 9999")
    refused = play(host.machine, "docker_data_root", alone, tmp_path)
    assert_refused(refused, "changing /etc/docker/daemon.json refused: container fleeting runs with --rm")
    sh("docker rm -f fleeting")
    nonsense = wanted(docker_data_root_moves=[], docker_data_root_daemon_json={"no-such-key": "1"})
    assert_refused(play(host.machine, "docker_data_root", nonsense, tmp_path), "dockerd refuses the merged /etc/docker/daemon.json")
    preview = play(host.machine, "docker_data_root", alone, tmp_path, check=True)
    assert preview.code == 0, preview.text
    assert '+    "max-size": "10000000"' in preview.text
    assert sh("sha256sum /etc/docker/daemon.json; docker ps -q | sort; systemctl show -p MainPID docker") == before

    first = play(host.machine, "docker_data_root", alone, tmp_path)
    assert first.code == 0, first.text
    assert json.loads(sh("cat /etc/docker/daemon.json")) == {"max-concurrent-downloads": 7, **limits}
    host.assert_on_one_place(OLD)
    assert set(host.state()["downtime_s"]) == RUNNING
    assert sh("cat /var/lib/controlplane/retired.json 2>/dev/null || true").count(OLD) == 0
    # Docker obeys: what is created from now on is limited, what was there keeps what it had.
    sh("docker create --name fresh lab/services:1 sleep 9999")
    assert logs(host.machine, "fresh") == limits["log-opts"]
    assert logs(host.machine, "idle") == {"labels": "a"}
    second = play(host.machine, "docker_data_root", alone, tmp_path)
    assert (second.code, second.changed) == (0, 0), second.text

    sh("docker rm fresh")
    back = {"docker_data_root_rollback_of": KEY, "docker_data_root_run": RUN.format("docker.data_root", 2)}
    undone = play(host.machine, "docker_data_root", {**alone, **back}, tmp_path, tasks_from="rollback")
    assert undone.code == 0, undone.text
    assert sh("sha256sum /etc/docker/daemon.json").splitlines()[0] == before.splitlines()[0]
    host.assert_on_one_place(OLD)
