"""The settings of a Redis in its configuration file: the very file that its container sees, read, written and put back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import inside, redis_change, redis_file, text_change, text_history
from .faults import FailedFault
from .files import remove
from .redis_options import with_directives
from .redis_server import Server
from .state import Run

if TYPE_CHECKING:
    from .redis_request import Request

# All of its text while it is written, for root alone.
_WHOLE = "configuration-before"


def text(server: Server, request: Request) -> tuple[str, str]:
    """Return where the file lies on this host, and what it holds. Raises `RefusedFault`."""
    with redis_file.opened(server, str(request.file), os.O_RDONLY) as (place, held):
        return place, redis_file.text(held)


def lacking(server: Server, request: Request) -> list[str]:
    """Return what the file, as the container sees it, does not carry."""
    seen = inside.read(server.pid, str(request.file)).decode("utf-8", "surrogateescape")
    return [] if with_directives(seen, request.persist) == seen else [f"{request.file} does not carry the settings"]


def write(run: Run, server: Server, request: Request, change: dict[str, Any]) -> bool:
    """Write the settings into the file; return whether that changed anything. Raises `FailedFault` where somebody wrote there meanwhile."""
    with redis_file.opened(server, str(request.file), os.O_RDWR) as (place, held):
        old = redis_file.text(held)
        new = with_directives(old, request.persist)
        redis_change.assert_known(change, place, old, run.folder / _WHOLE)
        remove(run.folder / _WHOLE)
        if new == old:
            return False
        text_history.note(run.home, place, change)
        return redis_file.write(held, place, new, run.folder / _WHOLE)


def write_down(run: Run, request: Request, place: str) -> None:
    """Write the settings into the file at that place of this host, for a container that stands still. Raises `FailedFault`, also where somebody changed it."""
    change = redis_change.of(run)
    if change is None:
        return
    try:
        with inside.opened_plainly(place, os.O_RDWR) as held:
            aside = run.folder / _WHOLE
            if aside.exists() and text_change.digest(redis_file.text(held)) not in (change["before"], change["after"]):
                redis_file.mend(held, with_directives(_told(aside), request.persist), aside)
            old = redis_file.text(held)
            redis_change.assert_known(change, place, old, aside)
            remove(aside)
            if text_change.digest(old) != change["after"]:
                text_history.note(run.home, str(run.state["path"]), change)
                redis_file.write(held, place, with_directives(old, request.persist), aside)
    except OSError as fault:
        raise FailedFault(
            f"{place} can't be written ({fault.strerror}), and {request.container} would load its last dump without that: it stands still, with its newest "
            "data in its append-only file. Mend that, then run this again"
        ) from fault


def _told(aside: Path) -> str:
    return aside.read_bytes().decode("utf-8", "surrogateescape")


def put_back(of: Run, server: Server, request: Request, change: dict[str, Any]) -> bool:
    """Put the file back; return whether that changed anything. Raises `FailedFault` where somebody wrote there meanwhile."""
    with redis_file.opened(server, str(request.file), os.O_RDWR) as (place, held):
        old = redis_change.taken_back(of, change, place, redis_file.text(held))
        return redis_file.write(held, place, old, of.folder / _WHOLE) if old is not None else False
