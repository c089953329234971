"""Somebody who leads waves through the command line, and sites of lab machines that they are led at."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from controlplane.adapters.process_tree import Process, ProcessTree
from tests.lab.conftest import LabMachine
from tests.lab.operating import MAIN, ROOT, Said

POLICY = """version: 1
tiers:
  data-disk: {data: disk}
hosts:
"""
HOST = """  NAME:
    tier: data-disk
    disks: [{loop_file: FILE, min_size: 500MB, max_size: 10GB, filesystem: ext4, mount: /mnt/data, options: [noatime]}]
"""
GATES = """packs:
  disks: {checks: [D240]}
promotion: {runs: 3, interval: 1s}
"""
REGISTERS = {
    "findings": "{STOR-101: {title: Data disks are not mounted, severity: high, status: open, waves: [W1], gaps: [GAP-OP-101], checks: [D240]}}",
    "gaps": "{GAP-OP-101: {title: Machines were made without their data disk, status: open, loops: [LOOP-DISKS-20260101], filed: 2026-01-01}}",
    "loops": "{LOOP-DISKS-20260101: {title: Every machine gets its data disk, status: open, opened: 2026-01-01}}",
}
# What a wave of data disks is unless a test says otherwise.
WAVE: dict[str, Any] = {
    "goal": "Every host has its data disk",
    "mutation": "controlled",
    "batch": 2,
    "capabilities": ["storage.data_disk", "storage.fstab"],
    "gaps": ["GAP-OP-101"],
    "pack": "disks",
    "entry": [{"kind": "checks", "checks": ["D240"]}, {"kind": "approval"}],
    "exit": [{"kind": "met", "checks": ["D240"], "surfaces": ["mount:*", "fstab:*"]}, {"kind": "pack", "pack": "disks"}],
    "outputs": ["preflight", "plan", "receipts", "post", "pack", "gaps"],
}


class Leader:
    """Somebody who leads waves at a site folder."""

    def __init__(self, site: Path, name: str = "ann") -> None:
        self.site = site
        self.env = {**os.environ, "PYTHONPATH": str(ROOT), "CONTROLPLANE_SITE": str(site), "COLUMNS": "400", "LOGNAME": name}

    def run(self, *words: str) -> Said:
        done = subprocess.run([*MAIN, *words], env=self.env, capture_output=True, text=True, timeout=900, check=False, cwd=ROOT)
        return Said(done.returncode, done.stdout, done.stderr)

    def did(self, *words: str, code: int = 0) -> Any:
        """Run a verb that has to end with that code, and return its JSON."""
        done = self.run(*words, "-o", "json")
        assert done.code == code, (words, done)
        return json.loads(done.out) if done.out else None

    def change(self, wave: str, *capability: str) -> Any:
        """Plan, approve and run a change set of a wave."""
        self.did("wave", "plan", wave, *capability, code=3)
        self.did("wave", "approve", wave)
        result = self.did("wave", "run", wave)
        assert result["outcome"] == "done", result
        return result

    def start(self, *words: str) -> Going:
        """Start a verb and return while it runs."""
        return Going(self, words)

    def kill_within(self, wave: str, words: str) -> None:
        """Run a wave and kill its controller, and what that started, once it said those words."""
        going = self.start("wave", "run", wave)
        going.wait_for(words)
        time.sleep(1)
        going.kill()

    def assert_receipts_hold(self) -> None:
        done = self.run("receipts", "verify")
        assert (done.code, ", 0 faults" in done.out) == (0, True), done


class Going:
    """A verb that runs; its output goes to files, so that a pipe never holds it up."""

    def __init__(self, leader: Leader, words: Sequence[str]) -> None:
        self._out = leader.site.parent / f"out-{time.monotonic_ns()}"
        self._err = self._out.with_suffix(".err")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen([*MAIN, *words], env=leader.env, stdout=out, stderr=err, cwd=ROOT, start_new_session=True)

    def said(self) -> str:
        """Return what standard error holds so far."""
        return self._err.read_text()

    def wait_for(self, words: str, limit_s: float = 120) -> None:
        """Return as soon as it said these words."""
        end = time.monotonic() + limit_s
        while words not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < end, self.said()
            time.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        """Tell the controller and all that it started to stand still, to go on, or to be gone."""
        started = int(Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[19])
        # The controller itself first: whoever starts programs stands still before they are counted.
        os.kill(self.process.pid, number)
        for pid, _ in ProcessTree([Process(self.process.pid, started)]).follow():
            if pid != self.process.pid:
                os.kill(pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGSTOP)
        self.signal(signal.SIGKILL)
        self.process.wait()

    def end(self, limit_s: float = 400) -> Said:
        """Wait until it ended."""
        code = self.process.wait(timeout=limit_s)
        return Said(code, self._out.read_text(), self._err.read_text())


def disk_site(folder: Path, machines: Sequence[LabMachine], *, store: str = "sqlite", waves: Mapping[str, Mapping[str, Any]]) -> Path:
    """Make a site of machines with a blank data disk each; `waves` are changes of `WAVE` by name."""
    for room in ("waves", "registers"):
        (folder / room).mkdir(parents=True)
    policy = "".join(HOST.replace("NAME", one.name).replace("FILE", str(one.data_file)) for one in machines)
    (folder / "policy.yml").write_text(POLICY + policy)
    vars_ = {"ansible_user": "root", "ansible_python_interpreter": "/usr/bin/python3", "ansible_ssh_common_args": f"-F {machines[0].ssh_config}"}
    (folder / "hosts.yml").write_text(json.dumps({"all": {"vars": vars_, "hosts": {one.name: {} for one in machines}}}))
    site = {"name": "disks", "inventory": "hosts.yml", "timezone": "UTC", "approval": "self", "store": store, "evidence_max_age": "15m"}
    (folder / "site.yml").write_text(json.dumps(site))
    (folder / "gates.yml").write_text(GATES)
    for name, text in REGISTERS.items():
        (folder / "registers" / f"{name}.yml").write_text(f"{name}: {text}\n")
    for name, changes in waves.items():
        write_wave(folder, name, **changes)
    return folder


def write_wave(site: Path, name: str, **changes: Any) -> None:
    """Write a wave's file; what is changed to None is left out."""
    said = {key: value for key, value in {**WAVE, **changes}.items() if value is not None}
    (site / "waves" / f"{name}.yml").write_text(json.dumps(said))


def until(true: Callable[[], bool], limit_s: float = 120) -> None:
    """Return as soon as it is so."""
    limit = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.2)
