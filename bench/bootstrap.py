"""Bootstrap of a fresh machine by `apply`, against the same plays by plain ansible-playbook on the project that `render` writes.

The program's time is that of its plays, as long as ansible-runner has them running. What it adds on purpose, evidence before and after each
step and two witnesses at the end, is told in the note. Each round is a fresh machine for each side.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.lab_site import made_anew, write_site
from bench.rows import PROGRAM, ROOT, BenchError, Row, Skipped, command, timed
from controlplane.adapters.lab.requirements import missing_reason

_MACHINE = "bench-fresh"
_POLICY = "    docker: {data_root: /mnt/data/docker, containerd_root: /mnt/data/containerd, log: {max_size: 10MB, max_files: 3}}\n"
_MACHINES = f"""\
version: 1
profiles:
  fresh: {{baseline: {{packages: [tini], time: none, docker: {{packages: [docker.io, docker-cli]}}}}}}
machines:
  {_MACHINE}: {{profile: fresh}}
"""
_STEPS = 3


def measure(*, quick: bool) -> list[Row | Skipped]:
    """Return one row."""
    what = "bootstrap of a fresh machine: disk, fstab, packages, Docker"
    reason = missing_reason()
    if reason is not None:
        return [Skipped(what, f"it needs a lab machine: {reason}")]
    ours, wholes, theirs = [], [], []
    try:
        for _ in range(1 if quick else 3):
            with TemporaryDirectory() as folder:
                plan = _planned(Path(folder))
                plays, whole = _applied(plan)
                ours.append(plays)
                wholes.append(whole)
            with TemporaryDirectory() as folder:
                theirs.append(_played(_planned(Path(folder))))
    finally:
        command([PROGRAM, "lab", "down", _MACHINE, "--destroy"])
    note = f"the whole apply, with fresh evidence before and two witnesses after: {statistics.median(wholes):.1f} s"
    return [Row(what, statistics.median(ours), "the same plays by plain ansible-playbook", statistics.median(theirs), 1.1, note=note)]


def _planned(folder: Path) -> Path:
    """Make the machine anew and return the file of its plan, beside its site."""
    site = write_site(folder, _MACHINE, made_anew(_MACHINE, "--engine", "none"), policy=_POLICY, machines=_MACHINES)
    command([PROGRAM, "bootstrap", _MACHINE, "--site", site, "--out", folder / "plan.json"], allow=(3,))
    return folder / "plan.json"


def _applied(plan: Path) -> tuple[float, float]:
    """Return the seconds of the plays, and of the whole apply."""
    argv = [str(PROGRAM), "apply", str(plan), "--site", str(plan.parent / "site"), "-o", "json"]
    answer, told = plan.with_name("answer.json"), plan.with_name("told")
    began = time.perf_counter()
    with answer.open("w") as out, told.open("w") as err, subprocess.Popen(argv, cwd=ROOT, stdout=out, stderr=err) as process:
        plays = _seconds_of_plays(process)
    whole = time.perf_counter() - began
    if process.returncode != 0:
        raise BenchError(f"the apply ended with {process.returncode}: {told.read_text()[-2000:]}")
    if len(plays) != _STEPS:
        raise BenchError(f"{len(plays)} plays were seen to run, not {_STEPS}")
    return sum(plays), whole


def _seconds_of_plays(process: subprocess.Popen[bytes]) -> list[float]:
    """Watch a process until it ends; return how long each of its playbooks ran, to a twentieth of a second."""
    seen: dict[str, list[float]] = {}
    while process.poll() is None:
        for children in Path(f"/proc/{process.pid}/task").glob("*/children"):
            with suppress(OSError):
                for pid in children.read_text().split():
                    if b"site.yml" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                        seen.setdefault(pid, []).append(time.perf_counter())
        time.sleep(0.05)
    return [moments[-1] - moments[0] for moments in seen.values()]


def _played(plan: Path) -> float:
    """Return the seconds of ansible-playbook on the rendered plan."""
    project = plan.parent / "project"
    command([PROGRAM, "render", plan, "--site", plan.parent / "site", "--out", project])

    def play() -> None:
        argv = [str(PROGRAM.with_name("ansible-playbook")), "site.yml"]
        done = subprocess.run(argv, cwd=project, capture_output=True, text=True, check=False, timeout=900)
        if done.returncode != 0:
            raise BenchError(f"ansible-playbook ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-500:]}")

    return timed(play)
