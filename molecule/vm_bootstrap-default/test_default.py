"""Docker comes to the data disk at its very first start."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_docker_lives_where_the_policy_says() -> None:
    found = verdicts()
    assert (found["docker.data_root"], found["docker.containerd_root"]) == ("MET", "MET")
    assert on_machine("grep -c max-size /etc/docker/daemon.json") == "1\n"


def test_nothing_of_it_ever_lay_on_the_boot_disk() -> None:
    assert on_machine("find /var/lib/docker /var/lib/containerd -mindepth 1 2>/dev/null | head -3 || true") == ""
    assert on_machine("systemctl is-enabled docker.service") == "enabled\n"
