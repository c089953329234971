"""Where a Redis container reads its settings at its next start, and how they get there: its configuration file, or its command in a compose file.

Rules:
- A configuration file is written only where it is the very file that the container sees, on a mount; in its own layer it would be gone with it.
- With a command the container has to be made anew: refused where it is not what its files say, where others live in it, or where its data lies on
  no mount.
- How a file is changed is on disk in the run's folder before it is, without what stays: that may be a password. All of a configuration file is there
  only while it is written, for root alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import compose, redis_change, redis_command, redis_conf, text_change, text_history, way_back
from .docker_engine import Engine
from .faults import RefusedFault
from .redis_options import with_directives, with_options
from .redis_server import Server
from .state import Run

if TYPE_CHECKING:
    from .redis_request import Request

_UNDO = """#!/bin/sh
# Take back what run {key} set and persisted, without losing a key. Needs no controller; safe to run again.
exec {python} -B {folder}/controlplane_target undo --run {key} "$@"
"""
_README = """Run {key}, role redis_aof, container {container}

It set Redis' durability while it ran ("before" and "after" in state.json) and persisted it in {path}. How that file was changed stands in
settings.json: "edits" are [start, end, what stood there before], in characters of the text as it is now. Where there is a configuration-before, a
write of that file was cut off, and that is all of its text before; it may hold a password.

See how things are:   {python} -B {folder}/controlplane_target state --run {key}
Cut off halfway:      apply the same plan again
Failed while its container was made anew, and there is nothing to plan:
                      {python} -I -X utf8 -B {folder}/controlplane_target redis settle --run {key}
                      compares its keys with those from before, and ends the run; where only the controller has its
                      password, apply the same plan again, or let the next run at it do that
Its container stands still, and Docker does not start it ("guard" in state.json):
                      the same 'redis settle' brings it up with its append-only file, where that is whole; 'docker start'
                      would have its last dump
Go back:              {folder}/undo     (writes dump.rdb anew, then turns AOF off, and puts the file back; where only the
                      controller has its password: controlplane rollback {key})
"""


def planned(server: Server, request: Request) -> dict[str, Any] | None:
    """Return {path, anew} of what has to be written, None where nothing has. Raises `RefusedFault`."""
    if not request.persist:
        return None
    if request.route == "file":
        path, text = redis_conf.text(server, request)
        return {"path": path, "anew": False} if with_directives(text, request.persist) != text else None
    if is_told(server, request):
        return None
    path, _, _, stack = redis_command.edited(server, request)
    compose.assert_alone(server.inspection, stack, Engine())
    return {"path": path, "anew": True}


def lacking(server: Server, request: Request) -> list[str]:
    """Return what is not persisted."""
    if not request.persist:
        return []
    if request.route == "compose":
        return [] if is_told(server, request) else ["its command does not carry the settings"]
    return redis_conf.lacking(server, request)


def prepare(run: Run, server: Server, request: Request, python: str) -> dict[str, Any]:
    """Leave the way back: how the file changes, and the undo. Raises `RefusedFault` where Compose would read more into the change than that."""
    stack, path, old, new = None, "", "", ""
    if request.persist and request.route == "file":
        path, old = redis_conf.text(server, request)
        new = with_directives(old, request.persist)
    elif request.persist and not is_told(server, request):
        path, old, new, stack = redis_command.edited(server, request)
        if not (run.folder / redis_change.NAME).exists() and redis_change.of_another(run, request, old) is None:
            # Also where the file carries the settings already: somebody wrote them, and perhaps more, and never brought it up.
            compose.assert_made_from(stack, request.container)
            compose.assert_only_command_differs(stack, path, new, lambda words: list(with_options(words, request.persist)))
    values = {
        "key": run.key,
        "folder": run.folder,
        "python": python,
        "container": request.container,
        "path": path or run.state.get("path") or "no file",
    }
    change = redis_change.of_another(run, request, old) or text_change.change_of(old, new)
    if stack is not None and not (run.folder / redis_change.NAME).exists():
        change = redis_command.noted(stack, path, change)
    records = {redis_change.NAME: json.dumps(change, indent=1) + "\n"} if path else {}
    written = way_back.leave(run, records, undo=_UNDO.format(**values), readme=_README.format(**values))
    if "asked" not in run.state:
        run.write(role="redis_aof", phase="prepared", path=path, asked=_plain(request), stack=stack and asdict(stack))
    return {"changed": bool(written)}


def write(run: Run, server: Server, request: Request) -> bool:
    """Write the settings where the container reads them; return whether anything changed. Raises `FailedFault` where somebody wrote there meanwhile."""
    change = redis_change.of(run)
    if change is None or (request.route == "compose" and is_told(server, request)):
        return False
    if request.route == "file":
        return redis_conf.write(run, server, request, change)
    return redis_command.write(run, server, request, change)


def assert_as_written(run: Run) -> None:
    """Raise `FailedFault` where the stack is not as it was when the way back was left, but for our own change."""
    change = redis_change.of(run)
    if change is not None:
        redis_command.assert_as_written(run, change)


def refuse_back(of: Run) -> None:
    """Raise `RefusedFault` where somebody changed the file since that run wrote it."""
    change = redis_change.of(of)
    if change is None:
        return
    path = Path(of.state["path"])
    if path.exists() and redis_conf.is_cut_off(of):
        # Who puts it back mends that, or names what lies aside.
        return
    if not path.exists() or text_history.without(of.home, str(path), path.read_bytes().decode("utf-8", "surrogateescape"), change) is None:
        raise RefusedFault(
            f"{path} was changed by somebody since this run wrote it. Nothing was changed. Take those changes back, or undo this by hand: "
            f"{of.folder}/README says what it was."
        )


def put_back(of: Run, server: Server, request: Request) -> bool:
    """Put the file back byte for byte; return whether that changed anything. Raises `FailedFault` where somebody wrote there meanwhile."""
    change = redis_change.of(of)
    if change is None:
        return False
    if request.route == "file":
        return redis_conf.put_back(of, server, request, change)
    return redis_command.put_back(of, server, change, is_told=is_told(server, request))


def is_made(server: Server, request: Request) -> bool:
    """Say whether what only a container made anew reads is asked for, and this one reads it."""
    return bool(request.persist) and request.route == "compose" and is_told(server, request)


def is_told(server: Server, request: Request) -> bool:
    """Say whether the container's own command carries the settings."""
    return redis_command.is_told(server.inspection, request)


def _plain(request: Request) -> dict[str, Any]:
    """Return what an undo has to know of the request; no password is part of it."""
    auth = {"user": request.login.user, "password_env": request.login.variable}
    kept = ("container", "settings", "persist", "route", "file", "port", "wait_s", "stop_s", "answer_s")
    return {**{name: getattr(request, name) for name in kept}, "auth": {name: value for name, value in auth.items() if value}}
