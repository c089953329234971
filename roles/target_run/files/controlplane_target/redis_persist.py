"""Where a Redis container reads its settings at its next start, and how they get there: its configuration file, or its command in a compose file.

Rules:
- A configuration file is written only where it is the very file that the container sees, on a mount; in its own layer it would be gone with it.
- With a command the container has to be made anew. Writes are held meanwhile, every key is compared, and data that lies on no mount forbids it.
- How a file was before is on disk in the run's folder before it is changed.
"""

from __future__ import annotations

import os
import time
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import compose, inside, redis_keys, way_back
from .compose import Stack
from .faults import FailedFault, RefusedFault
from .files import write_like
from .redis_options import UnclearError, with_directives, with_options
from .redis_server import Server
from .state import Run
from .systemd import unit_name

if TYPE_CHECKING:
    from .redis_aof import Request

_MOST_KEYS = 500_000
_HOLD_S = 60
_UNDO = """#!/bin/sh
# Take back what run {key} set and persisted, without losing a key. Needs no controller; safe to run again.
exec {python} -B {folder}/controlplane_target undo --run {key} "$@"
"""
_README = """Run {key}, role redis_aof, container {container}

It set Redis' durability while it ran ("before" and "after" in state.json) and persisted it in {path}; that file's text before and after lies
here as settings.before and settings.after.

See how things are:   {python} -B {folder}/controlplane_target state --run {key}
Cut off halfway:      apply the same plan again
Go back:              {folder}/undo     (writes dump.rdb anew, then turns AOF off, and puts the file back)
"""


def planned(server: Server, request: Request) -> dict[str, Any] | None:
    """Return {path, anew} of what has to be written, None where nothing has. Raises `RefusedFault`."""
    if request.route == "file":
        path, _, text = _file(server, request)
        return {"path": path, "anew": False} if with_directives(text, request.settings) != text else None
    path, old, new, _ = _command(server, request)
    return {"path": path, "anew": True} if old != new or not _is_told(server, request) else None


def lacking(server: Server, request: Request) -> list[str]:
    """Return what is not persisted."""
    if request.route == "compose":
        return [] if _is_told(server, request) else ["its command does not carry the settings"]
    seen = inside.read(server.pid, str(request.file)).decode("utf-8", "surrogateescape")
    return [] if with_directives(seen, request.settings) == seen else [f"{request.file} does not carry the settings"]


def prepare(run: Run, server: Server, request: Request, python: str) -> dict[str, Any]:
    """Leave the way back: the file as it was, and the undo. Raises `RefusedFault` where Compose would read more into the change than that."""
    records = {}
    path = ""
    if request.route == "file":
        path, _, text = _file(server, request)
        records = {"settings.before": text, "settings.after": with_directives(text, request.settings)}
    else:
        path, old, new, stack = _command(server, request)
        if old != new and not (run.folder / "settings.after").exists():
            compose.assert_made_from(stack, request.container)
            compose.assert_only_command_differs(stack, path, new, "--" + ", --".join(request.settings))
        records = {"settings.before": old, "settings.after": new}
    values = {"key": run.key, "folder": run.folder, "python": python, "container": request.container, "path": path}
    written = way_back.leave(run, records, undo=_UNDO.format(**values), readme=_README.format(**values))
    if "asked" not in run.state:
        run.write(
            role="redis_aof", phase="prepared", path=path, asked=_plain(request), stack=asdict(_stack(server)) if request.route == "compose" else None
        )
    return {"changed": bool(written)}


def persist(run: Run, request: Request) -> dict[str, Any]:
    """Write the settings where the container reads them, and make it anew where only that lets it read them. Raises `FailedFault`."""
    if run.phase == "making-anew":
        _made_anew(run, request, None)
    server = request.server()
    before: redis_keys.Table | None = None
    with closing(server.redis):
        changed = _write_in_place(run, server, request) if request.route == "file" else _write(run, "settings.after")
        anew = request.route == "compose" and not _is_told(server, request)
        if anew:
            before = held_keys(server, request)
            run.write(phase="making-anew", counts=_counts(server))
    if anew:
        _made_anew(run, request, before)
    _finish(run, request)
    return {"changed": changed or anew, "downtime_s": run.state.get("downtime_s", {})}


