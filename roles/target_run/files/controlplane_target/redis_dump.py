"""The dump that a Redis had before its append-only file was turned on: kept aside under the run's key, by a link beside it."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from . import redis_anew
from .redis_server import Server
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


def drop(run: Run, request: Request) -> None:
    """Remove what was kept aside, unless it may be all that is left of some keys."""
    if redis_anew.keeps_dump(run):
        return
    server = request.server()
    with closing(server.redis):
        dump = server.names()["dbfilename"]
        with server.data_folder() as folder, suppress(FileNotFoundError):
            os.unlink(f"{dump}.{run.key}", dir_fd=folder)
