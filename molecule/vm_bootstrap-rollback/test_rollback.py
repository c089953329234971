"""The way back switches Docker off and removes what was written; the packages stay."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_docker_is_off_and_its_configuration_is_gone() -> None:
    assert on_machine("systemctl is-active docker.service docker.socket containerd.service || true").split() == ["inactive"] * 3
    assert on_machine("systemctl is-enabled docker.service || true") == "disabled\n"
    assert on_machine("ls /etc/docker/daemon.json /etc/containerd/config.toml 2>/dev/null || true") == ""


def test_the_packages_are_still_there() -> None:
    assert on_machine("dpkg-query --show --showformat='${db:Status-Status}' docker.io") == "installed"
    assert verdicts()["mount:/mnt/data"] == "MET"
