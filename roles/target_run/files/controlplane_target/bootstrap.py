"""A fresh machine's baseline on the machine itself: what speaks against it, Docker's configuration ahead of its packages, and the way back.

Rules:
- Everything that is written is recorded before, so that it comes back byte for byte; packages are never removed.
- Docker's configuration is written only where no Docker has kept anything yet, and where its guarded mount is there.
- An installation that one of our runs began is finished; one that somebody else left half done is refused.
"""

from __future__ import annotations

import base64
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from . import configs, containerd_toml, packages, root_request
from .faults import FailedFault, RefusedFault
from .files import restore, snapshot, text_of, write_atomic
from .mounts import read
from .state import Home, Run
from .systemd import systemctl

ROLE = "vm_bootstrap"
SUPPORTED = {"debian": ("12", "13"), "ubuntu": ("22.04", "24.04")}
DOCKER_UNITS = ("docker.socket", "docker.service", "containerd.service")
DEFAULT_ROOT = "/var/lib/docker"
_START_LIMIT_S = 900
_ENABLED = ("enabled", "static", "generated")
_GUARD = "/etc/systemd/system/docker.service.d/50-controlplane-mounts.conf"


class Wanted(NamedTuple):
    """What the role was told: `docker` is {} where no configuration has to be there ahead, `mounts` what it needs, `files` are apt's."""

    packages: list[str]
    units: list[str]
    docker: dict[str, Any]
    mounts: list[dict[str, str]]
    files: list[dict[str, str]]


def parse(data: dict[str, Any]) -> Wanted:
    """Return the request of its JSON form."""
    if set(data) != set(Wanted._fields):
        raise RefusedFault(f"the request is no object of {', '.join(Wanted._fields)}. Nothing was changed.")
    return Wanted(**data)


