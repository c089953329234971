"""The verbs of `docker-root`, as leg_verbs.py has them."""

from __future__ import annotations

import argparse
from typing import Any

from . import configs, lease, leg_verbs
from .cancel import Cancel
from .docker_engine import Engine
from .docker_root import DockerRoot, unit_of
from .faults import RefusedFault
from .root_request import Request, as_json, parse
from .state import Home, Run

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
    request = _request(run)
    return leg_verbs.act(
        verbs, run, request, options, asked=as_json(request), unit=unit_of(request), more=lambda seen: configs.diffs(seen["planned"])
    )


def undo(verbs: DockerRoot, run: Run, of: Run, options: argparse.Namespace) -> Answer:
    """Go back to where the run `of` came from, as a unit of its own with `--detach`."""
    unit = unit_of(parse(of.state.get("request") or {}))
    return leg_verbs.undo(verbs, run, of, options, unit=unit, work=lambda: verbs.undo(run, of, overwrite=options.overwrite_old_root))
