"""Wait for a Redis that starts, for as long as it gets on with loading its data; and note since when it takes its clients' writes again.

Rules:
- One that loads is given time as starting.py says.
- How long it was away is path_downtime.py's to measure, from the hold of its writes on, over every stop of a run and through a boot.
- Who finds it answering did not see since when. It is taken for as long as its container has run; how long it loaded then is not part of that.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from . import path_downtime, state
from .faults import FailedFault, RefusedFault
from .redis_client import LoadingError, LoginError, loaded
from .redis_hold import writes_held
from .redis_server import Server
from .starting import Patience
from .state import Run

if TYPE_CHECKING:
    from .redis_request import Request

# What a hold takes at most that no stop came of, where who held was killed: reading the keys, and for how long clients wait on after that.
_HELD_S = 60.0


def answering(request: Request) -> Server:
    """Return the server once it has loaded its data. Raises `FailedFault` where for so long it says nothing, or loads nothing more; `LoginError`."""
    patience = Patience(request.answer_s)
    while True:
        server, said, got = _look(request)
        if server is not None:
            return server
        patience.sees(got)
        if patience.is_over:
            raise FailedFault(f"{request.container} does not answer for {request.answer_s} s: {said}. Look at 'docker logs {request.container}'")
        time.sleep(0.1)


def _look(request: Request) -> tuple[Server | None, str, tuple[int, int]]:
    """Return the server if it answers, else why it does not, and what it has loaded. Raises `LoginError`."""
    try:
        server = request.server()
        if server.redis.info("persistence").get("loading") == "0":
            return server, "", (0, 0)
        got = loaded(server.redis)
        server.redis.close()
    except LoginError:
        raise
    except LoadingError as fault:
        got = fault.loaded
    except (RefusedFault, FailedFault, OSError) as fault:
        return None, str(fault), (0, 0)
    return None, f"it still loads its data, and has got no further than {got[0]} bytes and {got[1]} keys", got


def note_held(journal: Run, request: Request) -> None:
    """Note that writes are held from now on; of a hold before this, whose process was killed before anything stopped, what it took at most."""
    path_downtime.end(journal, request.container, most_s=_most_s(journal, request))
    path_downtime.begin(journal)


@contextmanager
def held(journal: Run, request: Request) -> Iterator[None]:
    """Hold writes as long as the body runs, in which nothing stops, and note how long that was. Raises `FailedFault`, `OSError`."""
    holding = request.server().redis
    note_held(journal, request)
    try:
        with writes_held(holding):
            yield
    finally:
        path_downtime.end(journal, request.container)


def _most_s(journal: Run, request: Request) -> float:
    # Going back the dump is written within it.
    return _HELD_S + (request.wait_s if journal.phase.startswith("undoing") else 0)


def note_answer(journal: Run, request: Request, docker: dict[str, Any] | None, *, is_seen: bool = False) -> None:
    """Note that it takes writes again, as soon as it does; `docker` is Docker's state of its container. Raises `FailedFault`.

    `is_seen`: the caller has just brought it up. Does nothing where its writes were not held, or where there is no container.
    """
    since = journal.state.get("down_since")
    if since is None or docker is None:
        return
    began = epoch_of(docker["StartedAt"])
    if since["boot_id"] == state.boot_id() and began < since["at"]:
        # It never stopped.
        path_downtime.end(journal, request.container, most_s=_most_s(journal, request))
        return
    try:
        server, _, _ = _look(request)
        is_late = server is not None and not is_seen
        (server or answering(request)).redis.close()
    except LoginError:
        # It lets somebody in who is not here: more can't be seen of it.
        is_late = not is_seen
    path_downtime.end(journal, request.container, ago_s=max(0.0, time.time() - began) if is_late else 0.0)


def epoch_of(said: str) -> float:
    """Return a moment that Docker tells, in epoch seconds."""
    whole, _, part = str(said).rstrip("Z").partition(".")
    return state.epoch(f"{whole}Z") + float(f"0.{part or 0}")
