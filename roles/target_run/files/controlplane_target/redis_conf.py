"""The settings of a Redis in its configuration file: the very file that its container sees, read, written and put back."""

from __future__ import annotations

import os
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
    """Write the settings into the file; return whether that changed anything. Raises `FailedFault` where somebody wrote there meanwhile.

    That is no fault where it has the settings all the same.
    """
    with redis_file.opened(server, str(request.file), os.O_RDWR) as (place, held):
        old = _mended(run, held, place, request, change)
        new = with_directives(old, request.persist)
        if new == old and not is_cut_off(run):
            return False
        redis_change.assert_known(change, place, old, run.folder / _WHOLE)
        remove(run.folder / _WHOLE)
        if new == old:
            return False
        text_history.note(run.home, place, change)
        return redis_file.write(held, place, new, run.folder / _WHOLE)


def write_down(run: Run, request: Request, place: str) -> None:
    """Write the settings into the file at that place of this host, for a container that stands still. Raises `FailedFault`, also where somebody changed it.

    That is no fault where it has the settings all the same.
    """
    change = redis_change.of(run)
    if change is None:
        return
    try:
        with inside.opened_plainly(place, os.O_RDWR) as held:
            aside = run.folder / _WHOLE
            old = _mended(run, held, place, request, change)
            if not aside.exists() and text_change.digest(old) not in (change["before"], change["after"]):
                if with_directives(old, request.persist) == old:
                    return
                raise FailedFault(
                    f"{request.container} stands still, its newest data are in its append-only file, and {place} was changed by somebody while this ran: it was "
                    f"left as it is, and a start by it would load the last dump. Write {_lines(request)} there; the host then starts it by itself, or run this again"
                )
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


def _lines(request: Request) -> str:
    return " and ".join(f"'{name} {value}'" for name, value in request.persist.items())


def is_cut_off(run: Run) -> bool:
    """Say whether a write of this run may have been cut off within the file: then that is mended by who writes there next."""
    return (run.folder / _WHOLE).exists()


def _mended(run: Run, held: int, place: str, request: Request, change: dict[str, Any]) -> str:
    """Return what the open file holds, with a write of this run that was cut off put back, be it there or on its way back. Raises `OSError`."""
    now = redis_file.text(held)
    if not is_cut_off(run) or text_history.without(run.home, place, now, change) is not None:
        return now
    told = (run.folder / _WHOLE).read_bytes().decode("utf-8", "surrogateescape")
    back = text_history.without(run.home, place, told, change)
    redis_file.mend(held, with_directives(told, request.persist) if back in (None, told) else str(back), run.folder / _WHOLE)
    return redis_file.text(held)


def put_back(of: Run, server: Server, request: Request, change: dict[str, Any]) -> bool:
    """Put the file back; return whether that changed anything. Raises `FailedFault` where somebody wrote there meanwhile."""
    with redis_file.opened(server, str(request.file), os.O_RDWR) as (place, held):
        old = redis_change.taken_back(of, change, place, _mended(of, held, place, request, change), of.folder / _WHOLE)
        remove(of.folder / _WHOLE)
        return redis_file.write(held, place, old, of.folder / _WHOLE) if old is not None else False