def _finish(run: Run, request: Request) -> None:
    """Let go of the dump that was kept aside: what it held is in files that are proven."""
    server = request.server()
    with closing(server.redis):
        dump = server.redis.settings(["dbfilename"])["dbfilename"]
        with server.data_folder() as folder, suppress(FileNotFoundError):
            os.unlink(f"{dump}.{run.key}", dir_fd=folder)
    run.write(phase="done")


def _counts(server: Server) -> dict[str, int]:
    return {str(database): count for database, count in redis_keys.counts(server.redis).items()}


def held_keys(server: Server, request: Request) -> redis_keys.Table | None:
    """Hold all writes for a while, and return what every key holds; None where there are too many for that while."""
    if sum(redis_keys.counts(server.redis).values()) > _MOST_KEYS:
        return None
    server.redis.ask("CLIENT", "PAUSE", str((_HOLD_S + request.stop_s) * 1000), "WRITE")
    began = time.monotonic()
    found = redis_keys.table(server.redis)
    if time.monotonic() - began > _HOLD_S / 2:
        server.redis.ask("CLIENT", "UNPAUSE")
        return None
    return found


def _made_anew(run: Run, request: Request, before: redis_keys.Table | None) -> None:
    """Make the container anew and compare its keys; leave the result in the journal. Raises `FailedFault`."""
    began = time.monotonic()
    unit = unit_name("redis_aof", request.container)
    # Nobody stops it, as is done to a `unit`: a container that is half made anew is no way back.
    run.write(package_unit=unit)
    compose.make_anew(Stack(**_tuples(run.state["stack"])), stop_s=request.stop_s, wait_s=request.answer_s, unit=unit, log=run.folder / "compose.log")
    run.write(package_unit=None)
    server = _answering(request)
    with closing(server.redis):
        downtime = {request.container: round(time.monotonic() - began, 3)}
        keys: dict[str, Any] = {
            "before": run.state.get("counts"),
            "after": _counts(server),
        }
        if before is not None:
            keys |= redis_keys.compared(before, server.redis)
    run.write(phase="persisted", keys=keys, downtime_s=downtime)
    if lost := keys.get("lost"):
        raise FailedFault(
            f"{len(lost)} keys of {request.container} are gone or differ since it was made anew, and no client explains it: {', '.join(lost[:5])}. "
            f"Its dump and its append-only file are kept in its data folder. Go back: {run.folder}/undo"
        )


def _answering(request: Request) -> Server:
    """Return the server once it has loaded its data. Raises `FailedFault`."""
    end = time.monotonic() + request.answer_s
    while True:
        try:
            server = request.server()
            if server.redis.info("persistence").get("loading") == "0":
                return server
            server.redis.close()
            said = "it still loads its data"
        except (RefusedFault, FailedFault, OSError) as fault:
            said = str(fault)
        if time.monotonic() > end:
            raise FailedFault(f"{request.container} does not answer {request.answer_s} s after it was made anew: {said}. Run the same plan again")
        time.sleep(0.1)


def refuse_back(of: Run) -> None:
    """Raise `RefusedFault` where somebody changed the file since that run wrote it."""
    if not of.state.get("path") or not (of.folder / "settings.after").exists():
        return
    now = _bytes(Path(of.state["path"]))
    if now not in (_bytes(of.folder / "settings.before"), _bytes(of.folder / "settings.after")):
        raise RefusedFault(
            f"{of.state['path']} was changed by somebody since this run wrote it. Nothing was changed. Take those changes back, or undo this by hand: "
            f"{of.folder}/README says what it was."
        )


def back(of: Run, request: Request) -> dict[str, Any]:
    """Put the file back, and make the container anew where it reads it only then. Raises `FailedFault`."""
    if not (of.folder / "settings.before").exists():
        return {"changed": False}
    if request.route == "file":
        server = request.server()
        with closing(server.redis):
            return {"changed": _write_in_place(of, server, request, back=True)}
    changed = _write(of, "settings.before")
    server = request.server()
    with closing(server.redis):
        if not _is_told(server, request):
            return {"changed": changed}
        before = held_keys(server, request)
        # What is in no append-only file any more has to be in the dump.
        server.await_saved(request.wait_s)
        of.write(counts=_counts(server))
    _made_anew(of, request, before)
    return {"changed": True, "keys": of.state["keys"]}


