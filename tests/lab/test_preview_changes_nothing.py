"""A preview changes nothing, a plan holds as long as its facts do, and a rollback brings back everything but newer data's age."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, Target, planned

pytestmark = [pytest.mark.lab, pytest.mark.slow]

Make = Callable[..., LabMachine]
OLD, NEW = "/var/lib/docker", "/mnt/data/docker"
DAEMON = '{\n    "max-concurrent-downloads": 7\n}'
# Every entry of the boot filesystem with all that a change could alter; left out is what each login and each service log writes by itself.
MANIFEST = r"""
import hashlib, os, stat
skip = {"/run", "/var/log", "/root/.ansible", "/home/ops/.ansible"}
device, pending = os.lstat("/").st_dev, ["/"]
while pending:
    path = pending.pop()
    info = os.lstat(path)
    if path in skip or info.st_dev != device:
        continue
    kind, attributes = stat.S_IFMT(info.st_mode), []
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        attributes.append((name, os.getxattr(path, name, follow_symlinks=False).hex()))
    said = ""
    if stat.S_ISREG(info.st_mode):
        with open(path, "rb") as content:
            said = hashlib.sha256(content.read()).hexdigest()
    elif stat.S_ISLNK(info.st_mode):
        said = os.readlink(path)
    print(repr((path, kind, info.st_size, said, info.st_uid, info.st_gid, info.st_mode, info.st_mtime_ns, attributes)))
    if stat.S_ISDIR(info.st_mode):
        pending += [os.path.join(path, name) for name in os.listdir(path)]
"""


def manifest(machine: LabMachine) -> set[str]:
    done = machine.run(["python3", "-B", "-"], stdin=MANIFEST.encode())
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines())


def digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def stop_what_writes_by_itself(machine: LabMachine) -> None:
    machine.sh("docker stop -t 5 $(docker ps -q) && systemctl stop --all '*.timer' systemd-journald.service systemd-journald*.socket || true")
    # containerd clears up after what was stopped, a moment later and in its own time.
    aged = "[ $(($(date +%s) - $(stat -c %Y /var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db))) -ge 5 ]"
    machine.sh(f"for try in $(seq 60); do {aged} && break; sleep 1; done")
    machine.sh("mkdir -p /root/.ansible /home/ops/.ansible && chown ops: /home/ops/.ansible && sync")


def test_audit_and_plan_leave_the_boot_filesystem_and_the_blank_disk_as_they_are(machine: Make, tmp_path: Path) -> None:
    host = machine(services=True)
    host.lab.seed(host.name, stack="mint-data", rows=500, keys=50, objects=4)
    site = Operator(host, tmp_path, login="ops")
    assert site.run("audit").code == 3
    stop_what_writes_by_itself(host)
    before, disk = manifest(host), digest(host.data_file)
    assert len(before) > 5_000
    assert site.run("audit").code == 5  # services that don't run can't be asked
    assert site.run("plan", "--out", str(site.file("plan.json"))).code == 3
    after = manifest(host)
    assert {"gone": sorted(before - after), "new": sorted(after - before)} == {"gone": [], "new": []}
    assert digest(host.data_file) == disk
    assert host.sh(f"blkid -p {host.data_device} || echo blank").strip() == "blank"


def assert_no_longer_fits(site: Operator, target: Target, *words: str) -> None:
    before = (target.configuration(), target.machine.sh("findmnt -rn -o TARGET,SOURCE -t ext4"))
    done = site.apply()
    assert done.code == 4, done
    for word in ("no longer fits", *words, "Nothing was changed."):
        assert word in done.err, done
    assert (target.configuration(), target.machine.sh("findmnt -rn -o TARGET,SOURCE -t ext4")) == before
    assert site.receipts() == []


def a_plan_is_refused_where_facts_changed(site: Operator, target: Target) -> None:
    sh = target.machine.sh
    sh("cp -p /etc/docker/daemon.json /root/daemon.json && echo '{\"debug\": true}' > /etc/docker/daemon.json")
    assert_no_longer_fits(site, target, "docker_config")
    sh("cp -p /root/daemon.json /etc/docker/daemon.json")
    sh("docker create --name late -v late:/data $(docker ps -q | head -1 | xargs docker inspect -f '{{.Image}}') true")
    assert_no_longer_fits(site, target, "containers")
    sh("docker rm -v late && docker volume rm late")


def a_plan_holds_where_only_counters_moved(site: Operator, target: Target, plan: dict[str, Any]) -> dict[str, Any]:
    target.machine.sh("head -c 100M /dev/zero > /root/counter && sync && docker restart -t 5 mint-modules-redis && rm /root/counter")
    result = site.applied()
    assert result["changed"] == planned(plan)
    return result


def write_newer_data(target: Target) -> dict[str, Any]:
    """Add to every service what was not there before; return the data now."""
    before = target.data()
    target.machine.sh(
        "docker exec mint-modules-postgres psql -U postgres -qc \"insert into orders values (1000001, 'newer', 'than the move')\""
        " && docker exec mint-modules-redis redis-cli set newer than-the-move"
        " && docker exec mint-modules-minio lab-objects put artwork 6 1000"
    )
    newer = target.data()
    assert newer["postgres"]["rows"] == before["postgres"]["rows"] + 1
    assert newer["redis"]["keys"] == before["redis"]["keys"] + 1
    assert len(newer["objects"]) == 6
    return newer


def test_a_plan_holds_as_long_as_its_facts_and_goes_back_with_newer_data(machine: Make, tmp_path: Path) -> None:
    host = machine(services=True)
    host.lab.seed(host.name, stack="mint-data", rows=500, keys=50, objects=4)
    target, site = Target(host), Operator(host, tmp_path)
    host.sh(f"mkdir -p /etc/docker && printf '%s' '{DAEMON}' > /etc/docker/daemon.json && chmod 640 /etc/docker/daemon.json")
    configuration = target.configuration()
    plan = site.plan()
    a_plan_is_refused_where_facts_changed(site, target)
    assert target.configuration() == configuration
    applied = a_plan_holds_where_only_counters_moved(site, target, plan)
    newer = write_newer_data(target)

    back = site.run("rollback", applied["run"], "-o", "json")
    assert back.code == 0, back
    assert back.json["outcome"] == "rolled-back"
    assert {change["status"] for change in back.json["changed"]} == {"undone"}
    target.assert_on_one_place(OLD, newer)
    assert target.configuration() == configuration
    assert host.sh("cat /etc/docker/daemon.json") == DAEMON
    assert host.sh("ls /mnt; lsattr -d /mnt/data 2>/dev/null || true") == ""
    assert {row["state"] for row in site.rows() if row["run"] == applied["run"] and row["key"] in [*applied["receipts"]]} == {"rolled-back"}
    site.assert_receipts_hold()

    again = site.plan("again.json")
    made, known = [[(s["capability"], c["kind"], c["target"]) for s in p["steps"] for c in s["changes"]] for p in (plan, again)]
    assert known == [change for change in made if change[1] != "mkfs"]
