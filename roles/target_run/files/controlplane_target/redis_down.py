"""Bring a Redis up that ended while it was kept down (redis_guard.py): by its append-only file where that is whole, else as it was.

Rules:
- By its file: what it reads at its start is written first, in its compose file or its configuration file; only then is it started. Nothing that was
  acknowledged since the file became whole is lost with that.
- A file that somebody changed meanwhile is left, and so is the container unless that has the settings all the same: any other start would load its last dump.
- One whose own command has the settings loads its append-only file by itself, as on a way back, whatever its compose file says: it is only started.
- It goes forward also where a way back was begun: from there that way is open as from any run that is over.
- In the phases in which its container is made anew, one that stands still since the life in which AOF was on is brought up by Compose, any other is started.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from . import path_downtime, redis_anew, redis_command, redis_conf, redis_dump, redis_gone, redis_guard, redis_rest, settle_units
from .faults import FailedFault, RefusedFault
from .redis_client import LoadingError, LoginError
from .redis_server import inspected, start, state_of
from .redis_wait import epoch_of, note_answer
from .state import Run
from .systemd import loaded, systemctl

if TYPE_CHECKING:
    from .redis_request import Request

# So long after its connections break Docker may still call a container running.
_SEEN_S = 10.0
# So many seconds a look at all that one that runs may have come to is good for.
_LOOK_ROUNDS = 10


def is_down(journal: Run, request: Request) -> bool:
    """Say whether the container ended while it was kept down, before it was about to be made anew."""
    return _is_kept(journal) and redis_guard.is_down(journal, state_of(request.container))


def _is_kept(journal: Run) -> bool:
    return redis_guard.stands(journal) and journal.phase not in redis_guard.CRITICAL


def refuse_others(run: Run, request: Request) -> None:
    """Raise `RefusedFault` where an earlier run keeps the container down: whoever starts it by hand has its last dump."""
    for other in run.home.runs():
        asked = other.state.get("asked") or {}
        if other.key != run.key and asked.get("container") == request.container and is_down(other, request):
            raise RefusedFault(f"{request.container} stands still: {redis_guard.told(other)}. Nothing was changed.")


def has_ended(journal: Run, request: Request) -> bool:
    """Say the same once that is sure: it answers, or Docker has seen its end."""
    end = time.monotonic() + _SEEN_S
    while _is_kept(journal) and time.monotonic() < end:
        with suppress(FailedFault, OSError):
            if redis_guard.is_down(journal, state_of(request.container)):
                return True
        try:
            request.server().redis.close()
        except (LoginError, LoadingError):
            return False
        except (FailedFault, RefusedFault, OSError):
            time.sleep(0.2)
        else:
            return False
    return False


def bring(journal: Run, working: Run, request: Request) -> bool:
    """Bring it up; return whether it has its append-only file. Raises `FailedFault`."""
    redis_guard.assert_there(journal, state_of(request.container))
    return _bring(journal, request, lambda: redis_anew.bring_up(journal, working, request))


def _bring(journal: Run, request: Request, up: Callable[[], object]) -> bool:
    guard, is_whole, held = journal.state["guard"], redis_guard.is_whole(journal), inspected(request.container)
    if held is not None:
        _note_end(journal, held["State"])
    reads_anyway = "appendonly" not in request.persist or redis_command.loads_file(held, request)
    if not is_whole or request.route == "file" or reads_anyway:
        if is_whole and request.route == "file":
            redis_conf.write_down(journal, request, guard["file"])
            redis_dump.keep_of_end(journal)
        _start(journal, request)
        redis_guard.off(journal)
        note_answer(journal, request, state_of(request.container), is_seen=True)
        return is_whole
    redis_command.write_down(journal, request, held)
    if not redis_guard.is_down(journal, state_of(request.container)):
        raise redis_anew.StartedAgainFault(
            f"{request.container} was started by somebody while it was about to be brought up: what it has now is not all in its append-only file. Nothing was "
            "stopped. Run this again, or make a new plan"
        )
    redis_dump.keep_of_end(journal)
    # Its keys were read by nobody before: what it is brought up by has all of them.
    nothing = {"stop": None, "counts": None, "keys": None, "live": None, "made": None}
    # The disk may be away by the time that it is gone on with.
    journal.write(phase="making-anew", guard={**guard, "whole": True}, started_at=guard["started_at"], old=redis_anew.remembered(held), **nothing)
    up()
    return True


def _note_end(journal: Run, docker: dict[str, Any]) -> None:
    """Note that it is away since its end, unless that was noted; `docker` is Docker's state of it."""
    if journal.state.get("down_since") is None:
        now = path_downtime.now()
        # What has no end after its start has only just ended.
        ago_s = now["at"] - ended if (ended := epoch_of(docker["FinishedAt"])) >= epoch_of(docker["StartedAt"]) else 0.0
        ago_s = max(0.0, ago_s)
        journal.write(down_since={name: value if name == "boot_id" else value - ago_s for name, value in now.items()})


