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
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import compose, inside, redis_file, text_change, text_history, way_back
from .compose import Stack
from .docker_engine import Engine
from .faults import FailedFault, RefusedFault
from .files import read_json, remove, write_like
from .redis_options import UnclearError, with_directives, with_options
from .redis_server import Server
from .state import Run

if TYPE_CHECKING:
    from .redis_aof import Request

_CHANGE = "settings.json"
_WHOLE = "configuration-before"
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
Go back:              {folder}/undo     (writes dump.rdb anew, then turns AOF off, and puts the file back)
"""


def planned(server: Server, request: Request) -> dict[str, Any] | None:
    """Return {path, anew} of what has to be written, None where nothing has. Raises `RefusedFault`."""
    if not request.persist:
        return None
    if request.route == "file":
        path, text = _file(server, request)
        return {"path": path, "anew": False} if with_directives(text, request.persist) != text else None
    if is_told(server, request):
        return None
    path, _, _, stack = _command(server, request)
    compose.assert_alone(server.inspection, stack, Engine())
    return {"path": path, "anew": True}


def lacking(server: Server, request: Request) -> list[str]:
    """Return what is not persisted."""
    if not request.persist:
        return []
    if request.route == "compose":
        return [] if is_told(server, request) else ["its command does not carry the settings"]
    seen = inside.read(server.pid, str(request.file)).decode("utf-8", "surrogateescape")
    return [] if with_directives(seen, request.persist) == seen else [f"{request.file} does not carry the settings"]


def prepare(run: Run, server: Server, request: Request, python: str) -> dict[str, Any]:
    """Leave the way back: how the file changes, and the undo. Raises `RefusedFault` where Compose would read more into the change than that."""
    stack, path, old, new = None, "", "", ""
    if request.persist and request.route == "file":
        path, old = _file(server, request)
        new = with_directives(old, request.persist)
    elif request.persist and not is_told(server, request):
        path, old, new, stack = _command(server, request)
        if not (run.folder / _CHANGE).exists() and _of_another(run, request, old) is None:
            # Also where the file carries the settings already: somebody wrote them, and perhaps more, and never brought it up.
            compose.assert_made_from(stack, request.container)
            compose.assert_only_command_differs(stack, path, new, lambda words: list(with_options(words, request.persist)))
    values = {"key": run.key, "folder": run.folder, "python": python, "container": request.container, "path": path or "no file"}
    change = _of_another(run, request, old) or {**text_change.change_of(old, new), "files": compose.digests(stack) if stack else {}}
    records = {_CHANGE: json.dumps(change, indent=1) + "\n"} if path else {}
    written = way_back.leave(run, records, undo=_UNDO.format(**values), readme=_README.format(**values))
    if "asked" not in run.state:
        run.write(role="redis_aof", phase="prepared", path=path, asked=_plain(request), stack=stack and asdict(stack))
    return {"changed": bool(written)}


def _of_another(run: Run, request: Request, text: str) -> dict[str, Any] | None:
    """Return the change that an earlier run made to that file and did not come to the end with: it is this run's own from now on."""
    for other in reversed(run.home.runs()):
        asked = other.state.get("asked") or {}
        if other.key == run.key or other.state.get("role") != "redis_aof" or other.phase in ("done", "undone"):
            continue
        change = _change(other)
        if change is not None and asked.get("container") == request.container and change["after"] == text_change.digest(text) != change["before"]:
            return change
    return None


def write(run: Run, server: Server, request: Request) -> bool:
    """Write the settings where the container reads them; return whether anything changed. Raises `FailedFault` where somebody wrote there meanwhile."""
    change = _change(run)
    if change is None or (request.route == "compose" and is_told(server, request)):
        return False
    if request.route == "file":
        with redis_file.opened(server, str(request.file), os.O_RDWR) as (place, held):
            old = redis_file.text(held)
            new = with_directives(old, request.persist)
            _assert_known(change, place, old, run.folder / _WHOLE)
            remove(run.folder / _WHOLE)
            if new == old:
                return False
            text_history.note(run.home, place, change)
            return redis_file.write(held, place, new, run.folder / _WHOLE)
    path, old, new, _ = _command(server, request)
    _assert_known(change, path, old)
    if new != old:
        text_history.note(run.home, path, change)
        write_like(Path(path), new.encode(), mode=0o644)
    return new != old


def assert_as_written(run: Run) -> None:
    """Raise `FailedFault` where any of the stack's files is not as it was when the way back was left, but for our own change."""
    change = _change(run)
    if change is None:
        return
    stack = compose.stack_from(run.state["stack"])
    wanted = {**change["files"], run.state["path"]: change["after"]}
    if others := sorted(
        path for path, digest in {**wanted, **compose.digests(stack)}.items() if compose.digests(stack).get(path) != wanted.get(path)
    ):
        raise FailedFault(
            f"{', '.join(others)} changed while this ran, and to make {run.state['container']} anew would bring that into effect as well. The settings "
            "run, and the container was left as it is. Bring it up to its files yourself, then make a new plan"
        )


