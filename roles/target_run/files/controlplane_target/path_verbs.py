"""The verbs of `persistent-path`; the long ones as leg_verbs.py has it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import lease, leg_verbs
from .cancel import Cancel
from .docker_engine import Engine
from .faults import RefusedFault
from .files import read_json, write_json
from .path_request import Request, as_json, parse
from .persistent_path import PersistentPath, unit_of
from .state import Home, Run

Answer = dict[str, Any]
_TOLD = Path("/run/controlplane")


def act(home: Home, options: argparse.Namespace) -> Answer:
    """Carry out one of the verbs; what is asked comes on standard input, with the password that only the controller knows."""
    run = home.run(options.run)
    if options.action == "wait":
        claim = None if options.token is None else lease.Claim(run.key, options.holder, options.token)
        return _waited(run, options, claim)
    of = home.run(options.of or options.run)
    if options.action == "settle":
        return leg_verbs.settle(PersistentPath(home, Engine(), Cancel(), _password(run)), run, options.stage)
    asked = leg_verbs.asked(of if options.action == "undo" else run)
    password = _told(run, asked, keep=options.detach) or _password(run)
    verbs = PersistentPath(home, Engine(), Cancel(), password)
    if options.action == "undo":
        return undo(verbs, run, of, options)
    try:
        request = parse(asked)
    except (ValueError, KeyError, TypeError) as fault:
        raise RefusedFault(f"the request of 'persistent-path' is malformed: {fault}. Nothing was changed.") from fault
    return _with_request(verbs, run, request, options)


def _with_request(verbs: PersistentPath, run: Run, request: Request, options: argparse.Namespace) -> Answer:
    if options.check:
        return _shown(verbs.refuse(run, request))
    at_once: dict[str, Callable[[], Answer]] = {
        "refuse": lambda: verbs.refuse(run, request),
        "prepare": lambda: {"changed": verbs.prepare(run, request)},
        "prove": lambda: verbs.prove(run, request),
    }
    if options.action in at_once:
        return at_once[options.action]()
    if options.detach:
        run.write(asked=as_json(request))
        return leg_verbs.detach(verbs, run, options.action, unit_of(request), [])
    work = verbs.precopy if options.action == "precopy" else verbs.move
    return leg_verbs.as_unit(verbs, run, options.action, lambda: work(run, request))


def undo(verbs: PersistentPath, run: Run, of: Run, options: argparse.Namespace) -> Answer:
    """Go back to where the run `of` came from, as a unit of its own with `--detach`."""
    if "request" not in of.state:
        return {"changed": False}
    if options.detach:
        extra = ["--of", of.key, *(["--overwrite-old-root"] if options.overwrite_old_root else [])]
        return leg_verbs.detach(verbs, run, "undo", unit_of(parse(of.state["request"])), extra)
    return leg_verbs.as_unit(verbs, run, "undo", lambda: verbs.undo(run, of, overwrite=options.overwrite_old_root))


def _shown(seen: Answer) -> Answer:
    """Return what a dry run shows of a move."""
    diff = [
        {"before_header": one["target"], "after_header": one["target"], "before": f"{one['before']}\n", "after": f"{one['after']}\n"}
        for one in seen["changes"]
    ]
    return {"changed": bool(seen["changes"]), "changes": seen["changes"], "diff": diff}


def _told(run: Run, asked: dict[str, Any], *, keep: bool) -> str | None:
    """Take the password that came with a request out of it; with `keep` it is put where the run's unit finds it, never on a disk."""
    told = (asked.pop("told", None) or {}).get(str(asked.get("container"))) or {}
    if "why" in told:
        raise RefusedFault(f"persistent_paths refused: {told['why']}. Nothing was changed.")
    if keep and "password" in told:
        _TOLD.mkdir(mode=0o700, exist_ok=True)
        os.chmod(_TOLD, 0o700)
        write_json(_place_of(run), {"password": told["password"]})
    return str(told["password"]) if "password" in told else None


def _password(run: Run) -> str | None:
    held = read_json(_place_of(run))
    return str(held["password"]) if held else None


def _place_of(run: Run) -> Path:
    return _TOLD / f"{run.key}.told"


def _waited(run: Run, options: argparse.Namespace, claim: lease.Claim | None) -> Answer:
    answer = leg_verbs.wait(run, options.limit, claim, options.ttl)
    if not answer["working"]:
        _place_of(run).unlink(missing_ok=True)
    return answer
