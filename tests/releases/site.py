"""A site with one release, the storefront: staging on one lab machine, production on another that keeps its data on a data disk.

It is a git repository, as a site is: contracts, compose files and manifests are committed, environment files are ignored.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import yaml

from tests.lab.operating import MAIN, ROOT, Running, Said, allow, signing_key
from tests.releases.builds import PORTS
from tests.releases.doors import Door
from tests.releases.governance import ALWAYS, LOOP, PACK, write_governance
from tests.releases.registry import NAME

if TYPE_CHECKING:
    from tests.lab.conftest import LabMachine

STACK, PROJECT, DIR = "storefront", "storefront", "/opt/stacks/storefront"
FILES = Path(__file__).parent / STACK
# Where production keeps its data, by compose.production.yml.
PLACES = ("/mnt/data/storefront/postgres", "/mnt/data/storefront/objects")
Where = Literal["staging", "production"]
_IGNORED = "state/\n.env.*\n!.env.*.example\n__pycache__/\n"
_POLICY = """version: 1
tiers:
  boot-only: {data: boot}
  data-disk: {data: disk}
hosts:
"""
_STACKS = f"    stacks: [{{project: {PROJECT}, dir: {DIR}}}]\n"
_GOVERNED = """    tier: data-disk
    disks:
      - {loop_file: FILE, min_size: 1GiB, max_size: 600GiB, filesystem: ext4, mount: /mnt/data, options: [noatime]}
    docker: {data_root: /mnt/data/docker, containerd_root: /mnt/data/containerd, log: {max_size: 10MB, max_files: 3}}
"""
_HOSTS = """all:
  vars:
    ansible_user: root
    ansible_python_interpreter: /usr/bin/python3
    ansible_ssh_common_args: "-F SSH_CONFIG"
  hosts:
