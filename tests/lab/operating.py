"""An operator at a site of one lab machine: everything goes through the `controlplane` command line, as its user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controlplane.adapters.process_tree import Process, ProcessTree

if TYPE_CHECKING:
    from tests.lab.conftest import LabMachine

ROOT = Path(__file__).resolve().parents[2]
MAIN = [sys.executable, "-m", "controlplane"]
STEPS = ["storage.data_disk", "storage.fstab", "docker.data_root"]
RUNNING = {"mint-modules-minio", "mint-modules-postgres", "mint-modules-redis"}


@dataclass(frozen=True)
class Said:
    """What one command line printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def last(self) -> str:
        """Return the last line of standard error."""
        return (self.err.strip().splitlines() or [""])[-1]


class Operator:
    """One controller: a site folder with its state, and who works there."""

    def __init__(
        self,
        machine: LabMachine,
        folder: Path,
        *,
        login: str = "root",
        approval: str = "none",
        retention: str = "7d",
        redis: str = "",
        paths: bool = False,
    ) -> None:
        """Make its site. `redis` is the durability that its policy declares for Redis, where a test is about that; without that and without `paths`,
        which a test of moved data wants, Redis is left out of it: it lies elsewhere than the policy says."""
        self.machine = machine
        self.site = folder / "site"
        self.site.mkdir(parents=True)
        self.env = {**os.environ, "PYTHONPATH": str(ROOT), "CONTROLPLANE_SITE": str(self.site), "COLUMNS": "400"}
        lab = ROOT / "inventory/lab"
        named = {name: (lab / name).read_text().replace("mint-data:", f"{machine.name}:") for name in ("hosts.yml", "policy.yml")}
        hosts = named["hosts.yml"].replace("/var/lib/controlplane-lab/ssh_config", str(machine.ssh_config)).replace("        mint-apps:\n", "")
        hosts = hosts.replace("ansible_user: root", f"ansible_user: {login}" + ("" if login == "root" else "\n    ansible_become: true"))
        policy = named["policy.yml"].replace("/var/lib/controlplane-lab/machines/mint-data/data.img", str(machine.data_file))
        policy, _, _ = policy.partition("  mint-apps:\n    tier")
        declared = "        durability: {appendonly: true, appendfsync: everysec}\n"
        assert declared in policy
        policy = policy.replace(declared, f"        durability: {redis}\n" if redis else "")
        if not redis and not paths:
            row, _, rest = policy.partition("      mint-modules-redis:\n")[2].partition("    stacks:")
            assert rest
            policy = policy.replace(f"      mint-modules-redis:\n{row}", "")
        (self.site / "hosts.yml").write_text(hosts)
        (self.site / "policy.yml").write_text(policy)
        self.write_site(approval=approval, retention=retention)

    def write_site(self, **keys: str) -> None:
        """Write site.yml; without `signing_key` nothing is signed."""
        given = {"name": "lab", "inventory": "hosts.yml", "timezone": "UTC", "approval": "none", "evidence_max_age": "15m", **keys}
        (self.site / "site.yml").write_text("".join(f"{key}: {value}\n" for key, value in given.items()))

    def run(self, *words: str, env: Mapping[str, str] | None = None, timeout: float = 400) -> Said:
        """Run one verb to its end."""
        argv = [*MAIN, *words]
        done = subprocess.run(argv, env={**self.env, **(env or {})}, capture_output=True, text=True, timeout=timeout, check=False, cwd=self.site)
        return Said(done.returncode, done.stdout, done.stderr)

    def plan(self, name: str = "plan.json", *words: str, code: int = 3) -> dict[str, Any]:
        """Make a plan file that has to come out with `code`; return the plan."""
        done = self.run("plan", "--out", str(self.file(name)), "-o", "json", *words)
        assert done.code == code, done
        return dict(done.json)

    def apply(self, name: str = "plan.json", **options: Any) -> Said:
        return self.run("apply", str(self.file(name)), "-o", "json", **options)

    def applied(self, name: str = "plan.json") -> dict[str, Any]:
        """Apply a plan that has to be done; return the result."""
        done = self.apply(name)
        assert done.code == 0, done
        result = dict(done.json)
        assert result["outcome"] == "done"
        return result

    def file(self, name: str) -> Path:
        return self.site.parent / name

    def start(self, *words: str) -> Running:
        """Start a verb and return while it runs."""
        return Running(self, words)

    def rows(self) -> list[dict[str, Any]]:
        """Return what `runs list` shows."""
        return list(self.run("runs", "list", "-o", "json").json)

    def receipts(self) -> list[dict[str, Any]]:
        return list(self.run("receipts", "list", "-o", "json").json)

    def assert_receipts_hold(self) -> None:
        done = self.run("receipts", "verify")
        assert (done.code, done.err) == (0, ""), done


