"""Audit of 50 hosts, at least 25 findings each, against `ansible -m setup` and against testinfra with 25 checks, on the same hosts.

All three are whole commands, from start to exit code, over connections that are open already. The hosts are one sshd each and have no
Docker, so what is compared is the way there and back and the judging, not what a busy engine takes to answer.
"""

from __future__ import annotations

import collections
import json
import sys
from pathlib import Path

from bench.fleet import Fleet, fleet, why_not
from bench.rows import PROGRAM, BenchError, Row, Skipped, command, in_turn

HOSTS = 50
CHECKS = 25
_SERVICES = 14
_POLICY = """\
version: 1
tiers: {{data-disk: {{data: disk}}}}
defaults: {{thresholds: {{root_used_warn: 80%, root_used_fail: 90%, disk_used_warn: 80%, images: 15GB, build_cache: 10GB, volumes: 30GB,
           tmp_file: 10MB, writable_layer: 500MB}}}}
hosts:
"""
_HOST = """\
  {name}:
    tier: data-disk
    disks: [{{serial: {serial}, min_size: 3GB, max_size: 200GB, filesystem: ext4, mount: /mnt/data, options: [noatime]}}]
    docker: {{data_root: /mnt/data/docker, containerd_root: /mnt/data/containerd, log: {{max_size: 10MB, max_files: 3}}}}
    services:
{services}
"""
_SERVICE = "      app-{n}: {{kind: files, data: /srv/app, place: /mnt/data/apps/app-{n}}}"
_CFG = """\
[defaults]
gathering = explicit
forks = 50
deprecation_warnings = False
interpreter_python = /usr/bin/python3
[ssh_connection]
pipelining = True
control_path_dir = {folder}/setup
ssh_args = -F {config} -o ControlMaster=auto -o ControlPersist=120s
"""
_TESTS = '''\
"""25 checks a host, as an operator would write them with testinfra."""

import pytest

UNITS = ["docker", "containerd", "ssh", "cron", "systemd-journald", "systemd-udevd"]
PATHS = ["/etc/fstab", "/etc/passwd", "/etc/docker/daemon.json", "/mnt/data", "/var/lib/docker", "/tmp", "/etc/machine-id", "/var/lib/containerd"]
MOUNTS = ["/", "/proc", "/sys", "/mnt/data"]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_there_or_not(host, path):
    assert host.file(path).exists in (True, False)


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_mount_is_there_or_not(host, mount):
    assert host.mount_point(mount).exists in (True, False)


@pytest.mark.parametrize("unit", UNITS)
def test_a_program_of_a_unit_is_there_or_not(host, unit):
    assert host.exists(unit) in (True, False)


@pytest.mark.parametrize("command", ["df -B1 /", "df -i /", "cat /proc/mounts", "cat /etc/fstab", "findmnt /", "uname -r", "ls /tmp"])
def test_a_command_answers(host, command):
    assert host.run(command).rc in (0, 1)
'''


def _site(made: Fleet) -> Path:
    services = "\n".join(_SERVICE.format(n=n) for n in range(_SERVICES))
    hosts = "".join(_HOST.format(name=name, serial=f"B{n:04d}", services=services) for n, name in enumerate(made.addresses))
    made.write_site(made.folder / "site", _POLICY.format() + hosts)
    return made.folder / "site"


def measure(*, quick: bool) -> list[Row | Skipped]:
    """Return two rows: against setup, against testinfra."""
    reason = why_not()
    if reason is not None:
        return [Skipped(f"audit of {HOSTS} hosts", reason)]
    # testinfra goes through the hosts one after the other, so that a part of them stands for all in a quick look.
    runs, share = (1, 5) if quick else (3, 1)
    with fleet(HOSTS) as made:
        env = made.environment()
        site = _site(made)
        cfg, tests = made.folder / "ansible.cfg", made.folder / "test_host.py"
        cfg.write_text(_CFG.format(folder=made.folder, config=made.ssh_config))
        tests.write_text(_TESTS)
        (made.folder / "setup").mkdir(mode=0o700)
        inventory = site / "hosts.yml"
        findings = 0

        def audit() -> None:
            nonlocal findings
            report = json.loads(command([PROGRAM, "audit", "--site", site, "-o", "json"], env=env, allow=(0, 3, 5)))
            counts = collections.Counter(finding["host"] for finding in report["findings"])
            findings = min(counts.values())
            if len(counts) != HOSTS or not all(host["reached"] for host in report["hosts"]) or findings < CHECKS:
                raise BenchError(f"the audit saw {len(counts)} hosts with at least {findings} findings: {report['summary']}")

        def setup() -> None:
            argv = [PROGRAM.with_name("ansible"), "all", "-i", inventory, "-m", "setup", "-f", "50"]
            said = command(argv, env={**env, "ANSIBLE_CONFIG": str(cfg)})
            if said.count("| SUCCESS =>") != HOSTS:
                raise BenchError("setup did not reach every host")

        def testinfra() -> None:
            hosts = ",".join(f"ssh://{name}?controlpersist=120" for name in list(made.addresses)[::share])
            argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", made.folder, tests]
            said = command([*argv, f"--ssh-config={made.ssh_config}", f"--hosts={hosts}"], env=env, timeout=1800)
            if f"{HOSTS // share * CHECKS} passed" not in said:
                raise BenchError(f"testinfra did not make {HOSTS // share * CHECKS} checks: {said[-300:]}")

        for warm in (setup, audit):
            warm()
        ours, theirs = in_turn(runs, audit, setup)
        [slow] = in_turn(runs, testinfra)
    what = f"audit of {HOSTS} hosts, {findings} findings each"
    return [
        Row(what, ours, "ansible -m setup, warm, 50 forks", theirs, 0.6),
        Row(
            what,
            ours,
            f"testinfra ssh:// with ControlPath, {CHECKS} checks a host, {f'{HOSTS // share} hosts times {share}' if quick else 'all hosts'}",
            slow * share,
            1 / 3,
        ),
    ]
