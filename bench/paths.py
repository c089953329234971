"""Downtime of one service's move against stop, copy by rsync, start, under writes; and copy with all content read against plain rsync.

Both downtimes are less a bare stop and start, and end when the store answers. PostgreSQL is told to stop as its image has it. It and an object store,
each on the boot disk, are written to at some 5 MB/s all the time. The program moves each to the data disk by plan and apply, and reports the downtime
that the host measured. Then rsync, as an operator would type it, copies the same data to a third place, and the compose file is edited by hand. Both
disks are files on one disk of this host.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.lab_site import made_anew, write_site
from bench.rows import PROGRAM, BenchError, Row, Skipped, command
from controlplane.adapters.lab.requirements import missing_reason

_MACHINE = "bench-paths"
_COMPOSE = """name: bench
services:
  db:
    image: lab/services:1
    container_name: db
    command: [serve-postgres]
    stop_signal: SIGINT
    volumes: ["db:/var/lib/postgresql/data"]
    ports: ["127.0.0.1:5432:5432"]
  store:
    image: lab/services:1
    container_name: store
    init: true
    command: [serve-s3]
    volumes: ["store:/data"]
    ports: ["127.0.0.1:9000:9000"]
volumes: {db: {}, store: {}}
"""
_POLICY = """\
    services:
      db: {kind: postgres, data: /var/lib/postgresql/data, place: /mnt/data/db}
      store: {kind: minio, data: /data, place: /mnt/data/store}
"""
_ANSWERS = {"db": "docker exec db psql -U postgres -qAtc 'select 1'", "store": "bash -c 'exec 3<>/dev/tcp/127.0.0.1/9000'"}
_FILL = """
set -e
mkdir -p /opt/bench
cat > /opt/bench/compose.yml
docker compose -f /opt/bench/compose.yml up -d --wait 2>/dev/null
until {answers}; do sleep 0.2; done >/dev/null 2>&1
docker exec db psql -U postgres -qc 'create table filler as select n, repeat(md5(n::text), 30) from generate_series(1, {rows}) n' \\
  -c 'create table load (body text)' -c checkpoint
docker exec store bash -c 'mkdir -p /data/fill && for n in $(seq {files}); do head -c 250000 /dev/urandom > /data/fill/$n; done'
sync
"""
_LOAD = r"""
import http.client, socket, struct, threading, time

def database():
    while True:
        try:
            s = socket.create_connection(("127.0.0.1", 5432), timeout=20)
            f = s.makefile("rb")
            words = b"user\0postgres\0database\0postgres\0\0"
            s.sendall(struct.pack(">II", len(words) + 8, 196608) + words)
            def ready():
                while True:
                    head = f.read(5)
                    if len(head) < 5:
                        raise OSError
                    f.read(struct.unpack(">I", head[1:])[0] - 4)
                    if head[:1] == b"Z":
                        return
            ready()
            while True:
                body = b"INSERT INTO load SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 8000)\0"
                s.sendall(b"Q" + struct.pack(">I", len(body) + 4) + body)
                ready()
                time.sleep(0.05)
        except OSError:
            time.sleep(0.1)

def store():
    n = 0
    while True:
        try:
            c = http.client.HTTPConnection("127.0.0.1", 9000, timeout=20)
            c.request("PUT", "/load")
            c.getresponse().read()
            while True:
                c.request("PUT", "/load/%d" % n, b"x" * 250000)
                c.getresponse().read()
                n += 1
                time.sleep(0.05)
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)

for act in (database, store):
    threading.Thread(target=act).start()
"""
# Seconds from the moment at which the container is told to stop until it answers again; in between what is measured.
_DOWN = """
set -e
sync
began=$(date +%s.%N)
docker compose -f /opt/bench/compose.yml stop {name} >/dev/null 2>&1
{between}
docker compose -f /opt/bench/compose.yml up -d --no-deps {name} >/dev/null 2>&1
until {answers}; do sleep 0.05; done >/dev/null 2>&1
python3 -c "import sys, time; print(time.time() - float(sys.argv[1]))" "$began"
"""
_COPY = """
mkdir -p /mnt/by-rsync-{name}
rsync -aHAXSx --numeric-ids /mnt/data/{name}/ /mnt/by-rsync-{name}/
sed -i 's#/mnt/data/{name}#/mnt/by-rsync-{name}#' /opt/bench/compose.yml
"""
# The same trees, copied by each in turn onto a fresh place of the data disk.
_THROUGHPUT = """
import contextlib, os, shutil, subprocess, sys, time
sys.path.insert(0, {tools!r})
from controlplane_target.tree_compare import clock_ns, compare_trees
from controlplane_target.tree_copy import copy_tree, sync_filesystem
source, rounds = {source!r}, []
# The first of each takes blocks that the disk's file does not have yet, and isn't counted.
for count in range({rounds} + 1):
    for who in ("ours", "rsync"):
        to = "/mnt/data/throughput-" + who
        shutil.rmtree(to, ignore_errors=True)
        os.makedirs(to)
        os.sync()
        # A container must not drop the host's pages: there both read from memory, turn by turn.
        with contextlib.suppress(OSError):
            open("/proc/sys/vm/drop_caches", "w").write("3")
        began = time.monotonic()
        if who == "ours":
            since = clock_ns()
            sync_filesystem(source)
            copy_tree(source, to, live=False)
            # A move reads what changed since its copy began, which is nothing in a tree at rest: here the proof reads all of it, on both sides.
            compared = compare_trees(source, to, read_since_ns=0, began_ns=since, proven=None)
            assert compared.read and not compared.differences
        else:
            subprocess.run(["rsync", "-aHAXSx", "--numeric-ids", source + "/", to + "/"], check=True)
        # In a move too it comes last, once the proof has read what of it is not on the disk yet.
        sync_filesystem(to)
        rounds += [(who, time.monotonic() - began)] if count else []
