"""Bootstrap of a fresh machine by `apply`, against the same plays by plain ansible-playbook on the project that `render` writes.

The program's time is that of its steps alone, from the first one's start to the second witness: evidence and verification are
what the program adds on purpose, and are told in the note. Each round is a fresh machine for each side.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
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
# The line of the progress with which the steps are over.
_AFTER_THE_STEPS = "verify by two witnesses"


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
                steps, whole = _applied(plan)
                ours.append(steps)
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
    """Return the seconds of the steps, and of the whole apply."""
    argv = [str(PROGRAM), "apply", str(plan), "--site", str(plan.parent / "site"), "-o", "json"]
    answer = plan.with_name("answer.json")
    began = time.perf_counter()
    with answer.open("w") as out, subprocess.Popen(argv, cwd=ROOT, stdout=out, stderr=subprocess.PIPE, text=True) as process:
        told = process.stderr or ()
        marks = [time.perf_counter() for line in told if line.startswith((f"{_MACHINE}/010 ", _AFTER_THE_STEPS))]
    whole = time.perf_counter() - began
    result = json.loads(answer.read_text())
    if result["outcome"] != "done" or len(marks) != 2:
        raise BenchError(f"the apply ended {result['outcome']}: {result['messages']}")
    return marks[1] - marks[0], whole


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
