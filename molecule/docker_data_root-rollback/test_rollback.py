"""The way back brings the root and the configuration back, and retires the other side."""

import json
import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_docker_is_on_the_old_root_with_its_own_configuration() -> None:
    assert verdicts()["docker.data_root"] == "DRIFTED"
    assert on_machine("cat /etc/docker/daemon.json") == '{"max-concurrent-downloads": 7}'
    assert on_machine("docker ps --format '{{.Names}}'; cat /var/lib/docker/volumes/writer/_data/file") == "writer\nkept\n"


def test_what_was_the_new_root_is_retired() -> None:
    [record] = json.loads(on_machine("cat /var/lib/controlplane/retired.json"))["retired"]
    assert (record["path"], record["replaced_by"]) == ("/mnt/data/docker", "/var/lib/docker")
