"""The verbs of `redis`: refuse, prepare, turn-on, persist, settle, prove, undo."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from typing import Any

from . import redis_aof, redis_down, redis_dump, redis_end, redis_persist, redis_refuse
from .faults import FailedFault, RefusedFault
from .redis_request import Request
from .state import Home, Run

_LOOKS = ("refuse", "prove")
# The host's own settling starts a container and waits for its health.
_SETTLING_S = 900.0


def act(home: Home, options: argparse.Namespace) -> dict[str, Any]:
    """Carry out one of the verbs; what is asked comes on standard input, with the password that only the controller knows."""
    run = home.run(options.run)
    of = home.run(options.of or options.run)
    try:
        asked = run.state.get("asked") or {} if options.action == "settle" else json.loads(sys.stdin.read() or "null") or {}
        if options.action == "undo":
            asked = {**of.state.get("asked", {}), **({"told": asked["told"]} if "told" in asked else {})}
            if "container" not in asked:
                return {"changed": False}
        request = redis_aof.parse(asked)
    except (ValueError, KeyError, TypeError) as fault:
        raise RefusedFault(f"the request of 'redis {options.action}' is malformed: {fault!r}. Nothing was changed.") from fault
    try:
        while True:
            if options.action == "settle":
                redis_down.await_docker()
            with _alone(home, options):
                # Whoever was waited for may have brought it on.
                run.reload()
                of.reload()
                done = _done(run, of, request, options)
            # What is only kept down is settled once it ends.
            if options.action != "settle" or not redis_down.await_end(run, request):
                return done
    except OSError as fault:
        raise FailedFault(
            f"{request.container}: {fault}. The journal stands at {(of if options.action == 'undo' else run).phase}: run this again, it goes on from there"
            f"{redis_dump.unread(run)}"
        ) from fault


def _alone(home: Home, options: argparse.Namespace) -> AbstractContextManager[None]:
    """Keep two from one Redis: the host itself may bring up what a power cut left half made anew, at any time after its start."""
    if options.action == "settle":
        return home.lock("redis")
    return (home.lock_if_made if options.check or options.action in _LOOKS else home.lock)("redis", patience_s=_SETTLING_S)


def _done(run: Run, of: Run, request: Request, options: argparse.Namespace) -> dict[str, Any]:
    if options.action == "undo":
        return redis_aof.undo(of, run, request)
    if options.action == "settle":
        return redis_end.settle(run, request)
    if options.action == "refuse" or options.check:
        redis_down.refuse_others(run, request)
    # The container may be gone for now: what is left of the same run brings it back.
    half_made = run.phase == "making-anew" or redis_down.is_down(run, request)
    if options.action == "refuse" and half_made:
        return {"pending": True, "running": {}, "leftover": [], "persist": None}
    if options.check and half_made:
        # It may stand still: nobody but the run starts it.
        return {"changed": options.action == "persist"}
    if options.check:
        return _shown(options.action, redis_refuse.refuse(request))

    def prepare() -> dict[str, Any]:
        if half_made:
            return {"changed": False}
        redis_end.compare_earlier(run, request)
        server = request.server()
        with closing(server.redis):
            return redis_persist.prepare(run, server, request, sys.executable)

    steps: dict[str, Callable[[], dict[str, Any]]] = {
        "refuse": lambda: redis_refuse.refuse(request),
        "prepare": prepare,
        # `persist` turns it on once more where that is lost.
        "turn-on": lambda: {"changed": False} if half_made else redis_aof.turn_on(run, request),
        "persist": lambda: redis_aof.persist(run, request),
        "prove": lambda: redis_aof.prove(run, request),
    }
    return steps[options.action]()


def _shown(action: str, seen: dict[str, Any]) -> dict[str, Any]:
    """Return what a dry run shows of one step."""
    if action == "turn-on":
        lines = "".join(f"{name} {value}\n" for name, value in sorted(seen["running"].items()))
        return {
            "changed": bool(lines),
            "diff": [{"before_header": "running settings", "after_header": "running settings", "before": "", "after": lines}],
        }
    persist = seen["persist"]
    if persist is None:
        return {"changed": False}
    after = f"{persist['path']}{', and the container made anew' if persist['anew'] else ''}\n"
    return {"changed": True, "diff": [{"before_header": "persisted in", "after_header": "persisted in", "before": "", "after": after}]}
