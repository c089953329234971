"""The dump that a Redis had before its append-only file was turned on: kept aside under the run's key, by a link beside it."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import redis_anew, redis_guard, redis_persist, redis_rest
from .faults import FailedFault
from .redis_server import Server, free_name
from .state import Run

if TYPE_CHECKING:
    from .redis_request import Request


def keep(server: Server, run: Run) -> None:
    """Keep the dump as it is now; where there is none, or one is kept, nothing is done."""
    dump = server.names()["dbfilename"]
    with server.data_folder() as folder:
        with suppress(FileNotFoundError, FileExistsError):
            os.link(dump, f"{dump}.{run.key}", src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        os.fsync(folder)


def begun_in(server: Server, request: Request) -> str | None:
    """Return the server's life where its next start reads the append-only file, which is about to be turned on: until that is whole it has nothing to load.

    Told by what is there now, which may be more than what was planned; None where a start reads the dump.
    """
    own = replace(request, persist={"appendonly": "yes"})
    is_read = "appendonly" not in request.persist or not redis_persist.lacking(server, own)
    held = redis_rest.Server(server.inspection, server.pid)
    is_read = is_read or redis_rest.lost_by_start(held, redis_rest.words_of(server.inspection)) is not None
    return redis_guard.life_of(server) if is_read else None


def unread(run: Run) -> str:
    """Return what is to be known once the connection broke within that, empty where a start would have had all that the dump has."""
    if run.phase != "turning-on" or run.state.get("begun_in") is None:
        return ""
    return f". Was it started again by then, it may have started empty: its dump from before is kept in its data folder, under a name that ends with {run.key}"


def refuse_empty(server: Server, run: Run) -> None:
    """Raise `FailedFault` where the server was started again while the run turned on a file that its start reads: it may have had nothing to load."""
    began = run.state.get("begun_in")
    if run.phase != "turning-on" or began in (None, redis_guard.life_of(server)) or server.redis.settings(["appendonly"])["appendonly"] != "yes":
        return
    run.write(dump_kept=True)
    raise FailedFault(
        f"{server.name} was started again while its append-only file was written for the first time. It starts with that on, and without one it starts "
        f"empty. Its dump from before is kept in its data folder as {server.names()['dbfilename']}.{run.key}: see what of that is missing now, and bring it "
        "back by hand; then make a new plan"
    )


def keep_of_empty(of: Run, docker: dict[str, Any]) -> None:
    """Let what was kept aside stay, for a way back, where the server may have started empty since; `docker` is Docker's state of it."""
    if of.phase == "turning-on" and of.state.get("begun_in") not in (None, docker["StartedAt"]):
        of.write(dump_kept=True)


def keep_of_end(run: Run) -> None:
    """Keep the dump that a server had at its end, where it wrote one in that run: with AOF turned off by hand its file would be older than that."""
    dump = (run.state.get("guard") or {}).get("dump")
    if dump is None:
        return
    folder, name = os.path.split(dump)
    with suppress(FileNotFoundError):
        if os.path.samefile(dump, f"{dump}.{run.key}"):
            return
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(FileNotFoundError):
            # It is tried again for as long as the container does not start.
            mine = [one for one in os.listdir(held) if one.startswith(f"{name}.{run.key}.end") and os.path.samefile(dump, os.path.join(folder, one))]
            other = mine[0] if mine else free_name(held, f"{name}.{run.key}.end")
            if not mine:
                os.link(name, other, src_dir_fd=held, dst_dir_fd=held, follow_symlinks=False)
                os.fsync(held)
            redis_guard.doubt(
                run,
                f"{run.state['container']} was brought up by its append-only file; had somebody turned that off before it ended, {other} in {folder} has more",
            )
    finally:
        os.close(held)


def drop(run: Run, request: Request) -> None:
    """Remove what was kept aside, unless it may be all that is left of some keys."""
    if redis_anew.keeps_dump(run):
        return
    server = request.server()
    with closing(server.redis):
        dump = server.names()["dbfilename"]
        with server.data_folder() as folder, suppress(FileNotFoundError):
            os.unlink(f"{dump}.{run.key}", dir_fd=folder)
