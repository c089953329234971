"""Downtime of a data-root move against stop, copy by rsync, start; both less what a bare stop and start takes on the same machine.

The program moves from the boot disk to the data disk by plan and apply, and reports the downtime that the host measured. Then rsync,
as an operator would type it, copies the same root back to the boot disk. Both disks are files on one disk of this host. rsync proves
nothing of its copy; the program does.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench.lab_site import made_anew, write_site
from bench.rows import PROGRAM, BenchError, Row, Skipped, command
from controlplane.adapters.lab.requirements import missing_reason

_MACHINE = "bench-move"
_POLICY = """\
    docker: {data_root: /mnt/data/docker, log: {max_size: 10MB, max_files: 3}}
    services: {app: {kind: files, data: /data, volume: app}}
"""
# One container with its files in a named volume; it ends at once when it is asked to, so that no stop timeout hides what is measured.
_FILL = """
set -e
docker run -d --name app --restart always --stop-signal KILL -v app:/data --entrypoint sleep lab/services:1 infinity >/dev/null
at=$(docker volume inspect -f '{{{{.Mountpoint}}}}' app)
python3 - "$at" {files} {size} <<'PY'
import os, sys
at, files, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for number in range(files):
    folder = f"{{at}}/{{number // 200:03d}}"
    os.makedirs(folder, exist_ok=True)
    with open(f"{{folder}}/{{number:05d}}", "wb") as file:
        file.write(os.urandom(size))
PY
sync
"""
# Seconds from the moment at which the container is told to stop until it answers again; in between what is measured.
_DOWN = """
set -e
sync
began=$(date +%s.%N)
docker stop app >/dev/null
systemctl stop docker.socket docker.service containerd.service
{between}
# Several starts a minute are what systemd would refuse; here they are the measurement.
systemctl reset-failed docker.socket docker.service containerd.service 2>/dev/null || true
systemctl start containerd.service docker.service
until docker exec app true 2>/dev/null; do sleep 0.1; done
python3 -c "import sys, time; print(time.time() - float(sys.argv[1]))" "$began"
"""
_COPY = """
rsync -aHAXS --numeric-ids /mnt/data/docker/ /var/lib/docker-by-rsync/
sed -i 's#/mnt/data/docker#/var/lib/docker-by-rsync#' /etc/docker/daemon.json
"""


def _on(script: str) -> str:
    done = subprocess.run(
        [str(PROGRAM), "lab", "ssh", _MACHINE, "--", "bash -s"], input=script, capture_output=True, text=True, check=False, timeout=900
    )
    if done.returncode != 0:
        raise BenchError(f"on {_MACHINE}: {done.stderr[-1000:]}")
    return done.stdout


def measure(*, quick: bool) -> list[Row | Skipped]:
    """Return one row."""
    files, size = (2_000, 50_000) if quick else (20_000, 50_000)
    what = f"downtime of a data-root move, {files * size / 1e9:.1f} GB in {files:,} files"
    reason = missing_reason()
    if reason is not None:
        return [Skipped(what, f"it needs a lab machine: {reason}")]
    rounds = 1 if quick else 3
    made: list[_Round] = []
    try:
        for _ in range(rounds):
            disk = made_anew(_MACHINE, "--boot-gib", "12", "--data-gib", "6")
            with TemporaryDirectory() as folder:
                made.append(_moved(Path(folder), disk, files=files, size=size))
    finally:
        command([PROGRAM, "lab", "down", _MACHINE, "--destroy"])
    ours, theirs = (statistics.median(values) for values in zip(*((one.ours, one.theirs) for one in made), strict=True))
    floor = statistics.median(floor for one in made for floor in one.floors)
    phases = made[-1].phases
    return [
        Row(
            f"{what}: {ours:.1f} s less the bare stop and start, {floor:.1f} s",
            max(ours - floor, 0.0),
            f"stop, rsync, start: {theirs:.1f} s less the same",
            theirs - floor,
            0.25,
            note=f"phases of the move after the stop began: {phases}",
        )
    ]


class _Round(NamedTuple):
    """Downtimes on one fresh machine, in seconds: of the program's move, of rsync's, of bare stops and starts; and what the first consists of."""

    ours: float
    theirs: float
    floors: list[float]
    phases: str


def _moved(folder: Path, disk: str, *, files: int, size: int) -> _Round:
    """Move the root of a filled machine by the program, and then on by rsync."""
    site, plan = write_site(folder, _MACHINE, disk, policy=_POLICY), folder / "plan.json"
    _on(_FILL.format(files=files, size=size))
    floors = [float(_on(_DOWN.format(between="true")))]
    command([PROGRAM, "plan", "--site", site, "--out", plan], allow=(3,))
    result = json.loads(command([PROGRAM, "apply", plan, "--site", site, "-o", "json"], timeout=1800))
    root = _on("docker info -f '{{.DockerRootDir}}'").strip()
    if result["outcome"] != "done" or root != "/mnt/data/docker":
        raise BenchError(f"the move ended {result['outcome']} with Docker on {root}: {result['messages']}")
    times = json.loads(_on("cat /var/lib/controlplane/*docker.data_root*/state.json"))["phase_at"]
    begun = sorted(times.items(), key=lambda entry: entry[1])
    phases = ", ".join(f"{phase} {end - at:.1f} s" for (phase, at), (_, end) in itertools.pairwise(begun))
    floors.append(float(_on(_DOWN.format(between="true"))))
    theirs = float(_on(_DOWN.format(between=_COPY)))
    if _on("docker info -f '{{.DockerRootDir}}'").strip() != "/var/lib/docker-by-rsync":
        raise BenchError("rsync's copy is not what Docker runs on")
    return _Round(float(result["downtime_s"]["app"]), theirs, floors, phases)
