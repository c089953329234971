"""The verbs of `persistent-path`, as leg_verbs.py has them, with the password that only the controller knows."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from . import lease, leg_verbs, path_undo
from .cancel import Cancel
from .docker_engine import Engine
from .faults import RefusedFault
from .files import read_json, write_json
from .path_request import as_json, parse
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
    return leg_verbs.act(verbs, run, request, options, asked=as_json(request), unit=unit_of(request))


def undo(verbs: PersistentPath, run: Run, of: Run, options: argparse.Namespace) -> Answer:
    """Go back to where the run `of` came from, as a unit of its own with `--detach`."""
    if "request" not in of.state:
        return {"changed": False}
    unit = unit_of(parse(of.state["request"]))
    return leg_verbs.undo(verbs, run, of, options, unit=unit, work=lambda: path_undo.undo(verbs, run, of, overwrite=options.overwrite_old_root))


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