"""
# Each container's image with its service, and behind an empty line each image's digests.
_RUNNING = """
held=$(docker ps -aq --filter label=com.docker.compose.project=PROJECT)
if [ -z "$held" ]; then exit; fi
docker inspect -f '{{.Image}} {{index .Config.Labels "com.docker.compose.service"}}' $held
echo
docker image inspect -f '{{.Id}} {{json .RepoDigests}}' $(docker inspect -f '{{.Image}}' $held)
"""


class ReleaseSite:
    """The site, with doors to the services of its machines while the block runs, and who works there; without a machine there is no production."""

    def __init__(self, folder: Path, staging: LabMachine, production: LabMachine | None = None, *, approval: str = "none") -> None:
        self.machines: dict[Where, LabMachine] = {"staging": staging}
        if production is not None:
            self.machines["production"] = production
        self.site, self.approval = folder / "site", approval
        self.releases = self.site / "releases"
        self.env = {**os.environ, "PYTHONPATH": str(ROOT), "CONTROLPLANE_SITE": str(self.site), "COLUMNS": "400", "LOGNAME": "anna"}
        self._doors = {(where, service): self._door(where, service) for where in self.machines for service in PORTS}
        self._write(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for door in self._doors.values():
            door.close()

    def _door(self, where: Where, service: str) -> Door:
        machine = self.machines[where]
        namespace = machine.lab.home.machine(machine.name).namespace_path
        return Door(("127.0.0.1", 0), ("127.0.0.1", PORTS[service]), connect_in=namespace)

    def urls(self, where: Where) -> dict[str, str]:
        """Return the address of each service, as it is reached from here."""
        return {service: f"http://127.0.0.1:{self._doors[where, service].port}" for service in PORTS}

    def run(self, *words: str, env: Mapping[str, str] | None = None, timeout: float = 400) -> Said:
        """Run one verb to its end."""
        argv = [*MAIN, *words]
        done = subprocess.run(argv, env={**self.env, **(env or {})}, capture_output=True, text=True, timeout=timeout, check=False, cwd=self.site)
        return Said(done.returncode, done.stdout, done.stderr)

    def did(self, *words: str, code: int = 0) -> Any:
        """Run a verb that has to end with that code, and return its JSON."""
        done = self.run(*words, "-o", "json")
        assert done.code == code, (words, done)
        return done.json if done.out else None

    def start(self, *words: str) -> Running:
        """Start a verb and return while it runs."""
        return Running(self, words)  # type: ignore[arg-type]  # as an Operator it has a site and an environment

    def write_spec(self, **more: Any) -> None:
        """Write releases/storefront.yml; `more` are further keys of the whole file, or others than usual."""
        services = ("postgres", "objects", *PORTS)
        given: dict[str, Any] = {
            "goal": "Quotes become orders with their artwork",
            "images": {service: f"{NAME}/mint/{service}" for service in services},
            "environments": {where: self.environment(where) for where in self.machines},
            "recert": [
                {"name": "build", "run": [sys.executable, "-m", "compileall", "-q", "-f", "modules"], "within": "1m"},
                {"name": f"pack {PACK}", "run": [*MAIN, "gates", "run", PACK], "within": "3m"},
                {"name": "authority status", "run": [*MAIN, "doctor"], "within": "1m"},
            ],
            "promotion": {"pack": PACK},
            "loop": LOOP,
            **more,
        }
        (self.releases / f"{STACK}.yml").write_text(yaml.safe_dump(given, sort_keys=False))

    def environment(self, where: Where, **more: Any) -> dict[str, Any]:
        """Return what the spec says of an environment; `more` are further keys, or others than usual."""
        compose = ["compose.yml"] if where == "staging" else ["compose.yml", "compose.production.yml"]
        return {
            "hosts": [self.machines[where].name],
            "project": PROJECT,
            "compose": [f"{STACK}/{name}" for name in compose],
            "contract": f"{STACK}/.env.{where}.example",
            "smoke": {"files": [f"{STACK}/smoke/test_flow.py"], "urls": self.urls(where), "within": "2m"},
            "wait": "90s",
            **more,
        }

    def write_env(self, where: Where, **changed: str) -> None:
        """Write an environment file as its contract wants it, with a token of its own; `changed` are variables with another value."""
        given = {"MINT_TAG": "1.0.0", "STOREFRONT_ENVIRONMENT": where, "INTAKE_MAX_QUANTITY": "50" if where == "staging" else "1000"}
        given |= {"FILES_API_TOKEN": self.token, **changed}
        file = self.releases / STACK / f".env.{where}"
        file.touch(mode=0o600)
        file.write_text("".join(f"{name}={value}\n" for name, value in given.items()))

    def write_manifest(self, name: str, images: Mapping[str, str], *, irreversible: Sequence[str] = ()) -> str:
        """Write a manifest of a build, commit it, and return its name."""
        given = {"stack": STACK, "commit": self.git("rev-parse", "HEAD"), "built_at": "2026-01-01T12:00:00Z", "images": dict(images)}
        if irreversible:
            given["irreversible"] = list(irreversible)
        (self.releases / STACK / "manifests" / f"{name}.yml").write_text(yaml.safe_dump(given, sort_keys=False))
        self.commit(f"Release {name}")
        return name

    def commit(self, message: str) -> None:
        """Commit whatever changed."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)

    def git(self, *words: str) -> str:
        """Run git in the site's repository."""
        who = ("-c", "user.name=Anna", "-c", "user.email=anna@example.org", "-c", "commit.gpgsign=false")
        return subprocess.run(["git", "-C", str(self.site), *who, *words], check=True, capture_output=True, text=True).stdout.strip()

    def govern(self) -> None:
        """Bring production to its policy: the data disk, and Docker on it; with the directories that the compose file binds."""
        machine = self.machines["production"]
        plan = str(self.site.parent / "govern.json")
        self.did("plan", "--host", machine.name, "--out", plan, code=3)
        if self.approval != "none":
            self.did("approve", plan)
        self.did("apply", plan)
        machine.sh(f"install -d {' '.join(PLACES)}")

    def make_ready(self, *, reboot: bool = False) -> str:
        """Judge production ready, after a reboot where its storage changed; return the receipt's key."""
        answer = self.did("ready", self.machines["production"].name, *(["--after-reboot"] if reboot else []))
        return str(answer["receipt"])

    def receipts(self) -> list[str]:
        """Return the names of all receipts that are on disk."""
        return sorted(path.name for path in (self.site / "state/receipts").glob("*.json"))

    def running(self, where: Where) -> dict[str, str]:
        """Return the digest of the image that each service of the stack really runs, as Docker on the machine says, by service."""
        containers, _, images = self.machines[where].sh(_RUNNING.replace("PROJECT", PROJECT)).partition("\n\n")
        digests = {image: json.loads(said) for image, said in (line.split(" ", 1) for line in images.splitlines())}
        held = [line.split(" ", 1) for line in containers.splitlines()]
        return {service: next((one for one in digests[image] if one.partition("@")[0].endswith(f"/{service}")), "") for image, service in held}

    def smoke(self, where: Where) -> subprocess.CompletedProcess[str]:
        """Run the site's smoke tests by plain pytest, without this program: what is proven must not rest on it."""
        folder = self.site.parent / f"plain-{where}"
        folder.mkdir(exist_ok=True)
        shutil.copy(FILES / "flow.py", folder / "test_flow.py")
        (folder / "conftest.py").write_text(f"import pytest\n\n\n@pytest.fixture\ndef urls():\n    return {self.urls(where)!r}\n")
        argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(folder), str(folder)]
        return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=folder, timeout=120)

    def _write(self, folder: Path) -> None:
        stack = self.releases / STACK
        (stack / "smoke").mkdir(parents=True)
        (stack / "manifests").mkdir()
        shutil.copytree(FILES.parent / "services", self.site / "modules", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("compose.yml", "compose.production.yml"):
            shutil.copy(FILES / name, stack / name)
        shutil.copy(FILES / "flow.py", stack / "smoke/test_flow.py")
        self.token = secrets.token_hex(24)
        for where in self.machines:
            shutil.copy(FILES / f"env.{where}.example", stack / f".env.{where}.example")
            self.write_env(where)
        policy, hosts = _POLICY, _HOSTS.replace("SSH_CONFIG", str(self.machines["staging"].ssh_config))
        for where, machine in self.machines.items():
            tier = "    tier: boot-only\n" if where == "staging" else _GOVERNED.replace("FILE", str(machine.data_file))
            policy += f"  {machine.name}:\n{tier}{_STACKS}"
            hosts += f"    {machine.name}:\n"
        (self.site / "policy.yml").write_text(policy)
        (self.site / "hosts.yml").write_text(hosts)
        anna = signing_key(folder, "anna")
        signing = {"signing_key": str(anna), "allowed_signers": str(allow(folder, anna))}
        site = {"name": "storefront", "inventory": "hosts.yml", "timezone": "UTC", "approval": self.approval, "evidence_max_age": "15m", **signing}
        (self.site / "site.yml").write_text("".join(f"{key}: {value}\n" for key, value in {**site, "windows": [ALWAYS]}.items()))
        write_governance(self.site, [*self.machines.values()][-1].name)
        (self.site / ".gitignore").write_text(_IGNORED)
        self.git("init", "-q", "-b", "main")
        self.write_spec()
        self.commit("The storefront's site")
