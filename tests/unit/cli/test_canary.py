"""A secret from wherever one may come appears nowhere: the whole way of a site, from evidence to closeout, over the real files of its state."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controlplane import wiring
from controlplane.adapters.service_secrets import SiteSecrets
from controlplane.cli.app import main
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.inventory import InventoryHost
from controlplane.ports.plays import StepResult
from controlplane.usecases.apply_plan import ApplyPorts
from tests.fakes.chains import make_keys
from tests.fakes.host import FakeHost
from tests.fakes.interruption import Interruption
from tests.fakes.ports import FakeClock, FakeEvidence, FakeRunner, FakeWitness

CANARY = "Kanarienvogel-77ab01"
HOSTS = ("mint-data", "by-variable", "by-file", "by-vault")
# Read by the program, and where a careless change would take it along.
VARIABLES = ("MINT_REDIS_PASSWORD", "REDISCLI_AUTH", "PGPASSWORD", "ANSIBLE_BECOME_PASS", "SSH_AUTH_SOCK", "SSH_ASKPASS", "PROXMOX_TOKEN_SECRET")
POLICY = """\
version: 1
tiers: {data-disk: {data: disk}}
hosts:
  mint-data: {tier: data-disk, DISK}
  by-variable: {tier: data-disk, DISK, services: {mint-modules-redis: {REDIS, auth: {password_env: MINT_REDIS_PASSWORD}}}}
  by-file: {tier: data-disk, DISK, services: {mint-modules-redis: {REDIS, auth: {password_file: redis.password}}}}
  by-vault: {tier: data-disk, DISK, services: {mint-modules-redis: {REDIS, auth: {vault: redis_password}}}}
"""
DISK = (
    "disks: [{serial: DATA0001, min_size: 3GB, max_size: 200GB, filesystem: ext4, mount: /mnt/data, options: [noatime]}], "
    "docker: {data_root: /mnt/data/docker, containerd_root: /mnt/data/containerd, log: {max_size: 10MB, max_files: 3}}"
)
REDIS = "kind: redis, data: /data, place: /mnt/data/mint-data/redis"
OPEN_WAVE = "goal: looked at\nmutation: none\nread_only: [mint-data]\npack: plain\nentry: []\nexit: []\noutputs: [preflight, pack]\n"


class Secrets:
    """Reads every secret as the real evidence and the real runner do, and remembers which it got."""

    def __init__(self, site: Path) -> None:
        self.source, self.got = SiteSecrets(site, os.environ), set[str]()

    def read(self, desired: DesiredHost | None) -> None:
        told = self.source.of(desired)
        self.got |= {f"{desired.host}: {service['password']}" for service in told.values() if desired is not None}


class KnowingEvidence(FakeEvidence):
    """Collects from fake hosts, with the secrets in its hands."""

    secrets: Secrets

    def collect(
        self, hosts: Sequence[InventoryHost], desired: Mapping[str, DesiredHost], *, only: Sequence[str] = ()
    ) -> dict[str, Evidence | Unreached]:
        for one in desired.values():
            self.secrets.read(one)
        return super().collect(hosts, desired, only=only)


class KnowingRunner(FakeRunner):
    """Plays on fake hosts, and keeps the projects that it was given."""

    projects: list[bytes]

    def run(self, project: Mapping[str, bytes], *, key: str, host: str, playbook: str, progress: Callable[[str], None]) -> StepResult:
        self.projects += project.values()
        return super().run(project, key=key, host=host, playbook=playbook, progress=progress)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site with secrets in each place that may hold one; its machines are fakes, its state folder is real."""
    keys, folder = tmp_path / "keys", tmp_path / "site"
    keys.mkdir()
    make_keys(keys)
    (folder / "waves").mkdir(parents=True)
    (folder / "site.yml").write_text(f"name: lab\napproval: self\nsigning_key: {keys}/ann\nallowed_signers: {keys}/signers\n")
    hosts = "".join(f"    {name}: {{ansible_host: 10.0.0.{number}}}\n" for number, name in enumerate(HOSTS, 1))
    secret = f"  vars: {{ansible_password: {CANARY}, ansible_become_password: {CANARY}, api_token: {CANARY}}}\n"
    (folder / "hosts.yml").write_text(f"all:\n  hosts:\n{hosts}{secret}")
    (folder / "policy.yml").write_text(POLICY.replace("DISK", DISK).replace("REDIS,", f"{REDIS},"))
    (folder / "gates.yml").write_text("packs: {plain: {checks: [D240]}}\nmodes: {D240: {mint-data: enforce}}\n")
    (folder / "waves" / "W1.yml").write_text(OPEN_WAVE)
    (folder / "redis.password").write_text(CANARY)
    (folder / "redis.password").chmod(0o600)
    (folder / "vault.pass").write_text(CANARY)
    (folder / "vault.pass").chmod(0o600)
    (folder / "vault.yml").write_text(f"redis_password: {CANARY}\n")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(folder / "vault.pass"))
    subprocess.run([Path(sys.executable).parent / "ansible-vault", "encrypt", str(folder / "vault.yml")], check=True, capture_output=True)
    for name in VARIABLES:
        monkeypatch.setenv(name, CANARY)
    return folder


