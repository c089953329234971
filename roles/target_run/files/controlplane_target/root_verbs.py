"""The verbs of `docker-root`; the long ones as leg_verbs.py has it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from . import configs, lease, leg_verbs
from .cancel import Cancel
from .docker_engine import Engine
from .docker_root import ROLE, DockerRoot, unit_of
from .faults import RefusedFault
from .root_request import Request, as_json, parse
from .state import Home, Run
from .undo_text import write_undo

Answer = dict[str, Any]


def _request(run: Run) -> Request:
    try:
        return parse(leg_verbs.asked(run))
    except (ValueError, KeyError, TypeError) as fault:
        raise RefusedFault(f"the request of 'docker-root' is malformed: {fault}. Nothing was changed.") from fault


def act(home: Home, options: argparse.Namespace) -> Answer:
    """Carry out one verb of `docker-root`."""
    run, cancel = home.run(options.run), Cancel()
    verbs = DockerRoot(home, Engine(), cancel)
    if options.action == "wait":
        claim = None if options.token is None else lease.Claim(run.key, options.holder, options.token)
        return leg_verbs.wait(run, options.limit, claim, options.ttl)
    if options.action == "settle":
        return leg_verbs.settle(verbs, run, options.stage)
    if options.action == "undo":
        return undo(verbs, run, home.run(options.of or options.run), options)
    return _with_request(verbs, run, options)


def _with_request(verbs: DockerRoot, run: Run, options: argparse.Namespace) -> Answer:
    request = _request(run)
    if options.check:
        return _shown(verbs.refuse(run, request))
    at_once: dict[str, Callable[[], Answer]] = {
        "refuse": lambda: verbs.refuse(run, request),
        "prepare": lambda: {"changed": write_undo(run, ROLE, sys.executable)},
        "prove": lambda: verbs.prove(run, request),
    }
    if options.action in at_once:
        return at_once[options.action]()
    if options.detach:
        run.write(asked=as_json(request))
        return leg_verbs.detach(verbs, run, options.action, unit_of(request), [])
    work = verbs.precopy if options.action == "precopy" else verbs.move
    return leg_verbs.as_unit(verbs, run, options.action, lambda: work(run, request))


def _shown(seen: Answer) -> Answer:
    """Return what a dry run shows of a move."""
    moves = [
        {"before_header": one["target"], "after_header": one["target"], "before": f"{one['before']}\n", "after": f"{one['after']}\n"}
        for one in seen["changes"]
    ]
    return {"changed": bool(seen["changes"] or seen["planned"]), "changes": seen["changes"], "diff": [*moves, *configs.diffs(seen["planned"])]}


def undo(verbs: DockerRoot, run: Run, of: Run, options: argparse.Namespace) -> Answer:
    """Go back to where the run `of` came from, as a unit of its own with `--detach`."""
    if options.detach:
        extra = ["--of", of.key, *(["--overwrite-old-root"] if options.overwrite_old_root else [])]
        return leg_verbs.detach(verbs, run, "undo", unit_of(parse(of.state.get("request") or {})), extra)
    return leg_verbs.as_unit(verbs, run, "undo", lambda: verbs.undo(run, of, overwrite=options.overwrite_old_root))
