"""A move whose power went in the live copy and again in the critical section goes on with the same run and ends well."""

import json
import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts

JOURNAL = "/var/lib/controlplane/CAP-20260101-000000__docker.data_root__R0001/state.json"


def test_docker_runs_on_the_data_disk_alone() -> None:
    assert verdicts()["docker.data_root"] == "MET"
    assert on_machine("docker info --format {{.DockerRootDir}}; docker ps --format '{{.Names}}'") == "/mnt/data/docker\nwriter\n"
    held = "find /proc/[0-9]*/fd -lname '/var/lib/docker/*' 2>/dev/null; findmnt -rno TARGET | grep ^/var/lib/docker/; true"
    assert on_machine(held) == ""
    assert on_machine(held.replace("/var/lib/docker/", "/mnt/data/docker/")) != ""


def test_the_data_is_what_it_was_before_the_last_cut() -> None:
    assert on_machine("docker exec -i writer sh -c 'cd /data && sha256sum -c - > /dev/null && ls' < /root/parts").split() == [
        "file",
        *(f"part{number:02d}" for number in range(1, 18) if number != 2),
    ]
    assert on_machine("docker exec writer cat /data/file /data/part01 /data/part17") == "kept\nother\nnewer\n"


def test_the_run_is_closed_and_the_old_root_is_retired_with_the_same_data() -> None:
    assert json.loads(on_machine(f"cat {JOURNAL}"))["phase"] == "done"
    assert on_machine("ls /etc/systemd/system | grep controlplane-settle || true") == ""
    [record] = json.loads(on_machine("cat /var/lib/controlplane/retired.json"))["retired"]
    assert (record["path"], record["replaced_by"]) == ("/var/lib/docker", "/mnt/data/docker")
    on_machine("cd /var/lib/docker/volumes/writer/_data && sha256sum --check --quiet /root/parts")
