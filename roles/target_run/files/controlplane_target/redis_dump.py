"""The dump that a Redis had before its append-only file was turned on: kept aside under the run's key, by a link beside it."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from . import redis_anew, redis_guard
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
        other = free_name(held, f"{name}.{run.key}.end")
        with suppress(FileNotFoundError):
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