def _start(journal: Run, request: Request) -> None:
    """Start it as it is, by its own policy from then on: should it end at once, nobody waits for that any more."""
    if journal.state.get("guard"):
        redis_guard.give_back(journal)
    start(request.container)


def settle(journal: Run, request: Request) -> bool:
    """Bring the container up that a power cut left half made anew, or that ended by itself, as the host itself does; return whether it was.

    One that runs with another life is left: what it has by now may be newer than any append-only file, and only the run can tell. Raises `FailedFault`.
    """
    is_open = journal.phase in redis_guard.CRITICAL
    if is_open:
        redis_anew.await_compose(journal, request)
    state, brought = state_of(request.container), False
    is_gone = state is None and not is_open and redis_guard.stands(journal)
    is_taken_away = (is_open or is_gone) and redis_command.is_taken_away(journal, state)
    if is_taken_away and (is_open or redis_guard.has_file(journal)):
        redis_gone.forsake(journal, request)
        return False
    redis_guard.assert_there(journal, state)
    if is_gone and not is_taken_away:
        raise FailedFault(redis_gone.awaited(journal, request))
    if is_open and (state is None or state["Status"] == "created" or redis_anew.has_its_file(journal, state)):
        redis_anew.write_again(journal, request)
        redis_anew.compose_up(journal, request)
        brought = True
    elif not is_open and redis_guard.is_down(journal, state):
        brought = _bring(journal, request, lambda: redis_anew.compose_up(journal, request))
    elif redis_guard.is_still(state) and (is_open or redis_guard.stands(journal)):
        _start(journal, request)
    state = state_of(request.container)
    if journal.phase in redis_guard.CRITICAL and state is not None and state["Running"]:
        note_answer(journal, request, state, is_seen=brought)
    if is_watched(journal, state) and not is_off(journal, request):
        return brought
    if journal.state.get("guard"):
        _take_back(journal, request)
    redis_guard.off(journal)
    settle_units.uninstall_after(journal.key)
    return brought


def _take_back(journal: Run, request: Request) -> None:
    """Put the compose file back, or note that it is not: what the server has by now is newer than any file, and it is let go all the same."""
    is_out = False
    with suppress(RefusedFault, OSError):
        is_out = redis_command.take_back(journal, request, inspected(request.container))
    if not is_out:
        redis_guard.doubt(
            journal,
            f"{journal.state.get('path')} has the settings still, or may have, and could not be put back: made anew by it, {request.container} would load an "
            "append-only file that is stale, or nothing. Take them out there, or make a new plan",
        )


def is_off(journal: Run, request: Request) -> bool:
    """Say whether somebody turned AOF off in that life, once its file was whole: seen without a password."""
    guard = journal.state.get("guard") or {}
    held = inspected(request.container) if guard and redis_guard.has_file(journal) else None
    return held is not None and redis_rest.keeps_file(held) is False


def is_watched(journal: Run, docker: dict[str, Any] | None) -> bool:
    """Say whether the container runs on in the life after whose end it is kept down."""
    return redis_guard.stands(journal) and docker is not None and docker["Running"] and docker["StartedAt"] == journal.state["guard"]["started_at"]


def await_docker() -> None:
    """Wait until Docker runs, where this is the unit that the host has for it: whoever asks at its socket starts one that somebody stopped."""
    while _is_unit() and not _docker_runs():
        time.sleep(1)


def _is_unit() -> bool:
    return os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid())


def _docker_runs() -> bool:
    # On its way down it is started again by who asks; one that is another unit (of a snap) has no socket by which that happens.
    return systemctl("is-active", "docker.service", check=False).strip() == "active" or not loaded("docker.service")


def await_end(journal: Run, request: Request) -> bool:
    """Wait until there is something to settle, where this is the unit that the host has for it; return whether there is."""
    # By hand nobody waits for what may be hours.
    if not _is_unit():
        return False
    rounds, pid = 0, 0
    while redis_guard.stands(journal):
        # It may be days: as long as its process is there, nobody else is asked each second.
        if rounds % _LOOK_ROUNDS == 0 or not os.path.exists(f"{redis_rest.PROC}/{pid}"):
            # Docker itself may be restarted meanwhile.
            with suppress(FailedFault, OSError):
                if _docker_runs():
                    state = state_of(request.container)
                    if state is None or not is_watched(journal, state) or is_off(journal, request):
                        return True
                    pid = int(state.get("Pid") or 0)
        rounds += 1
        time.sleep(1)
        journal.reload()
    return rounds > 0
