"""Everything that speaks against moving Docker's roots, collected before anything is touched.

Rules:
- All reasons are collected, so that one visit mends them all.
- What is not understood is refused: other storage drivers, symlinks, nested mounts, remapped users, containers that live in the old root by a path of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from . import configs, containerd_toml, daemon_json, lost_found, mounts, redis_guard, redis_live, redis_rest, retired
from .docker_engine import Engine
from .faults import FailedFault
from .root_request import Move, Request
from .state import Home, Run
from .systemd import loaded
from .tree_measure import is_empty, measure
from .units import STOP_ORDER, arguments_of, is_stale, program_of, shims_of_others, started_at

DRIVERS = ("overlay2", "overlayfs", "vfs")
MARGIN = 64 << 20
MARGIN_INODES = 1000


def roots_now(info: dict[str, Any]) -> dict[str, str]:
    """Return {kind: the root in use now}."""
    return {"docker": str(info["DockerRootDir"]), "containerd": containerd_toml.root_of(configs.refuse_unreadable(Path(containerd_toml.PATH)))}


def still_to_move(request: Request, roots: dict[str, str]) -> list[Move]:
    """Return the moves whose root is not at its destination yet."""
    return [move for move in request.moves if roots[move.kind] != move.destination]


def reasons(home: Home, request: Request, engine: Engine, info: dict[str, Any]) -> list[str]:
    """Return one sentence for each thing that speaks against the request now; reading only."""
    roots = roots_now(info)
    moves = still_to_move(request, roots)
    found = _of_the_engine(info, moves) + _of_the_units(request) + configs.faults(configs.pairs(request))
    containers: list[dict[str, Any]] = []
    try:
        containers = engine.containers()
    except FailedFault as fault:
        # What it can't read is in the way by itself, and what follows may say why.
        found.append(str(fault).rstrip("."))
    for move in moves:
        if roots[move.kind] != move.source:
            found.append(f"{move.kind}'s root is {roots[move.kind]}, neither {move.source} nor {move.destination}")
            continue
        found += _of_the_source(move, engine) + _of_the_destination(home, move) + _of_the_containers(move, containers)
    # All that Docker has is stopped, and started by it.
    found += of_the_running(containers) + redis_guard.keeping(home, lambda _run: True)
    return found + of_the_space([move for move in moves if os.path.isdir(move.source)])


def _of_the_engine(info: dict[str, Any], moves: list[Move]) -> list[str]:
    found = []
    if moves and info.get("Driver") not in DRIVERS:
        found.append(f"Docker's storage driver is {info.get('Driver')}: only {', '.join(DRIVERS)} can be copied file by file")
    if (info.get("Swarm") or {}).get("LocalNodeState", "inactive") not in ("inactive", ""):
        found.append("this host is a live swarm node: drain it and let it leave first")
    for option in info.get("SecurityOptions") or []:
        name = option.split(",")[0]
        if moves and name in ("name=userns", "name=rootless", "name=selinux"):
            found.append(f"Docker runs with {name[5:]}, whose paths and labels this role does not carry over")
    if moves and not shutil.which("rsync"):
        found.append("rsync is not installed: install it")
    return found


def _of_the_units(request: Request) -> list[str]:
    if not loaded("docker.service"):
        return ["docker.service is not known to systemd: Docker is started in a way that this role can't stop and start"]
    words = arguments_of("docker.service")
    found = daemon_json.conflicts(words, request.settings())
    flags = daemon_json.keys_of_flags(words)
    program = program_of("docker.service")
    if not os.path.basename(program).startswith("dockerd"):
        found.append(f"docker.service starts {program or 'nothing'}, not dockerd itself, so the flags of dockerd can't be read: start it directly")
    found += [f"{unit} changed since systemd read it: run 'systemctl daemon-reload'" for unit in STOP_ORDER if is_stale(unit)]
    if not configs.dockerd_validates() and os.path.exists(daemon_json.PATH) and os.stat(daemon_json.PATH).st_ctime > started_at("docker.service"):
        found.append(
            f"{daemon_json.PATH} was written after Docker started, and this dockerd can't judge it: restart Docker, to see that it runs on it"
        )
    if "config-file" in flags:
        found.append(f"dockerd is started with {flags['config-file']}: this role writes {daemon_json.PATH}")
    if any(move.kind == "containerd" for move in request.moves):
        if not loaded("containerd.service"):
            found.append("containerd.service is not known to systemd, so its root can't be moved")
        contained = daemon_json.keys_of_flags(arguments_of("containerd.service"))
        found += [
            f"containerd is started with {contained[key]}: this role writes {containerd_toml.PATH}"
            for key in ("root", "config", "c")
            if key in contained
        ]
    others = shims_of_others()
    if others:
        found.append(f"containerd also runs containers of {', '.join(others)}, which this role neither stops nor starts")
    return found


def _of_the_source(move: Move, engine: Engine) -> list[str]:
    if os.path.realpath(move.source) != move.source:
        return [f"{move.source} leads to {os.path.realpath(move.source)} by a symbolic link: name the real path"]
    if not os.path.isdir(move.source):
        return [f"{move.source} is no directory"]
    found = [
        f"{entry.path} is a symbolic link, which Docker breaks when it removes things below it"
        for entry in os.scandir(move.source)
        if entry.is_symlink()
    ]
    own = {f"{move.source}/volumes/{held['Name']}/_data" for held in engine.get("/volumes").get("Volumes") or [] if held.get("Options")}
    for mount in mounts.below(move.source, mounts.read()):
        of_docker = mount.fstype in ("overlay", "nsfs") or mount.mount.endswith(("/mounts/shm", "/rootfs", "/merged")) or mount.mount in own
        if not of_docker:
            found.append(f"{mount.mount} is a {mount.fstype} mount below {move.source} that Docker did not make: move it out first")
    return found


def foreign(home: Home, destination: str, names: list[str]) -> str | None:
    """Return why what lies at a destination must not be written over; None where it is this program's own, unchanged since."""
    record = next((held for held in home.retired() if held["path"] == destination), None)
    if record is not None:
        if retired.differs(record):
            return f"{destination} changed since {record['run']} retired it: look at what is newer there"
        return None
    # A partial copy that no services lived on. One that they did live on is live, or on record as retired.
    partial = ("precopying", "precopied", "staging", "reverted")
    copies = [tree for run in home.runs() if run.phase in partial for tree in run.state.get("trees") or [] if tree[_copy_side(run)] == destination]
    if not copies:
        return f"{destination} is not empty, and no run of this program on this host made it: empty it, or choose another path"
    known = set(names).union(*(tree.get("names") or [] for tree in copies))
    others = sorted(set(lost_found.names_in(destination)) - known)
    if others:
        return f"{destination} holds {', '.join(others[:5])}, which the copy that was begun there does not: move it away, or choose another path"
    return None