@pytest.fixture
def world(site: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Secrets, KnowingRunner]:
    machines, clock, touched = {name: FakeHost(name) for name in HOSTS}, FakeClock(), Interruption()
    evidence, runner, secrets = KnowingEvidence(machines, clock, touched), KnowingRunner(machines, touched), Secrets(site)
    evidence.secrets, runner.projects = secrets, []
    real = wiring.apply_ports

    def ports(*given: Any) -> ApplyPorts:
        return replace(real(*given), evidence=evidence, runner=runner, witness=FakeWitness(touched), clock=clock)

    monkeypatch.setattr(wiring, "apply_ports", ports)
    monkeypatch.setattr(wiring, "evidence_source", lambda *_: evidence)
    monkeypatch.setattr(wiring, "clock", lambda: clock)
    monkeypatch.setattr("controlplane.adapters.clock.SystemClock.now", lambda _self: clock.now())
    return secrets, runner


@pytest.fixture
def said(site: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    monkeypatch.chdir(site.parent)
    monkeypatch.setenv("CONTROLPLANE_SITE", str(site))

    def call(*argv: str, code: int | tuple[int, ...] = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["controlplane", *argv])
        with pytest.raises(SystemExit) as end:
            main()
        told = capfd.readouterr()
        assert end.value.code in ((code,) if isinstance(code, int) else code), (argv, told)
        assert CANARY not in told.out + told.err, argv
        return told.out

    return call


def test_a_secret_of_any_place_is_in_nothing_that_the_program_writes_or_says(
    site: Path, world: tuple[Secrets, KnowingRunner], said: Callable[..., str]
) -> None:
    secrets, runner = world
    found = tuple(range(6))
    said("policy", "show", "--host", "by-vault", "-o", "json")
    said("evidence", "--out", "evidence.json", "-o", "json")
    said("audit", "-o", "json", code=found)
    said("gates", "run", "plain", "-o", "json", code=found)
    said("gates", "demote", "D240", "--host", "mint-data", "--reason", "disk is replaced", "--out", "demotion.json")
    said("approve", "demotion.json")
    said("gates", "demote", "--apply", "demotion.json")
    said("plan", "--host", "mint-data", "--out", "plan.json", code=3)
    said("render", "plan.json", "--out", "project")
    said("approve", "plan.json")
    said("apply", "plan.json", "-o", "json")
    said("verify", "-o", "json", code=found)
    said("ready", "mint-data", "-o", "json", code=found)
    said("wave", "open", "W1")
    said("wave", "close", "W1", "--attest", "looked")
    said("runs", "list")
    said("rollback", _applied(site))
    said("board", "--out", "board.html")
    said("receipts", "list", "-o", "json")
    said("receipts", "head", "--out", "head.json")
    assert said("receipts", "verify", "--head", "head.json").endswith(" receipts, 0 faults\n")

    assert secrets.got == {f"{name}: {CANARY}" for name in HOSTS if name != "mint-data"}
    assert runner.plays
    assert [content for content in runner.projects if CANARY.encode() in content] == []
    sources = {site / name for name in ("hosts.yml", "redis.password", "vault.pass")}
    written = [path for path in site.parent.rglob("*") if path.is_file() and path not in sources]
    kinds = {path.name for path in written} | {path.suffix for path in written}
    assert {"closeout.json", "closeout.md", "board.html", "evidence.json", "demotion.json", "demotion.json.sig", "head.json", ".used"} <= kinds
    assert [str(path) for path in written if CANARY.encode() in path.read_bytes()] == []


def _applied(site: Path) -> str:
    """Return the run that was applied."""
    (intent,) = (site / "state" / "receipts").glob("*plan.apply*.intent.json")
    return intent.name[7:].removesuffix(".intent.json")