def refuse_back(of: Run) -> None:
    """Raise `RefusedFault` where somebody changed the file since that run wrote it."""
    change = _change(of)
    if change is None:
        return
    path = Path(of.state["path"])
    if not path.exists() or text_history.without(of.home, str(path), path.read_bytes().decode("utf-8", "surrogateescape"), change) is None:
        raise RefusedFault(
            f"{path} was changed by somebody since this run wrote it. Nothing was changed. Take those changes back, or undo this by hand: "
            f"{of.folder}/README says what it was."
        )


def put_back(of: Run, server: Server, request: Request) -> bool:
    """Put the file back byte for byte; return whether that changed anything. Raises `FailedFault` where somebody wrote there meanwhile."""
    change = _change(of)
    if change is None:
        return False
    if request.route == "file":
        with redis_file.opened(server, str(request.file), os.O_RDWR) as (place, held):
            old = _taken_back(of, change, place, redis_file.text(held))
            return redis_file.write(held, place, old, of.folder / _WHOLE) if old is not None else False
    path = str(of.state["path"])
    old = _taken_back(of, change, path, compose.read_text(path))
    if old is not None:
        write_like(Path(path), old.encode(), mode=0o644)
    return old is not None


def is_told(server: Server, request: Request) -> bool:
    """Say whether the container's own command carries the settings."""
    words = [str(word) for word in server.inspection["Config"].get("Cmd") or []]
    try:
        return bool(words) and with_options(words, request.persist) == words
    except UnclearError:
        return False


def _change(run: Run) -> dict[str, Any] | None:
    change: dict[str, Any] | None = read_json(run.folder / _CHANGE)
    return change


def _taken_back(of: Run, change: dict[str, Any], path: str, now: str) -> str | None:
    """Return the text without that change, noted as about to be written; None where it is without it already. Raises `FailedFault`."""
    old = text_history.without(of.home, path, now, change)
    if old is None:
        raise FailedFault(
            f"{path} was changed by somebody since this run wrote it. It was left as it is. Take those changes back, then run this again"
        )
    if old == now:
        return None
    text_history.note(of.home, path, text_history.undoing(now, old))
    return old


def _assert_known(change: dict[str, Any], path: str, text: str, aside: Path | None = None) -> None:
    if text_change.digest(text) in (change["before"], change["after"]):
        return
    if aside is not None and aside.exists():
        raise FailedFault(
            f"{path} is neither as it was nor as this run makes it: an earlier attempt was cut off while it wrote it, or somebody changed it. {aside} is "
            f"its text from before: see to it by hand ('cat {aside} > {path}', not mv), then run this again"
        )
    raise FailedFault(f"{path} was changed by somebody while this ran, and left as it is; the settings run. Make a new plan: it persists them")


def _file(server: Server, request: Request) -> tuple[str, str]:
    with redis_file.opened(server, str(request.file), os.O_RDONLY) as (place, held):
        return place, redis_file.text(held)


def _command(server: Server, request: Request) -> tuple[str, str, str, Stack]:
    """Return the compose file, its text before and after, and the stack. Raises `RefusedFault`."""
    stack = _stack(server)
    server.place_of(server.redis.settings(["dir"])["dir"])
    path, text = compose.file_of_command(stack)
    if Path(path).is_symlink():
        raise RefusedFault(f"{path} is a symbolic link, which an atomic write would replace: name the file itself. Nothing was changed.")
    own = text.command(stack.service)
    try:
        wanted = with_options(own if own is not None else _of_its_image(server, path), request.persist)
    except UnclearError as fault:
        raise RefusedFault(
            f"{path}, services.{stack.service}.command: {fault}. Nothing was changed. Set it there yourself, then plan again."
        ) from fault
    old = compose.read_text(path)
    return path, old, old if own == wanted else text.with_command(stack.service, wanted), stack


def _of_its_image(server: Server, path: str) -> list[str]:
    """Return the command that the image brings, for a service whose file names none. Raises `RefusedFault` where the container has another one."""
    words = [str(word) for word in server.inspection["Config"].get("Cmd") or []]
    image = Engine().get(f"/images/{server.inspection['Image']}/json")
    if words != [str(word) for word in (image.get("Config") or {}).get("Cmd") or []]:
        # Resolved, it may hold a password that the files only name.
        raise RefusedFault(
            f"{path} does not say the command of {server.name} itself (extends, a merge, another file): write it there. Nothing was changed."
        )
    return [word.replace("$", "$$") for word in words]


def _stack(server: Server) -> Stack:
    stack = compose.stack_of(server.inspection)
    if stack is None:
        raise RefusedFault(
            f"{server.name} was not made by Compose, so nobody here can make it anew as it was. Nothing was changed. By hand: run the same image with "
            "its volumes and these settings at the end of its command, once they run live ('redis-cli config set appendonly yes')."
        )
    return stack


def _plain(request: Request) -> dict[str, Any]:
    """Return what an undo has to know of the request; no password is part of it."""
    auth = {"user": request.login.user, "password_env": request.login.variable}
    kept = ("container", "settings", "persist", "route", "file", "port", "wait_s", "stop_s", "answer_s")
    return {**{name: getattr(request, name) for name in kept}, "auth": {name: value for name, value in auth.items() if value}}
