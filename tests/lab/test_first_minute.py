"""The first minute on a host of one's own: no site, no policy, ssh as its user has it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import MAIN, ROOT, Said

pytestmark = pytest.mark.lab

Make = Callable[..., LabMachine]
# ssh finds a user's configuration by the password database, not by $HOME: it is laid over root's in a mount namespace of the command.
_WITH_SSH = 'mkdir -p ~/.ssh && mount --bind "$0" ~/.ssh && exec "$@"'


def in_the_first_minute(machine: LabMachine, folder: Path, *words: str) -> Said:
    ssh, empty = folder / "ssh", folder / "empty"
    for made in (ssh, empty):
        made.mkdir(mode=0o700, exist_ok=True)
    (ssh / "config").write_text(machine.ssh_config.read_text())
    (ssh / "config").chmod(0o600)
    env = {key: value for key, value in os.environ.items() if key != "CONTROLPLANE_SITE"} | {"PYTHONPATH": str(ROOT), "HOME": "/root"}
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _WITH_SSH, ssh, *MAIN, *words]
    done = subprocess.run(argv, cwd=empty, env=env, capture_output=True, text=True, timeout=300, check=False)
    return Said(done.returncode, done.stdout, done.stderr)


def test_a_host_is_audited_by_its_address_and_a_policy_is_drafted_from_it(machine: Make, tmp_path: Path) -> None:
    host = machine(services=True)
    host.lab.seed(host.name, rows=100, keys=10, objects=2)
    verdicts = {}
    for user in ("root", "ops"):
        said = in_the_first_minute(host, tmp_path, "audit", "--target", f"{user}@{host.name}", "-o", "json")
        assert said.code == 3, said
        assert said.json["policy_digest"] is None
        verdicts[user] = {finding["surface"]: (finding["verdict"], finding["reason"]) for finding in said.json["findings"]}
    assert {surface: verdict for surface, (verdict, _) in verdicts["ops"].items()} == {s: verdict for s, (verdict, _) in verdicts["root"].items()}
    # Without a policy nobody says where it belongs: where it lies is told all the same, and what is lost with a container drifts.
    assert "lies on boot disk" in verdicts["root"]["docker.data_root"][1]
    assert "DRIFTED" in {verdict for surface, (verdict, _) in verdicts["root"].items() if surface.startswith("unlisted:")}, verdicts["root"]

    drafted = in_the_first_minute(host, tmp_path, "policy", "suggest", "--target", f"root@{host.name}")
    assert drafted.code == 0, drafted
    for named in ("mint-modules-postgres", "mint-modules-redis", "mint-modules-minio", str(host.data_file)):
        assert named in drafted.out, drafted.out
    site = tmp_path / "site"
    site.mkdir()
    (site / "site.yml").write_text("name: drafted\ninventory: hosts.yml\n")
    (site / "hosts.yml").write_text(f"all: {{hosts: {{{host.name}: {{}}}}}}\n")
    (site / "policy.yml").write_text(drafted.out)
    checked = in_the_first_minute(host, tmp_path, "policy", "check", "--site", str(site))
    assert checked.code == 0, checked
    planned = in_the_first_minute(host, tmp_path, "plan", "--site", str(site), "-o", "json")
    assert [step["capability"] for step in planned.json["steps"]] == [
        "storage.data_disk",
        "storage.fstab",
        "docker.data_root",
        "storage.persistent_paths",
        "redis.durability",
    ], planned