def _copy_side(run: Run) -> str:
    # What carried newer data back came from the copy.
    return "from" if run.state.get("leg") == "carry" else "to"


def _of_the_destination(home: Home, move: Move) -> list[str]:
    table = mounts.read()
    nearest = mounts.nearest_existing(move.destination)
    if os.path.realpath(nearest) != nearest:
        return [f"{nearest} leads to {os.path.realpath(nearest)} by a symbolic link: name the real path"]
    place = mounts.mount_of(nearest, table)
    if place.mount == "/" or place.dev == mounts.mount_of(mounts.nearest_existing(move.source), table).dev:
        return [
            f"{move.destination} lies on {place.mount} ({place.source}), the boot disk or the disk that {move.source} is on: its own disk is not mounted"
        ]
    found = []
    if place.fstype not in ("ext4", "xfs"):
        found.append(f"{place.mount} is {place.fstype}: only ext4 and xfs are known to keep all that Docker relies on")
    if place.fstype == "xfs" and "ftype=1" not in _xfs_info(place.mount):
        found.append(f"{place.mount} is xfs without ftype=1 (or xfs_info is not installed): overlay loses files there")
    if "ro" in place.options.split(","):
        found.append(f"{place.mount} is mounted read-only")
    if os.path.lexists(move.destination) and not os.path.isdir(move.destination):
        found.append(f"{move.destination} exists and is no directory")
    elif not is_empty(move.destination):
        reason = foreign(home, move.destination, os.listdir(move.source))
        found += [reason] if reason else []
    found += [f"{mount.mount} is mounted below {move.destination}" for mount in mounts.below(move.destination, table)]
    return [*found, *lost_found.clash(move.source, move.destination)]


