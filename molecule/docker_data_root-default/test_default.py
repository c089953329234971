"""Docker is on the data disk with its data, and the old root is retired."""

import json
import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_docker_is_on_the_data_disk_with_the_settings_that_it_had() -> None:
    assert verdicts()["docker.data_root"] == "MET"
    settings = json.loads(on_machine("cat /etc/docker/daemon.json"))
    assert (settings["data-root"], settings["max-concurrent-downloads"], settings["log-driver"]) == ("/mnt/data/docker", 7, "json-file")


def test_what_ran_before_runs_with_its_data() -> None:
    assert on_machine("docker ps --format '{{.Names}}'; cat /mnt/data/docker/volumes/writer/_data/file") == "writer\nkept\n"


def test_the_old_root_is_retired() -> None:
    [record] = json.loads(on_machine("cat /var/lib/controlplane/retired.json"))["retired"]
    assert (record["path"], record["replaced_by"]) == ("/var/lib/docker", "/mnt/data/docker")