def unit_states(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return {load, enabled, active} of each unit, by one call: a slow machine feels every program. Raises `FailedFault`."""
    asked = list(dict.fromkeys(names))
    if not asked:
        return {}
    # A block for each, in this order: a name may be another's alias, so that its own word tells nothing.
    shown = systemctl("show", "--property=LoadState,UnitFileState,ActiveState", "--", *asked).strip("\n").split("\n\n")
    if len(shown) != len(asked):
        raise FailedFault(f"systemctl told of {len(shown)} units, and {len(asked)} were asked for: {', '.join(asked)}")
    found = {}
    for name, block in zip(asked, shown):
        held = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        found[name] = {"load": held.get("LoadState", ""), "enabled": held.get("UnitFileState", ""), "active": held.get("ActiveState", "")}
    return found


def asleep(states: dict[str, dict[str, str]]) -> list[str]:
    """Return those units that are not both enabled and active."""
    return [name for name, state in states.items() if state["enabled"] not in _ENABLED or state["active"] != "active"]


def _pairs(wanted: Wanted) -> list[configs.Pair]:
    moves = []
    if wanted.docker.get("containerd_root") and wanted.docker["containerd_root"] != containerd_toml.DEFAULT_ROOT:
        moves.append({"kind": "containerd", "from": containerd_toml.DEFAULT_ROOT, "to": wanted.docker["containerd_root"]})
    settings = dict(wanted.docker.get("daemon_json") or {})
    if settings.get("data-root", DEFAULT_ROOT) != DEFAULT_ROOT:
        moves.append({"kind": "docker", "from": DEFAULT_ROOT, "to": settings["data-root"]})
    held = configs.pairs(root_request.parse({"moves": moves, "daemon_json": settings})) if wanted.docker else []
    for file in wanted.files:
        before = snapshot(Path(file["path"]))
        after = {"path": file["path"], "exists": True, "text": base64.b64encode(file["text"].encode()).decode(), "mode": 0o644, "uid": 0, "gid": 0}
        held += [{"before": before, "after": after}] if before != after else []
    return held


def _system_fault() -> str:
    pairs = (line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    release = {key: value.strip("\"'") for key, value in pairs}
    name, version = release.get("ID", ""), release.get("VERSION_ID", "")
    if version in SUPPORTED.get(name, ()):
        return ""
    known = "; ".join(f"{key} {', '.join(versions)}" for key, versions in SUPPORTED.items())
    return f"this is {name or 'an unknown system'} {version}, and bootstrap knows {known}"


def is_ours_half_done(home: Home) -> bool:
    """Say whether a run of this role began an installation and did not come to its end."""
    return any(run.state.get("role") == ROLE and run.phase == "installing" for run in home.runs())


def _uuid_at(path: str) -> str:
    return subprocess.run(["findmnt", "-fnro", "UUID", path], capture_output=True, text=True, check=False, timeout=60).stdout.strip()


def _docker_faults(wanted: Wanted) -> list[str]:
    found = []
    mounted = {mount.mount for mount in read()}
    for one in wanted.mounts:
        path, uuid = one["path"], one["uuid"]
        if path not in mounted:
            found.append(f"nothing is mounted at {path}, on which Docker's root is to lie")
        elif (seen := _uuid_at(path)) != uuid:
            found.append(f"{path} is the filesystem {seen or 'of no UUID'}, not {uuid}")
    if wanted.mounts and not Path(_GUARD).is_file():
        found.append(f"{_GUARD} is not there, so nothing would keep Docker from starting on the bare mountpoint")
    root = (wanted.docker.get("daemon_json") or {}).get("data-root")
    kept = [(root, Path(DEFAULT_ROOT))] if root else []
    kept += [(wanted.docker["containerd_root"], Path(containerd_toml.DEFAULT_ROOT))] if wanted.docker.get("containerd_root") else []
    for wish, place in kept:
        # dpkg makes empty directories; what an engine kept has entries below them.
        if str(place) != wish and place.is_dir() and any(entry.is_file() or any(entry.iterdir()) for entry in place.iterdir() if entry.name != "opt"):
            found.append(f"{place} holds what an earlier engine kept, and a new one would start without it on {wish}: move it away or remove it")
    return found


def _dpkg_now(*, ours: bool) -> tuple[str, bool]:
    """Return what speaks against installing anything now, and whether what is half done is this program's own, to be finished."""
    if locked := packages.lock_fault():
        return locked, False
    try:
        half_done = packages.half_done()
    except FailedFault as fault:
        return f"{fault}: mend what it names", False
    if half_done and not ours:
        names = ", ".join(half_done[:5])
        return f"dpkg was left half done with {names} by somebody else: look at 'dpkg --audit', then 'dpkg --configure -a'", False
    return "", bool(half_done)


def refuse(home: Home, wanted: Wanted) -> dict[str, Any]:
    """Return what is to be done ({pending, packages, units, repair, planned}). Raises `RefusedFault` with all that speaks against it."""
    missing, states, pairs = packages.missing(wanted.packages), unit_states(wanted.units), _pairs(wanted)
    down = asleep(states)
    found = [text for text in [_system_fault()] if text]
    ours, repair = is_ours_half_done(home), False
    if missing or ours:
        refusal, repair = _dpkg_now(ours=ours)
        found += [refusal] if refusal else []
        missing = packages.missing(wanted.packages)
        if wanted.docker and missing:
            found += _docker_faults(wanted)
    for name in down:
        state = states[name]["load"]
        if state == "masked" or (state == "not-found" and not missing):
            found.append(f"{name} is {state}{'' if state == 'masked' else ', and no package is left to bring it'}")
    if found:
        raise RefusedFault(f"bootstrap refused: {'; '.join(found)}. Nothing was changed.")
    return {
        "pending": bool(missing or down or pairs or repair),
        "packages": missing,
        "units": down,
        "repair": repair,
        "planned": configs.planned(pairs),
    }


_UNDO = """#!/bin/sh
# Take back what run {key} switched on and wrote; packages stay. Needs no controller; safe to run again.
exec {python} -B {folder}/controlplane_target undo --run {key} "$@"
"""
_README = """Run {key}, role vm_bootstrap

It installed packages, switched units on and wrote files, as state.json names them ("packages", "units", "configs" with the text before in base64).
See how things are:   {python} -B {folder}/controlplane_target state --run {key}
Cut off halfway:      apply the same plan again; by hand: dpkg --configure -a, then apt-get -f install
Go back:              {folder}/undo     (stops and switches off those units, puts the files back; packages and what Docker wrote stay)
"""


def prepare(run: Run, wanted: Wanted, python: str) -> dict[str, Any]:
    """Record how it was, once, and lay down the way back."""
    if "configs" not in run.state:
        before = unit_states([*wanted.units, *(DOCKER_UNITS if wanted.docker else ())])
        run.write(role=ROLE, phase="prepared", configs=_pairs(wanted), units=before, packages=packages.missing(wanted.packages))
    changed = False
    values = {"key": run.key, "folder": run.folder, "python": python}
    for name, text, mode in (("undo", _UNDO, 0o700), ("README", _README, 0o600)):
        path, data = run.folder / name, text.format(**values).encode()
        if not path.exists() or path.read_bytes() != data:
            write_atomic(path, data, mode=mode)
            changed = True
    return {"changed": changed}


def configure(run: Run, wanted: Wanted) -> dict[str, Any]:
    """Write apt's files and Docker's configuration, and say that the installation begins."""
    pairs = _pairs(wanted)
    if wanted.docker:
        run.home.write_last_change(run.key, time.time())
    if any(Path(pair["after"]["path"]).is_relative_to(packages.APT) for pair in pairs):
        # Before: a run that is killed in between must not take old lists for those of the new source.
        packages.forget_lists()
    configs.switch(pairs, "after")
    run.write(phase="installing")
    return {"changed": bool(pairs), "written": [pair["after"]["path"] for pair in pairs]}


def switch_on(run: Run, wanted: Wanted) -> dict[str, Any]:
    """Enable and start the units that are not. Raises `FailedFault`."""
    states = unit_states(wanted.units)
    down = asleep(states)
    if down:
        off = [name for name in down if states[name]["enabled"] not in _ENABLED]
        try:
            # Also what an attempt that was killed wrote, and no systemd has read.
            systemctl("daemon-reload")
            if off:
                systemctl("enable", "--", *off)
            systemctl("start", "--", *down, timeout=_START_LIMIT_S)
        except FailedFault as fault:
            raise FailedFault(f"{fault}. Mend what it names, then plan again. Go back: {run.folder}/undo") from fault
        except subprocess.TimeoutExpired as fault:
            raise FailedFault(
                f"{', '.join(down)} did not come up within {fault.timeout:.0f} s, and systemd goes on with it ('systemctl list-jobs' tells). "
                f"Plan again once it is up. Go back: {run.folder}/undo"
            ) from fault
    return {"changed": bool(down), "units": down}


def _docker() -> dict[str, Any]:
    """Return what Docker says of itself."""
    from .docker_engine import Engine  # noqa: PLC0415 - it brings a third of all that is imported here, and most verbs ask no Docker

    return Engine().info()


def prove(run: Run, wanted: Wanted) -> dict[str, Any]:
    """Read back that everything is there and up. Raises `FailedFault`."""
    problems = [f"{name} is not installed" for name in packages.missing(wanted.packages)]
    problems += [f"{name} is not enabled and active ('systemctl status {name}' tells more)" for name in asleep(unit_states(wanted.units))]
    problems += [f"{pair['after']['path']} is not as it was written" for pair in _pairs(wanted)]
    root = (wanted.docker.get("daemon_json") or {}).get("data-root")
    if root and "docker.service" in wanted.units and not problems:
        seen = _docker()["DockerRootDir"]
        problems += [] if seen == root else [f"Docker runs on {seen}, not on {root}"]
    if is_ours_half_done(run.home) and (half_done := packages.half_done()):
        problems.append(f"dpkg calls {', '.join(half_done[:5])} half done")
    if problems:
        raise FailedFault(f"bootstrap is not whole: {'; '.join(problems)}. Plan again: what is done stays done. Go back: {run.folder}/undo")
    # Also one that was cut off and that this plan came after: what somebody else leaves half done later is not ours to finish.
    for each in run.home.runs():
        if each.state.get("role") == ROLE and each.phase == "installing":
            each.write(phase="done", ended_by=run.key)
    return {"changed": False}


def undo(of: Run) -> dict[str, Any]:
    """Take back what that run switched on and wrote. Raises `RefusedFault` where somebody uses it or changed it since."""
    if of.state.get("role") != ROLE or "configs" not in of.state:
        return {"changed": False}
    before, now_is = of.state["units"], unit_states(of.state["units"])
    up = [name for name, was in before.items() if was["active"] != "active" and now_is[name]["active"] == "active"]
    off = [name for name, was in before.items() if was["enabled"] not in _ENABLED and now_is[name]["enabled"] == "enabled"]
    if "docker.service" in up and (held := _docker()["Containers"]):
        raise RefusedFault(
            f"Docker holds {held} containers by now, which would stop. Nothing was changed. Remove them first, or leave Docker as it is."
        )
    back = []
    for pair in of.state["configs"]:
        now = configs.on_disk(pair)
        if now == pair["before"]:
            continue
        if text_of(now) != text_of(pair["after"]):
            raise RefusedFault(
                f"{pair['after']['path']} was changed by somebody since this run wrote it. Nothing was changed. Take those changes back."
            )
        back.append(pair)
    for name in sorted(up, key=lambda name: (not name.endswith(".socket"), name == "containerd.service")):
        systemctl("stop", name)
    for name in off:
        systemctl("disable", name)
    for pair in back:
        restore(pair["before"])
    if back:
        of.home.write_last_change(of.key, time.time())
    of.write(phase="undone")
    return {"changed": bool(up or off or back), "stopped": up, "disabled": off, "restored": [pair["before"]["path"] for pair in back]}
