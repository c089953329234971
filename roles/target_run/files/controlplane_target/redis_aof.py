"""Turn a Redis' append-only file on while it serves, and persist what was turned on where its container reads it at the next start.

Rules:
- Never by a restart: a server that starts with AOF on and no such file starts empty, and its next save overwrites the dump.
- dump.rdb is kept aside by a link before anything changes, until the end is proven; files of an earlier AOF are set aside by name, never loaded.
- Persisted is only what runs already, with its file on disk; a container is made anew only then, with writes held, and every key is compared.
- Each verb may be repeated: what is done is seen and left.
"""

from __future__ import annotations

import os
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, Literal

from . import redis_persist
from .faults import FailedFault, RefusedFault
from .redis_options import NAMES
from .redis_server import Login, Server
from .state import Run

ROLE = "redis_aof"
_OLDEST = 7
# Turned on in this order, so that what is written first is synced as it shall be.
_ORDER = ("appendfsync", "appendonly", "save")


@dataclass(frozen=True)
class Request:
    """What one service shall run with. `file` is the container's configuration file, as it sees it; `route` says where the settings are persisted."""

    container: str
    settings: dict[str, str]
    route: Literal["file", "compose"]
    file: str | None
    port: int
    login: Login
    wait_s: int = 3600
    stop_s: int = 60
    answer_s: int = 120

    def server(self) -> Server:
        """Return the server as it runs now."""
        return Server(self.container, self.login, self.port, self.file)

    def order(self) -> list[str]:
        return [name for name in _ORDER if name in self.settings]


def parse(asked: dict[str, Any]) -> Request:
    """Return the request. Raises `ValueError`, `KeyError`, `TypeError`, and `RefusedFault` where the controller could not tell its password."""
    given = {str(name): str(value) for name, value in dict(asked["settings"]).items()}
    # Always in one order, in which a person would write them.
    settings = {name: given[name] for name in NAMES if name in given}
    if asked["route"] not in ("file", "compose") or not settings or settings != given or settings.get("appendonly") == "no":
        raise ValueError(f"route {asked['route']!r} with the settings {given}")
    auth, told = asked.get("auth") or {}, (asked.get("told") or {}).get(asked["container"]) or {}
    if "why" in told:
        raise RefusedFault(f"redis_aof refused for {asked['container']}: {told['why']}. Nothing was changed.")
    login = Login(auth.get("user"), auth.get("password_env"), told.get("password"))
    times = {name: int(asked[name]) for name in ("wait_s", "stop_s", "answer_s") if name in asked}
    return Request(str(asked["container"]), settings, asked["route"], asked.get("file") or None, int(asked.get("port") or 6379), login, **times)


def refuse(request: Request) -> dict[str, Any]:
    """Return what is to be done ({running, leftover, persist}). Raises `RefusedFault` with all that speaks against it."""
    try:
        server = request.server()
    except FailedFault as fault:
        raise RefusedFault(f"redis_aof refused: {fault}. Nothing was changed.") from fault
    with closing(server.redis):
        running = server.redis.settings(request.order())
        found = _objections(server)
        leftover = server.aof_names() if running.get("appendonly", "yes") == "no" else []
        try:
            persist = redis_persist.planned(server, request)
        except RefusedFault as fault:
            found.append(str(fault).removesuffix(" Nothing was changed."))
            persist = None
    if found:
        raise RefusedFault(f"redis_aof refused for {request.container}: {'; '.join(found)}. Nothing was changed.")
    differing = {name: value for name, value in request.settings.items() if running[name] != value}
    return {"running": differing, "leftover": leftover, "persist": persist, "pending": bool(differing or persist)}


def _objections(server: Server) -> list[str]:
    redis, found = server.redis, []
    version = redis.info("server").get("redis_version", "")
    if not version.partition(".")[0].isdigit() or int(version.partition(".")[0]) < _OLDEST:
        found.append(
            f"it is Redis {version or 'of no version'}, and only {_OLDEST}.0 and newer are known here: turn AOF on by hand, as its manual says"
        )
    seen = redis.info("persistence")
    if seen.get("loading", "0") != "0":
        found.append("it is still loading its data: wait for it")
    if redis.info("replication").get("role") != "master":
        found.append("it is a replica, whose data comes from its master: do it there first, then make this one's policy its own")
    return found