class Running:
    """A verb that runs; its output goes to files, so that a pipe never holds it up."""

    def __init__(self, operator: Operator, words: tuple[str, ...]) -> None:
        self._out = operator.site.parent / f"out-{time.monotonic_ns()}"
        self._err = self._out.with_suffix(".err")
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen([*MAIN, *words], env=operator.env, stdout=out, stderr=err, cwd=operator.site)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Kill the controller with everything that it started, as when its machine loses power; the connections break."""
        started = int(Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[19])
        tree = ProcessTree([Process(self.process.pid, started)])
        for pid, _ in sorted(tree.follow()):
            # One may have ended by itself since it was seen.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=30)

    def said(self) -> str:
        """Return what standard error holds so far."""
        return self._err.read_text()

    def end(self, timeout: float = 400) -> Said:
        """Wait until it ended."""
        code = self.process.wait(timeout=timeout)
        return Said(code, self._out.read_text(), self._err.read_text())


class Target:
    """What the tests read of the machine itself."""

    def __init__(self, machine: LabMachine) -> None:
        self.machine = machine

    def data(self) -> dict[str, Any]:
        """Return what must survive, from the containers themselves."""
        return dict(self.machine.lab.sentinels(self.machine.name, wait_s=90))

    def root(self) -> str:
        return self.machine.sh("docker info -f '{{.DockerRootDir}}'").strip()

    def configuration(self) -> str:
        """Return byte for byte what an apply may write, and rollback has to put back."""
        return self.machine.sh(
            "for file in /etc/docker/daemon.json /etc/containerd/config.toml /etc/fstab /etc/systemd/system/*.d/*; do "
            "[ -e $file ] && stat -c '%n %a %u %g %s' $file && base64 $file || echo no $file; done"
        )

    def phases(self) -> dict[str, str]:
        """Return the phase of each run on the machine, by key."""
        read = "import glob, json; print(json.dumps({p.split('/')[4]: json.load(open(p))['phase'] for p in glob.glob(PLACES)}))"
        read = read.replace("PLACES", "'/var/lib/controlplane/*/state.json'")
        return dict(json.loads(self.machine.sh(f'python3 -c "{read}"')))

    def hold(self, phase: str) -> None:
        """Let the tool on the machine stand still as soon as its journal stands at `phase`; see `make_holdable`."""
        self.machine.sh(f"printf %s {phase} > /run/hold-phase")

    def let_go(self) -> None:
        self.machine.sh("rm -f /run/hold-phase")

    def make_holdable(self) -> None:
        """Put a gate before the program that a move copies by, so that a test can stop it in a phase."""
        self.machine.run(["sh", "-c", f"cat > {_GATE} && chmod 755 {_GATE}"], stdin=_GATE_TEXT.encode())
        self.machine.sh(
            f"mv /usr/bin/rsync /usr/bin/rsync.real && printf '#!/bin/sh\\n{_GATE}\\nexec /usr/bin/rsync.real \"$@\"\\n' > /usr/bin/rsync"
            " && chmod 755 /usr/bin/rsync"
        )

    def wait_for_phase(self, *phases: str, running: Running | None = None, limit_s: float = 240, besides: Collection[str] = ()) -> str:
        """Return as soon as some run's journal stands at one of `phases`; a verb that ends before that is an error.

        The runs with their keys in `besides` don't count: they may have stood there for long.
        """
        limit = time.monotonic() + limit_s
        while time.monotonic() < limit:
            for key, phase in self.phases().items():
                if phase in phases and key not in besides:
                    return phase
            assert running is None or running.process.poll() is None, running.end().err
            time.sleep(0.3)
        raise AssertionError(f"no phase {phases} within {limit_s} s: {self.phases()}")

    def wait_for_words(self, running: Running, words: str, limit_s: float = 120) -> None:
        """Return as soon as the verb said these words, and its playbook has had time to start."""
        limit = time.monotonic() + limit_s
        while words not in running.said():
            assert running.process.poll() is None, running.end()
            assert time.monotonic() < limit, running.said()
            time.sleep(0.3)
        # A new connection of Ansible's: whoever waits there now is the verb's own task.
        while self.machine.run(["pgrep", "-f", "docker-root [w]ait"]).returncode != 0:
            assert running.process.poll() is None, running.end()
            assert time.monotonic() < limit, running.said()
            time.sleep(0.3)

    def assert_on_one_place(self, root: str, data: Mapping[str, Any]) -> None:
        """The engine runs on `root` alone, with the containers that ran before, and their data is as given."""
        assert self.root() == root
        assert self.data() == data
        other = {"/var/lib/docker", "/mnt/data/docker"} - {root}
        users = self.machine.sh(f"readlink -f /proc/[0-9]*/cwd /proc/[0-9]*/fd/* 2>/dev/null | grep -c ^{other.pop()}/ || true")
        assert users.strip() == "0"


_GATE = "/usr/local/sbin/hold"
_GATE_TEXT = """#!/bin/sh
while [ -e /run/hold-phase ] && grep -q "\\"phase\\": \\"$(cat /run/hold-phase)\\"" /var/lib/controlplane/*/state.json; do sleep 0.1; done
exit 0
"""


def signing_key(folder: Path, name: str) -> Path:
    """Make a person's ssh key."""
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)], check=True)
    return path


def allow(folder: Path, *people: Path) -> Path:
    """Write the allowed signers: each person under the name of their key file."""
    path = folder / "allowed_signers"
    path.write_text("".join(f"{key.name}@here {key.with_suffix('.pub').read_text().strip()}\n" for key in people))
    return path


def planned(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the plan's change records as an apply has to report them."""
    return [{**change, "status": "done"} for step in plan["steps"] for change in step["changes"]]


def verdicts(report: Mapping[str, Any], plan: Mapping[str, Any]) -> set[str]:
    """Return the verdicts of what the plan promised to mend."""
    promised = {(mend["check"], mend["surface"]) for step in plan["steps"] for mend in step["mends"]}
    found = {(f["check"], f["surface"]): f["verdict"] for f in report["findings"]}
    assert promised <= found.keys()
    return {found[key] for key in promised}
