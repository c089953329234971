"""Turn a Redis' append-only file on while it serves, and persist what was turned on where its container reads it at the next start.

Rules:
- Never by a restart: a server that starts with AOF on and no such file starts empty, and its next save overwrites the dump.
- dump.rdb is kept aside by a link before anything changes, until all is persisted, or back; for good where a key was lost, or more are gone than
  clients explain for certain. Files of an earlier AOF are set aside by name, never loaded.
- Persisted is only what runs in this very life of the server, with its file on disk: one that was started since is turned on once more.
- Going back AOF stays on until the dump is written with writes held, and what a start would read is put back before it goes off.
- Each verb may be repeated: what is done is seen and left.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from . import path_kept, redis_anew, redis_dump, redis_end, redis_live, redis_persist, redis_wait
from .faults import FailedFault, RefusedFault
from .redis_client import RedisError
from .redis_hold import writes_held
from .redis_options import NAMES
from .redis_server import Login, Server, free_name, state_of
from .state import Run

ROLE = "redis_aof"
_OLDEST = 7
# Turned on in this order, so that what is written first is synced as it shall be.
_ORDER = ("appendfsync", "appendonly", "save")


@dataclass(frozen=True)
class Request:
    """What one service shall run with, and what of that has to be persisted; `route` says where, `file` is its configuration file, as it sees it."""

    container: str
    settings: dict[str, str]
    persist: dict[str, str]
    route: Literal["file", "compose"]
    file: str | None
    port: int
    login: Login
    wait_s: int = 3600
    stop_s: int = 60
    answer_s: int = 120

    def server(self) -> Server:
        """Return the server as it runs now."""
        return Server(self.container, self.login, self.port, self.file)

    def order(self) -> list[str]:
        return [name for name in _ORDER if name in self.settings]


def parse(asked: dict[str, Any]) -> Request:
    """Return the request. Raises `ValueError`, `KeyError`, `TypeError`, and `RefusedFault` where the controller could not tell its password."""
    given = {str(name): str(value) for name, value in dict(asked["settings"]).items()}
    # Always in one order, in which a person would write them.
    settings = {name: given[name] for name in NAMES if name in given}
    persist = {name: value for name, value in settings.items() if name in list(asked["persist"])}
    if len(persist) != len(asked["persist"]):
        raise ValueError(f"{asked['persist']} is not among {given}")
    if asked["route"] not in ("file", "compose") or not settings or settings != given or settings.get("appendonly") == "no":
        raise ValueError(f"route {asked['route']!r} with the settings {given}")
    auth, told = asked.get("auth") or {}, (asked.get("told") or {}).get(asked["container"]) or {}
    if "why" in told:
        raise RefusedFault(f"redis_aof refused for {asked['container']}: {told['why']}. Nothing was changed.")
    login = Login(auth.get("user"), auth.get("password_env"), told.get("password"))
    times = {name: int(asked[name]) for name in ("wait_s", "stop_s", "answer_s") if name in asked}
    return Request(
        str(asked["container"]), settings, persist, asked["route"], asked.get("file") or None, int(asked.get("port") or 6379), login, **times
    )


def refuse(request: Request) -> dict[str, Any]:
    """Return what is to be done ({running, leftover, persist}). Raises `RefusedFault` with all that speaks against it."""
    try:
        server = request.server()
    except FailedFault as fault:
        raise RefusedFault(f"redis_aof refused: {fault}. Nothing was changed.") from fault
    with closing(server.redis):
        running = server.redis.settings(request.order())
        found = _objections(server)
        leftover = server.aof_names() if running.get("appendonly", "yes") == "no" else []
        try:
            persist = redis_persist.planned(server, request)
        except RefusedFault as fault:
            found.append(str(fault).removesuffix(" Nothing was changed."))
            persist = None
        if persist is not None and persist["anew"]:
            found += redis_live.forgotten(server, leaving=request.settings, anew=True)
    if found:
        raise RefusedFault(f"redis_aof refused for {request.container}: {'; '.join(found)}. Nothing was changed.")
    differing = {name: value for name, value in request.settings.items() if running[name] != value}
    return {"running": differing, "leftover": leftover, "persist": persist, "pending": bool(differing or persist)}


def _objections(server: Server) -> list[str]:
    redis, found = server.redis, []
    version = redis.info("server").get("redis_version", "")
    if not version.partition(".")[0].isdigit() or int(version.partition(".")[0]) < _OLDEST:
        found.append(
            f"it is Redis {version or 'of no version'}, and only {_OLDEST}.0 and newer are known here: turn AOF on by hand, as its manual says"
        )
    seen = redis.info("persistence")
    if seen.get("loading", "0") != "0":
        found.append("it is still loading its data: wait for it")
    if redis.info("replication").get("role") != "master":
        found.append("it is a replica, whose data comes from its master: do it there first, then make this one's policy its own")
    if lacking := server.lacking_rights():
        found.append(f"its user may not run {', '.join(lacking)}, which this needs: allow them, or name another user (policy.yml, auth)")
    return found


def turn_on(run: Run, request: Request) -> dict[str, Any]:
    """Turn on what does not run so, and wait until the append-only file is on disk. Raises `FailedFault`, `RefusedFault`."""
    server = request.server()
    with closing(server.redis):
        running = server.redis.settings(request.order())
        differing = [name for name in request.order() if running[name] != request.settings[name]]
        if differing:
            before = run.state.get("before") or server.redis.settings(redis_end.SHOWN)
            run.write(role=ROLE, phase="turning-on", before=before, container=request.container)
            redis_dump.keep(server, run)
            if running.get("appendonly") == "no":
                _set_aside(server, run, run.key)
            for name in differing:
                _set(server, run, name, request.settings[name])
        if request.settings.get("appendonly") == "yes":
            server.await_file(request.wait_s)
        after = server.redis.settings(redis_end.SHOWN)
    started = (state_of(request.container) or {}).get("StartedAt")
    # Where only persisting is left the state from before is the one now.
    run.write(role=ROLE, phase="on", started_at=started, before=run.state.get("before") or after, after=after, container=request.container)
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
    half_made, is_first_life = run.phase == "making-anew", False
    if half_made:
        redis_anew.await_compose(request)
        is_first_life = redis_anew.finish(run, run, request, state_of(request.container))
    changed = False
    server = request.server()
    with closing(server.redis):
        told = redis_persist.is_made(server, request)
    if half_made and told:
        # Cut off before its keys were compared.
        redis_end.go_on(run, request, is_first_life=is_first_life)
    else:
        # Once more: whoever was started since it was turned on has lost that.
        turn_on(run, request)
        server = request.server()
        with closing(server.redis):
            if request.persist and request.route == "compose" and not told:
                redis_anew.refuse_forgotten(run, server, request)
            changed = redis_persist.write(run, server, request)
        if request.persist and request.route == "compose" and not told:
            redis_persist.assert_as_written(run)
            redis_anew.make_anew(run, run, request, phase="making-anew")
            changed = True
        redis_end.end(run, request)
    return {"changed": changed, "downtime_s": run.state.get("downtime_s") or {}}


def _set_aside(server: Server, run: Run, word: str) -> None:
    """Rename append-only files that are not in use, each to a name that nothing has; AOF is off."""
    names = server.aof_names()
    with server.data_folder() as folder:
        for name in names:
            other = free_name(folder, f"{name}.{word}")
            run.write(aside=[*run.state.get("aside", []), [name, other]])
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
    told |= {"notes": run.state["notes"]} if run.state.get("notes") else {}
    # The host itself may have ended the run: then this alone tells what it cost.
    downtime = {"downtime_s": run.state["downtime_s"]} if run.state.get("downtime_s") else {}
    return {"changed": False, **downtime, "told": {**told, "dump_kept": True} if redis_anew.keeps_dump(run) else told}


def undo(of: Run, working: Run, request: Request) -> dict[str, Any]:
    """Bring back how it ran and what was persisted, without losing a key. `working` holds the lease. Raises `FailedFault`, `RefusedFault`."""
    if of.state.get("role") != ROLE:
        return {"changed": False}
    redis_persist.refuse_back(of)
    is_first_life = False
    if of.phase in ("making-anew", "undoing-anew"):
        redis_anew.await_compose(request)
    if of.phase == "undoing-anew":
        is_first_life = redis_anew.finish(of, working, request, state_of(request.container))
    _refuse_unless_running(request)
    redis_wait.note_answer(of, request, state_of(request.container))
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
    redis_dump.drop(of, request)
    path_kept.forget(of)
    of.write(phase="undone")
    return {"changed": changed, "downtime_s": of.state.get("downtime_s") or {}, **_told_back(of, request)}


def _told_back(of: Run, request: Request) -> dict[str, Any]:
    """Return what is told of a way back: what it forgot, and how its keys fared where the container was made anew, as far as that is known."""
    told = {"container": request.container, **{name: of.state[name] for name in ("forgotten", "complaint") if of.state.get(name)}}
    if of.state.get("downtime_s") and "keys" in of.state:
        keys = {name: value for name, value in (of.state.get("keys") or {}).items() if name != "names"}
        told["keys"] = keys or {"not_proven": ["all of it: the way back was cut off before its keys were compared"]}
    return {"told": told} if len(told) > 1 else {}


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
            changed = redis_persist.put_back(of, server, request)
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
