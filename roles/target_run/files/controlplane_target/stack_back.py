"""The way back of a deployment, as it is left before anything changes: the files as they were, what ran, and the undo that needs no controller."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict
from typing import Any

from . import compose, stack_files, way_back
from .docker_engine import Engine
from .files import read_json, remove, sync_directory, write_json
from .stack_containers import Container, of_project
from .stack_images import local
from .stack_request import ENV_FILE, Request
from .state import Run, utc

_BEFORE = "before.json"
_UNDO = """#!/bin/sh
# Take back what run {key} deployed: the files as they were, and the images that ran. Needs no controller; safe to run again.
exec {python} -B {folder}/controlplane_target undo --run {key} "$@"
"""
_README = """Run {key}, role compose_stack, project {project}

It writes the files of a release into {place} and lets Compose bring them up. What ran here is in state.json (key "phase"): "done" means that the
release runs, "failed" that not all of it got healthy, "undone" that what was before runs again. How the files were, one of them with secrets, and which
images ran, is in before.json, for root alone: "text" of each is in base64.

See how things are:   {python} -B {folder}/controlplane_target state --run {key}
Go back:              {folder}/undo     (no volume is removed; what the release did to its data, such as a migration, stays)
Cut off halfway:      the host goes on by itself at its next start; or apply the same plan again

Going back by hand, should Python be broken:
  1. put each of "files" in before.json back: base64 -d of "text", with its "mode"; remove those that did not "exist"
  2. with "stack": docker compose --project-name {project} --project-directory {place}, each of its files with --file, up --detach --wait --pull never
     without it nothing ran before: docker compose --project-name {project} down     (never with --volumes)
"""


def record(run: Run, engine: Engine, request: Request) -> bool:
    """Leave undo, README and how things are now; return whether anything is new. Only for a run that has changed nothing yet."""
    values = {"key": run.key, "folder": run.folder, "python": sys.executable, "project": request.project, "place": request.folder}
    written = way_back.leave(run, {}, undo=_UNDO.format(**values), readme=_README.format(**values))
    held = now(run, engine, request)
    if read_json(run.folder / _BEFORE) == held:
        return bool(written)
    write_json(run.folder / _BEFORE, held)
    return True


def before(run: Run) -> dict[str, Any]:
    """Return how things were before a run."""
    return dict(read_json(run.folder / _BEFORE) or {})


def now(run: Run, engine: Engine, request: Request) -> dict[str, Any]:
    """Return how things are now, as a way back needs it."""
    containers = of_project(engine.containers(), request.project)
    return {
        "files": stack_files.snapshots(request),
        "made": stack_files.missing_folders(request.folder),
        "deployed": read_json(stack_files.record_of(run.home, request.project)),
        "stack": _stack(containers),
        "services": [_told(engine, one) for one in containers],
    }


def _stack(containers: list[Container]) -> dict[str, Any] | None:
    """Return how Compose was told of what runs: as the container that was made last has it."""
    newest = max(containers, key=lambda one: str(one.inspection["Created"]), default=None)
    stack = None if newest is None else compose.stack_of(newest.inspection)
    return None if stack is None else asdict(stack)


def _told(engine: Engine, one: Container) -> dict[str, Any]:
    digests = sorted((local(engine, one.image) or {}).get("RepoDigests") or [])
    return {"service": one.service, "name": one.name, "image": one.image, "asked_for": one.asked_for, "digests": digests, "demand": one.demand}


def note_deployed(run: Run, containers: dict[str, list[str]]) -> None:
    """Leave on this host what was deployed, by the run that did."""
    state, files = run.state, dict(run.state["files"])
    kept = ("environment", "project", "manifest", "manifest_name", "images", "env_digest")
    order = [os.path.basename(path) for path in state["stack"]["files"]]
    told = {"stack": state["release"], "dir": state["folder"], "env_sha256": files.pop(ENV_FILE), "files": files, "order": order}
    _write_record(run, {**{name: state[name] for name in kept}, **told, "containers": containers, "run": run.key, "at": utc(time.time())})


def put_back_record(run: Run, held: dict[str, Any], containers: dict[str, list[str]]) -> None:
    """Leave what was deployed before: its containers were made anew from the same files and images."""
    if held["deployed"] is not None:
        _write_record(run, {**held["deployed"], "containers": containers})
    elif stack_files.record_of(run.home, run.state["project"]).exists():
        remove(stack_files.record_of(run.home, run.state["project"]))


def _write_record(run: Run, record: dict[str, Any]) -> None:
    place = stack_files.record_of(run.home, str(record["project"]))
    place.parent.mkdir(mode=0o700, exist_ok=True)
    write_json(place, record)
    sync_directory(place.parent.parent)