def _xfs_info(mount: str) -> str:
    try:
        return subprocess.run(["xfs_info", mount], capture_output=True, text=True, check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}).stdout
    except FileNotFoundError:
        return ""


def _of_the_containers(move: Move, containers: list[dict[str, Any]]) -> list[str]:
    found = []
    for held in containers:
        binds = [mount["Source"] for mount in held.get("Mounts") or [] if mount.get("Type") == "bind" and mount.get("RW")]
        inside = [path for path in binds if mounts.is_at_or_below(os.path.realpath(path), move.source)]
        name = held["Name"].lstrip("/")
        found += [f"container {name} writes to {path} by its own path, and would go on writing there: give it the volume by name" for path in inside]
    return found


def of_the_running(containers: list[dict[str, Any]]) -> list[str]:
    """Return what of the containers could not be stopped and started as it is."""
    found = []
    for held in containers:
        name, state = held["Name"].lstrip("/"), held["State"]
        if state.get("Paused"):
            found.append(f"container {name} is paused, and can't be stopped and started as it is: unpause it")
        if state.get("Running") and (held.get("HostConfig") or {}).get("AutoRemove"):
            found.append(
                f"container {name} runs with --rm, and stopping it would delete it with its anonymous volumes: stop it yourself, or run it without --rm"
            )
    return found + redis_rest.at_risk(containers) + redis_live.at_risk(containers)


def needs(moves: list[Move]) -> list[dict[str, Any]]:
    """Return what each destination's filesystem must have free for what is not there yet: [{mount, bytes, inodes, free_bytes, free_inodes}]."""
    found: dict[str, dict[str, Any]] = {}
    table = mounts.read()
    for move in moves:
        nearest = mounts.nearest_existing(move.destination)
        place = mounts.mount_of(nearest, table)
        size, entries = measure(move.source)
        have, present = measure(move.destination)
        free = os.statvfs(nearest)
        held = found.setdefault(
            place.mount,
            {
                "mount": place.mount,
                "bytes": MARGIN,
                "inodes": MARGIN_INODES,
                "free_bytes": free.f_bavail * free.f_frsize,
                "free_inodes": free.f_favail,
            },
        )
        held["bytes"] += max(0, int(size * 1.05) - have)
        held["inodes"] += max(0, int(entries * 1.05) - present)
    return list(found.values())


def of_the_space(moves: list[Move]) -> list[str]:
    found = []
    for held in needs(moves):
        if held["free_bytes"] < held["bytes"]:
            found.append(f"{held['mount']} has {held['free_bytes']} bytes free, the move needs {held['bytes']}")
        # btrfs and some others report no inodes at all, because they have no limit.
        if held["free_inodes"] < held["inodes"] and os.statvfs(held["mount"]).f_files:
            found.append(f"{held['mount']} has {held['free_inodes']} inodes free, the move needs {held['inodes']}")
    return found


def space_back(pairs: list[tuple[str, str]]) -> list[str]:
    """Return what is missing on the old place for what grew on the new one: pairs are (from, to)."""
    return of_the_space([Move("", source, destination) for source, destination in pairs if os.path.isdir(destination)])
