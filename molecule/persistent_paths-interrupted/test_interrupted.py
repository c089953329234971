"""A move whose power went in the critical section and again when there was no container ends well by the same run."""

import json
import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts

JOURNAL = "/var/lib/controlplane/CAP-20260101-000000__storage.persistent_paths__R0001/state.json"


def test_the_service_has_its_data_at_their_place() -> None:
    assert verdicts()["service:shop"] == "MET"
    on_machine("docker exec -i shop sh -c 'cd /srv/shop && sha256sum --check --quiet -' < /root/parts")
    assert "/mnt/data/shop" in on_machine("docker inspect -f '{{json .Mounts}}' shop")


def test_the_run_is_closed_and_the_old_data_are_kept() -> None:
    assert json.loads(on_machine(f"cat {JOURNAL}"))["phase"] == "done"
    assert on_machine("ls /etc/systemd/system | grep controlplane-settle || true; findmnt -rno TARGET | grep ^/run/controlplane || true") == ""
    [record] = json.loads(on_machine("cat /var/lib/controlplane/retired.json"))["retired"]
    on_machine(f"cd {record['path']}/srv/shop && sha256sum --check --quiet /root/parts")