def turn_on(run: Run, request: Request) -> dict[str, Any]:
    """Turn on what does not run so, and wait until the append-only file is on disk. Raises `FailedFault`, `RefusedFault`."""
    server = request.server()
    with closing(server.redis):
        running = server.redis.settings(request.order())
        differing = [name for name in request.order() if running[name] != request.settings[name]]
        if differing:
            before = run.state.get("before") or server.redis.settings(["dir", "save", "appendonly", "appendfsync"])
            aside = {**run.state.get("aside", {})}
            if running.get("appendonly") == "no":
                aside |= {name: f"{name}.{run.key}" for name in server.aof_names()}
            run.write(role=ROLE, phase="turning-on", before=before, aside=aside, container=request.container)
            _set_aside(server, aside, run)
            for name in differing:
                server.redis.set(name, request.settings[name])
        if request.settings.get("appendonly") == "yes":
            server.await_file(request.wait_s)
        after = server.redis.settings(["dir", "save", "appendonly", "appendfsync"])
    run.write(role=ROLE, phase="on", after=after, container=request.container)
    return {"changed": bool(differing), "before": run.state.get("before") or after, "after": after}


def _set_aside(server: Server, aside: dict[str, str], run: Run) -> None:
    """Link the dump to a name of its own, and rename what an earlier AOF left."""
    dump = server.redis.settings(["dbfilename"])["dbfilename"]
    with server.data_folder() as folder:
        with suppress(FileNotFoundError, FileExistsError):
            os.link(dump, f"{dump}.{run.key}", src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        for name, other in aside.items():
            if server.redis.settings(["appendonly"])["appendonly"] == "no":
                with suppress(FileNotFoundError):
                    os.rename(name, other, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)


def prove(run: Run, request: Request) -> dict[str, Any]:
    """Read back that it runs so, is persisted so, and has its file. Raises `FailedFault`."""
    server = request.server()
    with closing(server.redis):
        running = server.redis.settings(request.order())
        problems = [f"{name} is {running[name] or 'empty'} while it runs" for name, value in request.settings.items() if running[name] != value]
        if request.settings.get("appendonly") == "yes" and not server.has_manifest():
            problems.append("no append-only file is on disk")
        problems += redis_persist.lacking(server, request)
        if problems:
            raise FailedFault(f"{request.container}: {'; '.join(problems)}. Run the same plan again. Go back: {run.folder}/undo")
    return {"changed": False, "told": {name: run.state.get(name) for name in ("container", "before", "after", "keys", "aside")}}


def undo(of: Run, request: Request) -> dict[str, Any]:
    """Bring back how it ran and what was persisted, without losing a key: the dump is written anew before AOF goes off."""
    before = of.state.get("before") or {}
    if of.state.get("role") != ROLE:
        return {"changed": False}
    redis_persist.refuse_back(of)
    server = request.server()
    with closing(server.redis):
        running = server.redis.settings(["appendonly", "appendfsync", "save"])
        differing = [name for name in ("save", "appendfsync", "appendonly") if name in before and running[name] != before[name]]
        of.write(phase="undoing")
        turned_off = "appendonly" in differing and before["appendonly"] == "no"
        if turned_off:
            server.await_saved(request.wait_s)
        for name in differing:
            server.redis.set(name, before[name])
        if turned_off:
            # Left where they are, they would be loaded in place of newer data should somebody turn AOF on by a restart.
            with server.data_folder() as folder:
                for name in server.aof_names():
                    os.rename(name, f"{name}.undone-{int(time.time())}", src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)
    back = redis_persist.back(of, request)
    of.write(phase="undone")
    return {"changed": bool(differing or back["changed"]), "keys": back.get("keys")}
