"""Turn a Redis' append-only file on while it serves, and persist what was turned on where its container reads it at the next start.

Rules:
- Never by a restart: a server that starts with AOF on and no such file starts empty, and its next save overwrites the dump.
- Between the file and the persisting of it a start would pass it by: the container stays down then, until it is brought up with it (redis_guard.py).
- dump.rdb is kept aside by a link before anything changes, until all is persisted, or back; for good where a key was lost, or more are gone than
  clients explain for certain. Files of an earlier AOF are set aside by name, never loaded.
- Persisted is only what runs in this very life of the server, with its file on disk: one that was started since is turned on once more.
- Going back AOF stays on until the dump is written with writes held, and what a start would read is put back before it goes off.
- Each verb may be repeated: what is done is seen and left.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any

from . import redis_anew, redis_command, redis_down, redis_dump, redis_end, redis_gone, redis_guard, redis_persist, redis_wait
from .faults import FailedFault, RefusedFault
from .redis_client import RedisError
from .redis_hold import writes_held
from .redis_request import Request, parse
from .redis_server import Server, free_name, state_of
from .state import Run

__all__ = ["ROLE", "Request", "parse", "persist", "prove", "turn_on", "undo"]

ROLE = "redis_aof"
# Until a start reads the append-only file, its dump is what a start reads: how often that is written is changed after all that is to be persisted.
_LAST = "save"


def turn_on(run: Run, request: Request) -> dict[str, Any]:
    """Turn on what does not run so, and wait until the append-only file is on disk. Raises `FailedFault`, `RefusedFault`.

    From then on a container that would start without that file stays down once it ends, until it is brought up with it.
    """
    try:
        return _turned_on(run, request)
    except (FailedFault, RefusedFault, OSError):
        if not redis_down.has_ended(run, request):
            redis_guard.release(run, request)
            raise
        if not redis_down.bring(run, run, request):
            raise
    return {"changed": True}


def _turned_on(run: Run, request: Request) -> dict[str, Any]:
    server = request.server()
    with closing(server.redis):
        redis_dump.refuse_empty(server, run)
        running, is_pending = server.redis.settings(request.order()), bool(redis_persist.lacking(server, request))
        differing = [name for name in request.order() if running[name] != request.settings[name] and not (is_pending and name == _LAST)]
        is_kept_down = is_pending and request.persist.get("appendonly") == "yes"
        if differing:
            before = run.state.get("before") or server.redis.settings(redis_end.SHOWN)
            run.write(role=ROLE, phase="turning-on", before=before, container=request.container)
        if differing or request.persist:
            redis_dump.keep(server, run)
        if differing and running.get("appendonly") == "no":
            # Of an attempt before this one: whoever brings it up by that had a file that is not whole yet, or none.
            redis_command.take_back(run, request, server.inspection)
            redis_guard.forget_file(run)
            _set_aside(server, run, run.key, is_newest=bool(run.state.get("was_on")) and server.has_manifest())
            if is_kept_down:
                redis_guard.on(run, request, server, whole=False)
            run.write(was_on=True, begun_in=redis_dump.begun_in(server, request))
        for name in differing:
            _set(server, run, name, request.settings[name])
        if request.settings.get("appendonly") == "yes":
            server.await_file(request.wait_s)
        if is_kept_down:
            redis_guard.on(run, request, server, whole=True)
        after = server.redis.settings(redis_end.SHOWN)
    # Where only persisting is left the state from before is the one now.
    before, started = run.state.get("before") or after, redis_guard.life_of(server)
    run.write(role=ROLE, phase="on", started_at=started, was_on=True, begun_in=None, before=before, after=after, container=request.container)
    return {"changed": bool(differing)}


def _set(server: Server, run: Run, name: str, value: str) -> None:
    try:
        server.redis.set(name, value)
    except RedisError as fault:
        raise FailedFault(
            f"{server.name} serves on, and does not take {name} {value} ({fault}): look at its log ('docker logs {server.name}') and at the room on the "
            f"disk of its data, then make a new plan. Go back: {run.folder}/undo"
        ) from fault


def persist(run: Run, request: Request) -> dict[str, Any]:
    """Persist what runs; make the container anew where only that lets it read it. Raises `FailedFault`, `RefusedFault`."""
    redis_anew.refuse_lost(run, request)
    for is_last in (False, True):
        try:
            return _persisted(run, request)
        except (FailedFault, RefusedFault, OSError) as fault:
            # One that was started again is turned on once more; one that ended was kept down for that, with its file.
            may_go_on = isinstance(fault, redis_anew.StartedAgainFault) or redis_down.has_ended(run, request)
            if is_last or not may_go_on:
                redis_guard.release(run, request)
                raise
    raise AssertionError("unreachable")


def _persisted(run: Run, request: Request) -> dict[str, Any]:
    is_first_life = False
    if run.phase == "making-anew":
        redis_anew.await_compose(run, request)
        is_first_life = redis_anew.finish(run, run, request, state_of(request.container))
    elif redis_down.is_down(run, request):
        is_first_life = redis_down.bring(run, run, request)
    half_made, changed = run.phase == "making-anew", is_first_life
    server = request.server()
    with closing(server.redis):
        told = redis_persist.is_made(server, request)
    if half_made and told:
        # Cut off before its keys were compared.
        redis_end.go_on(run, request, is_first_life=is_first_life)
    else:
        if half_made:
            redis_end.compare_held(run, request)
        # Once more: whoever was started since it was turned on has lost that.
        changed = _turned_on(run, request)["changed"] or changed
        if request.persist and request.route == "compose" and not told:
            changed = _written(run, request, is_anew=True) or changed
            redis_anew.make_anew(run, run, request, phase="making-anew")
            changed = True
        else:
            changed = _written(run, request, is_anew=False) or changed
        redis_end.end(run, request)
    return {"changed": changed, "downtime_s": run.state.get("downtime_s") or {}}


def _written(run: Run, request: Request, *, is_anew: bool) -> bool:
    """Write what is to be persisted, and set live what waited for that; return whether anything changed. Raises `FailedFault`, `OSError`."""
    server = request.server()
    with closing(server.redis):
        if is_anew:
            redis_anew.refuse_forgotten(run, server, request)
            # Before the file is written: where this fails it stays as it was, and nobody's start loads what is stale by then.
            redis_persist.assert_as_written(run)
        redis_anew.assert_life(run, server, request)
        changed = redis_persist.write(run, server, request)
        if is_anew:
            return changed
        # Were it another life by now, this connection would be broken.
        redis_anew.assert_life(run, server, request)
        running = server.redis.settings(request.order())
        late = [name for name in request.order() if running[name] != request.settings[name]]
        for name in late:
            _set(server, run, name, request.settings[name])
    return changed or bool(late)


def _set_aside(server: Server, run: Run, word: str, *, is_newest: bool = False) -> None:
    """Rename append-only files that are not in use, each to a name that nothing has; AOF is off. `is_newest`: the run itself had turned it on."""
    names = server.aof_names()
    with server.data_folder() as folder:
        for name in names:
            other = free_name(folder, f"{name}.{word}")
            said = {}
            if is_newest:
                doubt = f"{server.name} was started again since its append-only file was on: what it acknowledged after its last dump may be in {other} alone"
                said = {"doubts": [*(run.state.get("doubts") or []), doubt], "dump_kept": True}
            run.write(aside=[*run.state.get("aside", []), [name, other]], **said)
            os.rename(name, other, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)


def prove(run: Run, request: Request) -> dict[str, Any]:
    """Read back that it runs so, is persisted so, has its file, and lost no key. Raises `FailedFault`."""
    redis_anew.refuse_lost(run, request)
    server = request.server()
    with closing(server.redis):
        after = server.redis.settings(redis_end.SHOWN)
        problems = [f"{name} is {after[name] or 'empty'} while it runs" for name, value in request.settings.items() if after[name] != value]
        if request.settings.get("appendonly") == "yes" and not server.has_manifest():
            problems.append("no append-only file is on disk")
        problems += redis_persist.lacking(server, request)
        if problems:
            raise FailedFault(f"{request.container}: {'; '.join(problems)}. Then plan again. Go back: {run.folder}/undo")
    # Names of keys may be somebody's: they stay on the host.
    keys = {name: value for name, value in (run.state.get("keys") or {}).items() if name != "names"} or None
    forgotten = {"forgotten": run.state["forgotten"]} if run.state.get("forgotten") else {}
    told = {**{name: run.state.get(name) for name in ("container", "before", "aside")}, "after": after, "keys": keys, **forgotten}
    notes = [*(run.state.get("notes") or []), *(run.state.get("doubts") or [])]
    told |= {"notes": notes} if notes else {}
    # The host itself may have ended the run: then this alone tells what it cost.
    downtime = {"downtime_s": run.state["downtime_s"]} if run.state.get("downtime_s") else {}
    return {"changed": False, **downtime, "told": {**told, "dump_kept": True} if redis_anew.keeps_dump(run) else told}


def undo(of: Run, working: Run, request: Request) -> dict[str, Any]:
    """Bring back how it ran and what was persisted, without losing a key. `working` holds the lease. Raises `FailedFault`, `RefusedFault`."""
    if of.state.get("role") != ROLE:
        return {"changed": False}
    if (gone := redis_gone.closed(of, request)) is not None:
        return gone
    redis_persist.refuse_back(of)
    kept = redis_guard.kept(of)
    try:
        return _undone(of, working, request)
    except (FailedFault, RefusedFault, OSError):
        # What the way there keeps down is kept so until one of both comes to its end.
        if redis_guard.kept(of) != kept and not redis_down.has_ended(of, request):
            redis_guard.release(of, request)
        raise


def _undone(of: Run, working: Run, request: Request) -> dict[str, Any]:
    is_first_life = False
    if of.phase in redis_guard.CRITICAL:
        redis_anew.await_compose(of, request)
        is_first_life = redis_anew.finish(of, working, request, state_of(request.container))
    elif redis_down.is_down(of, request):
        redis_down.bring(of, working, request)
    redis_down.refuse_others(of, request)
    _refuse_unless_running(request)
    if (state := state_of(request.container)) is not None:
        redis_dump.keep_of_empty(of, state)
    redis_wait.note_answer(of, request, state)
    redis_end.compare_before_back(of, request)
    if of.phase != "undoing-anew":
        # What a way there that came to its end cost and forgot was told by then.
        of.write(phase="undoing", **({"downtime_s": {}, "forgotten": None} if of.phase == "done" else {}))
    server = request.server()
    with closing(server.redis):
        told = redis_persist.is_made(server, request)
        if told:
            redis_anew.refuse_forgotten(of, server, request)
            redis_persist.put_back(of, server, request)
        else:
            # Of an attempt that was cut off once its container was made anew.
            redis_anew.note_forgotten(of, server, request)
    if told:
        redis_anew.make_anew(of, working, request, phase="undoing-anew", saved=True)
    elif of.phase == "undoing-anew" and of.state.get("counts") and of.state.get("keys") is None:
        redis_anew.judge_after_cut(of, request, is_first_life=is_first_life)
    changed = _set_back(of, request) or told
    redis_end.close(of, request, "undone")
    return {"changed": changed, "downtime_s": of.state.get("downtime_s") or {}, **redis_end.told_back(of, request)}


def _set_back(of: Run, request: Request) -> bool:
    """Set what ran before, live: with writes held, the dump written, and the file put back before AOF goes off."""
    before = of.state.get("before") or {}
    server = request.server()
    with closing(server.redis):
        running = server.redis.settings(["appendonly", "appendfsync", "save"])
        differing = [name for name in ("save", "appendfsync", "appendonly") if name in before and running[name] != before[name]]
        if "appendonly" not in request.persist and before.get("appendonly") == "no":
            # It was off while a start would have turned it on, with nothing to load: that is no state to go back to.
            differing = [name for name in differing if name != "appendonly"]
        turns_off = "appendonly" in differing and before["appendonly"] == "no"
        with redis_wait.held(of, request) if turns_off else writes_held(request.server().redis):
            if turns_off:
                server.await_saved(request.wait_s)
            # From here on the dump has all that the file has.
            changed = redis_persist.put_back(of, server, request)
            if turns_off:
                redis_guard.take_over(of, server)
            redis_guard.off(of)
            if turns_off and not redis_persist.lacking(server, request):
                raise FailedFault(
                    f"{request.container} would start with AOF still, so it stays on: what this run wrote there is not all that says so. "
                    "Look at its command and its configuration file, then run this again"
                )
            if "appendonly" in differing and not turns_off:
                _set_aside(server, of, of.key)
            for name in differing:
                server.redis.set(name, before[name])
            if before.get("appendonly") == "no" and server.redis.settings(["appendonly"])["appendonly"] == "no":
                # Left where they are, they would be loaded in place of newer data should somebody turn AOF on by a restart.
                _set_aside(server, of, f"undone-{of.key}")
        if "appendonly" in differing and not turns_off:
            server.await_file(request.wait_s)
    return bool(differing) or changed


def _refuse_unless_running(request: Request) -> None:
    state = state_of(request.container)
    if state is None or not state["Running"]:
        raise RefusedFault(
            f"{request.container} does not run, and going back needs it: its newest data may be in its append-only file alone. Nothing was changed. Bring "
            f"it up ('docker start {request.container}', or Compose with its files as they are; 'docker logs {request.container}' says why it does not stay)."
        )
