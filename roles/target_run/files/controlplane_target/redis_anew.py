"""Make a Redis' container anew from its changed files: writes held, every key compared, and the downtime measured.

Rules:
- Compose works as a unit that nobody stops: a container that is half made anew is no way back.
- It is the life in which AOF was turned on whose keys are read, and from then on the container starts by nobody but Compose (redis_guard.py): what clients
  wrote into another life would be in no file that the new container reads. Where nothing is asked of AOF it starts as it would.
- Writes are held from before the keys are read until the old server has stopped; going back, its dump is written within that time.
- What differs afterwards, and what no client explains, is a fault: it stays one until somebody takes the run back.
- What each key held lies on disk before anything stops: who goes on after a cut compares with it (path_kept.py). Where the new server may have been started
  before, its own counters don't tell all that clients did: then only what their number says is lost, and what else differs is unknown. Where it surely was,
  the number says nothing either.
- Settings and users that it has only while it runs are looked for before, and what it forgot all the same is told by name (redis_live.py).
- It was away from the hold of its writes until it answers (redis_wait.py). Compose gives up on a container that its health check calls unhealthy, which a
  Redis may be as long as it loads: made anew, it is waited for all the same, and then has to be healthy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from . import (
    compose,
    compose_replacing,
    path_downtime,
    path_kept,
    redis_command,
    redis_gone,
    redis_guard,
    redis_keys,
    redis_live,
    services,
    settle_units,
)
from .docker_engine import Engine
from .faults import FailedFault
from .redis_hold import writes_held
from .redis_options import NAMES
from .redis_server import Server, inspected, start
from .redis_wait import answering, note_answer, note_held
from .state import Run
from .systemd import unit_name

if TYPE_CHECKING:
    from .redis_request import Request

_MOST_KEYS = 500_000
_NO_KEYS_READ = "what each key holds: the server ended by itself before its keys were read, and was brought up by its append-only file"
_READ_S = 30.0


class StartedAgainFault(FailedFault):
    """The server is not the one whose append-only file was turned on."""


def assert_life(journal: Run, server: Server, request: Request) -> None:
    """Raise `StartedAgainFault` unless that connection is to the life in which AOF was turned on, and it is on still."""
    if request.settings.get("appendonly") != "yes":
        return
    if redis_guard.life_of(server) != journal.state.get("started_at") or server.redis.settings(["appendonly"])["appendonly"] != "yes":
        raise StartedAgainFault(
            f"{request.container} was started again since its append-only file was turned on, or had it turned off: what it has now is not all in that file. "
            "Nothing was stopped. Make a new plan: it turns it on once more"
        )


def make_anew(journal: Run, working: Run, request: Request, *, phase: str, saved: bool = False) -> None:
    """Hold writes, read the keys, write the dump where `saved`, note `phase` in the journal, and make the container anew. Raises `FailedFault`.

    `working` is the run that holds the lease: an undo of another one works in that one's journal.
    """
    server, holding, is_noted = request.server(), request.server().redis, False
    note_held(journal, request)
    try:
        with closing(server.redis), writes_held(holding), _told_how_to_compare(journal, request):
            if phase == "making-anew":
                assert_life(journal, server, request)
            if request.persist.get("appendonly") == "yes":
                redis_guard.on(journal, request, server, whole=server.has_manifest())
            counted = redis_keys.counts(server.redis)
            few = sum(counted.values()) <= _MOST_KEYS
            before = redis_keys.table(server.redis, limit_s=_READ_S) if few else None
            if saved:
                server.await_saved(request.wait_s)
            kept = {str(database): count for database, count in counted.items()}
            journal.write(data=redis_guard.place_of_data(server))
            journal.write(stop=path_kept.new_mark(), counts=kept, live=redis_live.noted(server.redis), old=remembered(server.inspection), made=None)
            if before is not None:
                path_kept.keep(journal, {}, path_kept.plain(before))
            journal.write(phase=phase, keys=None)
            is_noted = True
            bring_up(journal, working, request)
    finally:
        # An attempt before this one may have left that phase.
        if not is_noted:
            # Nothing was stopped, and it takes writes again.
            path_downtime.end(journal, request.container)
    judge(journal, request, before)


@contextmanager
def _told_how_to_compare(journal: Run, request: Request) -> Iterator[None]:
    """Let a fault within which the container is left made anew, and its keys not compared, tell what compares them: no new plan may be needed."""
    try:
        yield
    except FailedFault as fault:
        if journal.phase != "making-anew":
            raise
        how, back = f"'{' '.join(redis_guard.settling(journal))}' on this host does that and ends the run", f"{journal.folder}/undo"
        if request.login.password is not None:
            # Nobody tells it to this host but the controller, and only for as long as a step takes.
            how, back = "applying the same plan again does that and ends the run, or the next run at it does", f"controlplane rollback {journal.key}"
        raise FailedFault(
            f"{fault}. How its keys fared was not compared: once it answers, made anew, {how}; the way back ({back}) does it as well, before it goes"
        ) from fault


def remembered(held: dict[str, Any] | None) -> dict[str, Any]:
    """Return {id, health_s} of a container that is about to be made anew, empty where there is none."""
    return {} if held is None else {"id": held.get("Id"), "health_s": services.healthy_within(held)}


def await_compose(journal: Run, request: Request) -> None:
    """Return once no Compose of ours works on the container, and what one that was cut off left half made is at one side: its waiter may be dead."""
    compose.await_unit(_unit(request))
    if stack := journal.state.get("stack"):
        # No reason to leave it down: who brings it up by Compose settles it once more, and says so.
        with suppress(OSError, FailedFault):
            compose_replacing.settle(Engine(), stack["project"], [stack["service"]])


def has_its_file(journal: Run, docker: dict[str, Any]) -> bool:
    """Say whether a container that is to be made anew stands still since the life in which AOF was on: its file has all, and no other start loads it."""
    return journal.phase == "making-anew" and redis_guard.is_still(docker) and docker["StartedAt"] == journal.state.get("started_at")


def write_again(journal: Run, request: Request) -> None:
    """Write the settings into the compose file where somebody took them out since: made of that, the container would load its last dump.

    Raises `FailedFault` where another run's way back turned AOF off since: then nothing is there that they load.
    """
    if journal.phase == "making-anew":
        if request.persist.get("appendonly") == "yes" and journal.state.get("started_at") is None:
            raise FailedFault(
                f"the append-only file of run {journal.key} was turned off by another run's way back, so {request.container} is not made anew with that on: it "
                "would start empty. Bring it up from its files as they are, without --appendonly yes, then run this again"
            )
        redis_command.write_down(journal, request, inspected(request.container))


def finish(journal: Run, working: Run, request: Request, state: dict[str, Any] | None) -> bool:
    """Bring the container up where that was cut off; return whether it was: then this is its first life. `state` is Docker's of it. Raises `FailedFault`.

    One that stands still since another life than that in which AOF was on is only started: what it has is newer.
    """
    if redis_command.is_taken_away(journal, state):
        raise FailedFault(f"{redis_gone.forsake(journal, request)}. Nothing is left to do here")
    redis_guard.assert_there(journal, state)
    if state is not None and state["Status"] != "created" and not has_its_file(journal, state):
        if not state["Running"]:
            start(request.container)
            answering(request).redis.close()
            path_downtime.end(journal, request.container)
            redis_guard.release(journal, request)
            return False
        note_answer(journal, request, state)
        return False
    write_again(journal, request)
    with _told_how_to_compare(journal, request):
        bring_up(journal, working, request)
    return True


def bring_up(journal: Run, working: Run, request: Request) -> None:
    """Let Compose bring the container up from its files, and wait until it answers; note its downtime. Raises `FailedFault`."""
    # Nobody stops it, as is done to a `unit`.
    working.write(package_unit=_unit(request))
    redis_guard.install_unit(journal)
    try:
        compose_up(journal, request)
    finally:
        working.write(package_unit=None)
    server = answering(request)
    server.redis.close()
    redis_guard.off(journal)
    settle_units.uninstall_after(journal.key)
    journal.reload()
    journal.write(made=server.inspection.get("Id"))
    path_downtime.end(journal, request.container)


def _unit(request: Request) -> str:
    return unit_name("redis_aof", request.container)


def compose_up(journal: Run, request: Request) -> None:
    """Let Compose make it anew, or start it; wait until it is healthy, where it has a health check, or runs. Raises `FailedFault`."""
    stack, old = compose.stack_from(journal.state["stack"]), journal.state.get("old") or {}
    limit_s = max(request.answer_s, math.ceil(old.get("health_s") or 0))
    try:
        compose.make_anew(stack, stop_s=request.stop_s, wait_s=limit_s, unit=_unit(request), log=journal.folder / "compose.log")
    except FailedFault as fault:
        held = inspected(request.container)
        if held is None or not held["State"]["Running"] or old.get("id") in (None, held["Id"]):
            raise
        journal.write(made=held["Id"])
        if late := _late(journal, request, held, limit_s):
            raise FailedFault(f"{late}; {fault}") from fault


def _late(journal: Run, request: Request, held: dict[str, Any], limit_s: float) -> str:
    """Return why a container that was made anew is not what it shall be, empty where it only took longer than Compose waits."""
    try:
        answering(request).redis.close()
    except FailedFault as fault:
        return str(fault)
    path_downtime.end(journal, request.container)
    demand = "healthy" if held["State"].get("Health") else "running"
    _, missing = services.wait_for_answers(Engine(), [{"id": held["Id"], "name": request.container, "demand": demand}], limit_s)
    return "; ".join(missing)


def judge_after_cut(journal: Run, request: Request, *, is_first_life: bool) -> None:
    """Do what `judge` does in another process, by what the one that was cut off left on disk. Raises `FailedFault`."""
    if journal.state.get("counts") is None:
        journal.write(keys={"not_proven": [_NO_KEYS_READ, *(journal.state.get("doubts") or [])]})
        return
    judge(journal, request, path_kept.table_of(path_kept.kept(journal)), is_first_life=is_first_life)


def judge(journal: Run, request: Request, before: redis_keys.Table | None, *, is_first_life: bool = True) -> None:
    """Compare the keys with those from before, and note how they fared. Raises `FailedFault`."""
    with _told_how_to_compare(journal, request):
        server = answering(request)
    with closing(server.redis):
        counted = {int(database): count for database, count in journal.state["counts"].items()}
        keys = {"before": sum(counted.values()), **redis_keys.compared(before, counted, server.redis)}
        sure = 0 if _was_started_since(journal, server) else redis_keys.compared(None, counted, server.redis)["lost"]
        unsure = 0 if is_first_life else keys["lost"] - sure
        note_forgotten(journal, server, request)
    if before is None:
        keys["not_proven"] = [f"what each key holds (too many, too slow to read, or not kept: of {keys['before']} keys only the number was compared)"]
    if unsure > 0:
        said = f"{unsure} keys that are gone or differ (the server may have been started before: nobody counted what clients did then)"
        keys |= {"lost": keys["lost"] - unsure, "unknown": keys["unknown"] + unsure, "not_proven": [*keys.get("not_proven", []), said]}
    if doubts := journal.state.get("doubts"):
        keys["not_proven"] = [*keys.get("not_proven", []), *doubts]
    # A way back compares once more, and that says nothing of what the dump from before the first time is kept for.
    journal.write(keys=keys, dump_kept=keeps_dump(journal) or unsure > 0 or redis_keys.doubtful(keys))
    path_kept.forget(journal)
    refuse_lost(journal, request)


def _was_started_since(journal: Run, server: Server) -> bool:
    """Say whether the server had a life before this one since it was made anew: what clients did in that was counted, and is gone."""
    docker, made = server.inspection.get("State") or {}, journal.state.get("made")
    has_ended = not str(docker.get("FinishedAt") or "0001-").startswith("0001-")
    return has_ended or made not in (None, server.inspection.get("Id"))


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