for who in ("ours", "rsync"):
    print(sorted(seconds for held, seconds in rounds if held == who)[len(rounds) // 4])
"""


def _on(script: str, *, stdin: str = "") -> str:
    argv = [str(PROGRAM), "lab", "ssh", _MACHINE, "--", "bash", "-c", script]
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=1200)
    if done.returncode != 0:
        raise BenchError(f"on {_MACHINE}: {done.stderr[-1000:]}")
    return done.stdout


def measure(*, quick: bool) -> list[Row | Skipped]:
    """Return a row a service, and one for the copy with its proof."""
    size = 0.1 if quick else 1.0
    what = f"downtime of a move of {size:.1f} GB under writes"
    reason = missing_reason()
    if reason is not None:
        return [Skipped(what, f"it needs a lab machine: {reason}")]
    made: dict[str, list[tuple[float, float, float]]] = {"db": [], "store": []}
    copies: list[tuple[float, float]] = []
    try:
        for _ in range(1 if quick else 3):
            disk = made_anew(_MACHINE, "--boot-gib", "16", "--data-gib", "10")
            with TemporaryDirectory() as folder:
                _moved(Path(folder), disk, size, made, copies, rounds=1 if quick else 3)
    finally:
        command([PROGRAM, "lab", "down", _MACHINE, "--destroy"])
    rows: list[Row | Skipped] = []
    for name, kind in (("db", "PostgreSQL"), ("store", "object store")):
        ours, theirs, floor = (statistics.median(values) for values in zip(*made[name], strict=True))
        rows.append(
            Row(
                f"{what}, {kind}: {ours:.1f} s less a bare stop and start, {floor:.1f} s",
                max(ours - floor, 0.0),
                f"stop, rsync, start: {theirs:.1f} s less the same",
                theirs - floor,
                0.25,
            )
        )
    ours, theirs = (statistics.median(values) for values in zip(*copies, strict=True))
    rows.append(
        Row(
            f"copy of {size:.1f} GB with its proof, all content read",
            ours,
            "rsync -aHAXSx of the same",
            theirs,
            1 / 0.7,
            note="at least 0.7x of its throughput",
        )
    )
    return rows


def _moved(
    folder: Path, disk: str, size: float, made: dict[str, list[tuple[float, float, float]]], copies: list[tuple[float, float]], *, rounds: int
) -> None:
    site, plan = write_site(folder, _MACHINE, disk, policy=_POLICY), folder / "plan.json"
    fill = _FILL.format(answers=" && ".join(_ANSWERS.values()), rows=int(size * 1e6), files=int(size * 4000))
    _on(fill, stdin=_COMPOSE)
    floors = {name: float(_on(_DOWN.format(name=name, between="true", answers=_ANSWERS[name]))) for name in made}
    _on("cat > /root/load.py; systemd-run --quiet --unit=load python3 /root/load.py", stdin=_LOAD)
    command([PROGRAM, "plan", "--site", site, "--out", plan], allow=(3,))
    result = json.loads(command([PROGRAM, "apply", plan, "--site", site, "-o", "json"], timeout=1800))
    if result["outcome"] != "done":
        raise BenchError(f"the move ended {result['outcome']}: {result['messages']}")
    for name, found in made.items():
        theirs = float(_on(_DOWN.format(name=name, between=_COPY.format(name=name), answers=_ANSWERS[name])))
        found.append((float(result["downtime_s"][name]), theirs, floors[name]))
    _on("systemctl stop load")
    tools = _on("ls -d /var/lib/controlplane/*persistent_paths* | head -1").strip()
    script = _THROUGHPUT.format(tools=tools, source="/mnt/data/store", rounds=rounds)
    ours, theirs = _on("python3 -", stdin=script).split()
    copies.append((float(ours), float(theirs)))
