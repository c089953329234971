"""Make a Redis' container anew from its changed files: writes held, every key compared, and the downtime measured.

Rules:
- Compose works as a unit that nobody stops: a container that is half made anew is no way back.
- Writes are held from before the keys are read until the old server has stopped; going back, its dump is written within that time.
- What differs afterwards, and what no client explains, is a fault: it stays one until somebody takes the run back.
- Settings and users that it has only while it runs are looked for before, and what it forgot all the same is told by name (redis_live.py).
"""

from __future__ import annotations

import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from . import compose, redis_keys, redis_live, settle_units
from .faults import FailedFault, RefusedFault
from .redis_hold import writes_held
from .redis_options import NAMES
from .redis_server import Server, state_of
from .state import Run
from .systemd import unit_name

if TYPE_CHECKING:
    from .redis_aof import Request

_MOST_KEYS = 500_000
_READ_S = 30.0


def make_anew(journal: Run, working: Run, request: Request, *, phase: str, saved: bool = False) -> None:
    """Hold writes, read the keys, write the dump where `saved`, note `phase` in the journal, and make the container anew. Raises `FailedFault`.

    `working` is the run that holds the lease: an undo of another one works in that one's journal.
    """
    server = request.server()
    with closing(server.redis), writes_held(request.server().redis):
        counted = redis_keys.counts(server.redis)
        few = sum(counted.values()) <= _MOST_KEYS
        before = redis_keys.table(server.redis, limit_s=_READ_S) if few else None
        if saved:
            server.await_saved(request.wait_s)
        kept = {str(database): count for database, count in counted.items()}
        journal.write(phase=phase, counts=kept, keys=None, live=redis_live.noted(server.redis))
        bring_up(journal, working, request)
    judge(journal, request, before)


def bring_up(journal: Run, working: Run, request: Request) -> None:
    """Let Compose bring the container up from its files, and wait until it answers; note its downtime. Raises `FailedFault`."""
    began = time.monotonic()
    unit = unit_name("redis_aof", request.container)
    # Nobody stops it, as is done to a `unit`.
    working.write(package_unit=unit)
    settle_units.install_after(journal.key, settling(journal), [])
    try:
        _compose(journal, request)
    finally:
        working.write(package_unit=None)
    answering(request).redis.close()
    settle_units.uninstall_after(journal.key)
    journal.reload()
    journal.write(downtime_s={request.container: round(time.monotonic() - began, 3)})


def settling(journal: Run) -> list[str]:
    """Return the argv by which the host itself goes on at its next start, without the stage's name."""
    return [sys.executable, "-I", "-X", "utf8", "-B", str(journal.folder / "controlplane_target"), "redis", "settle", "--run", journal.key]


def settle(journal: Run, request: Request) -> dict[str, Any]:
    """Bring the container up that a power cut left half made anew, as the host itself does; how its keys fared is for the run to judge.

    One that is there with an old life is left: what it has by now may be newer than any append-only file, and only the run can tell.
    """
    state = state_of(request.container)
    half_made = journal.phase in ("making-anew", "undoing-anew") and (state is None or state["Status"] == "created")
    if half_made:
        _compose(journal, request)
    settle_units.uninstall_after(journal.key)
    return {"changed": half_made, "phase": journal.phase}


def _compose(journal: Run, request: Request) -> None:
    unit = unit_name("redis_aof", request.container)
    stack = compose.stack_from(journal.state["stack"])
    compose.make_anew(stack, stop_s=request.stop_s, wait_s=request.answer_s, unit=unit, log=journal.folder / "compose.log")


def judge(journal: Run, request: Request, before: redis_keys.Table | None) -> None:
    """Compare the keys with those from before, and note how they fared. Raises `FailedFault`."""
    server = answering(request)
    with closing(server.redis):
        counted = {int(database): count for database, count in journal.state["counts"].items()}
        keys = {"before": sum(counted.values()), **redis_keys.compared(before, counted, server.redis)}
        note_forgotten(journal, server, request)
    # A way back compares once more, and that says nothing of what the dump from before the first time is kept for.
    journal.write(keys=keys, dump_kept=keeps_dump(journal) or redis_keys.doubtful(keys))
    refuse_lost(journal, request)


def refuse_forgotten(journal: Run, server: Server, request: Request) -> None:
    """Raise `FailedFault` where the container, made anew, is sure to forget what it has only while it runs."""
    if found := redis_live.forgotten(server, leaving=_set_by(journal, request), anew=True):
        raise FailedFault(f"{request.container} was left as it is, and goes on with what runs: {'; '.join(found)}. Then run this again")


def note_forgotten(journal: Run, server: Server, request: Request) -> None:
    """Put into the journal, by name, what the server forgot since it was about to be made anew."""
    if note := journal.state.get("live"):
        journal.write(live=None, forgotten=redis_live.lost_since(note, server.redis, leaving=_set_by(journal, request)))


def _set_by(journal: Run, request: Request) -> set[str]:
    """Return the settings that the run itself sees to; going back, whatever it set."""
    return {*request.settings, *(NAMES if journal.phase.startswith("undoing") else ())}


def refuse_lost(journal: Run, request: Request) -> None:
    """Raise `FailedFault` where keys were lost; nothing that this run or another does makes that good."""
    keys: dict[str, Any] = journal.state.get("keys") or {}
    if keys.get("lost"):
        raise FailedFault(
            f"{keys['lost']} keys of {request.container} are gone or differ since it was made anew, and no client explains it; "
            f"{journal.folder}/state.json names some. Its dump from before is kept in its data folder under the run's name. "
            f"Go back: {journal.folder}/undo"
        )


def keeps_dump(journal: Run) -> bool:
    """Say whether the dump from before stays aside: keys were lost, or more are gone than clients explain for certain."""
    return bool(journal.state.get("dump_kept")) or redis_keys.doubtful(journal.state.get("keys") or {})


def answering(request: Request) -> Server:
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
            raise FailedFault(f"{request.container} does not answer for {request.answer_s} s: {said}. Look at 'docker logs {request.container}'")
        time.sleep(0.1)