def _file(server: Server, request: Request) -> tuple[str, int, str]:
    """Return the configuration file's place on this host, its mode and its text. Raises `RefusedFault`."""
    path = str(request.file)
    place = server.place_of(path)
    try:
        with inside.opened(server.pid, path) as seen, inside.opened_plainly(place) as held:
            one, other = os.fstat(seen), os.fstat(held)
            text = os.pread(held, (1 << 20) + 1, 0)
    except OSError as fault:
        raise RefusedFault(f"{path} of {server.name} can't be read, or {place} is a link: {fault.strerror}. Nothing was changed.") from fault
    if (one.st_dev, one.st_ino) != (other.st_dev, other.st_ino):
        raise RefusedFault(
            f"{place} was replaced since {server.name} started, which still sees the file before it: restart it first, with AOF as it is. Nothing was changed."
        )
    return place, one.st_mode, text.decode("utf-8", "surrogateescape")


def _write_in_place(run: Run, server: Server, request: Request, *, back: bool = False) -> bool:
    """Write the file without replacing it: a container to which the file itself is bound sees no other one."""
    place, _, now = _file(server, request)
    data = (run.folder / ("settings.before" if back else "settings.after")).read_bytes()
    if now.encode("utf-8", "surrogateescape") == data:
        return False
    with inside.opened_plainly(place, os.O_RDWR) as held:
        os.pwrite(held, data, 0)
        os.ftruncate(held, len(data))
        os.fsync(held)
    return True


def _command(server: Server, request: Request) -> tuple[str, str, str, Stack]:
    """Return the compose file, its text before and after, and the stack. Raises `RefusedFault`."""
    stack = _stack(server)
    server.place_of(server.redis.settings(["dir"])["dir"])
    path, text = compose.file_of_command(stack)
    if Path(path).is_symlink():
        raise RefusedFault(f"{path} is a symbolic link, which an atomic write would replace: name the file itself. Nothing was changed.")
    own = text.command(stack.service)
    try:
        wanted = with_options(own if own is not None else _escaped(server), request.settings)
    except RefusedFault as fault:
        raise RefusedFault(
            f"{path}, services.{stack.service}.command: {fault}. Nothing was changed. Set it there yourself, then plan again."
        ) from fault
    old = Path(path).read_text("utf-8")
    return path, old, old if own == wanted else text.with_command(stack.service, wanted), stack


def _stack(server: Server) -> Stack:
    stack = compose.stack_of(server.inspection)
    if stack is None:
        raise RefusedFault(
            f"{server.name} was not made by Compose, so nobody here can make it anew as it was. Nothing was changed. By hand: run the same image with "
            "its volumes and these settings at the end of its command, once they run live ('redis-cli config set appendonly yes')."
        )
    return stack


def _escaped(server: Server) -> list[str]:
    return [str(word).replace("$", "$$") for word in server.inspection["Config"].get("Cmd") or []]


def _is_told(server: Server, request: Request) -> bool:
    """Say whether the container's own command carries the settings."""
    words = [str(word) for word in server.inspection["Config"].get("Cmd") or []]
    try:
        return bool(words) and with_options(words, request.settings) == words
    except UnclearError:
        return False


def _write(run: Run, record: str) -> bool:
    path, data = Path(run.state["path"]), (run.folder / record).read_bytes()
    if _bytes(path) == data:
        return False
    write_like(path, data, mode=0o644)
    return True


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _plain(request: Request) -> dict[str, Any]:
    """Return what an undo has to know of the request; no password is part of it."""
    auth = {"user": request.login.user, "password_env": request.login.variable}
    return {
        "container": request.container,
        "settings": request.settings,
        "route": request.route,
        "file": request.file,
        "port": request.port,
        "auth": {name: value for name, value in auth.items() if value},
        "wait_s": request.wait_s,
        "stop_s": request.stop_s,
        "answer_s": request.answer_s,
    }


def _tuples(stack: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in stack.items()}
