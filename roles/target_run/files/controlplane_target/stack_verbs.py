"""The verbs of `compose-stack`: refuse, prepare, pull, deploy, settle, prove, undo, wait; the long ones as a unit with `--detach`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from . import lease, leg_verbs, stack_asked, stack_undo
from .cancel import Cancel
from .compose_stack import ComposeStack, unit_of
from .docker_engine import SOCKET, Engine
from .faults import FailedFault, RefusedFault
from .stack_request import Request, parse
from .state import Home, Run

Answer = dict[str, Any]
_LOOKING = ("refuse", "prepare", "pull")


def act(home: Home, options: argparse.Namespace) -> Answer:
    """Carry out one of the verbs; what is asked comes on standard input."""
    run = home.run(options.run)
    verbs = ComposeStack(home, Engine(), Cancel())
    if options.action == "wait":
        claim = None if options.token is None else lease.Claim(run.key, options.holder, options.token)
        return leg_verbs.wait(run, options.limit, claim, options.ttl)
    if options.action == "settle":
        return leg_verbs.settle(verbs, run, options.stage)
    if options.action == "undo":
        return undo(verbs, run, home.run(options.of or options.run), options)
    asked = _asked(run)
    try:
        request = parse(asked)
    except (ValueError, KeyError, TypeError) as fault:
        raise RefusedFault(f"the request of 'compose-stack' is malformed: {fault}. Nothing was changed.") from fault
    try:
        return _done(verbs, run, request, options, asked)
    except OSError as fault:
        if options.check or options.action in _LOOKING:
            raise _silent(fault) from fault
        raise FailedFault(f"{request.stack}: {fault}. The journal stands at {run.phase}: run this again, it goes on from there") from fault


def undo(verbs: ComposeStack, run: Run, of: Run, options: argparse.Namespace) -> Answer:
    """Take back what the run `of` deployed, as a unit of its own with `--detach`; with `--check` show what that would change."""
    if options.check:
        try:
            return stack_undo.shown(verbs, run, of, [str(key) for key in _asked(run).get("passed") or []])
        except OSError as fault:
            raise _silent(fault) from fault
    if options.detach:
        return leg_verbs.detach(verbs, run, "undo", unit_of(str(of.state.get("project") or of.key)), ["--of", of.key])
    return leg_verbs.as_unit(verbs, run, "undo", lambda: stack_undo.undo(verbs, run, of))


def _silent(fault: OSError) -> RefusedFault:
    return RefusedFault(f"Docker's socket {SOCKET} does not answer ({fault}). Nothing was changed. Start Docker.")


def _done(verbs: ComposeStack, run: Run, request: Request, options: argparse.Namespace, asked: Answer) -> Answer:
    if options.check:
        return _shown(verbs.refuse(run, request)["changes"])
    at_once: dict[str, Callable[[], Answer]] = {
        "refuse": lambda: verbs.refuse(run, request),
        "prepare": lambda: verbs.prepare(run, request),
        "prove": lambda: verbs.prove(run, request),
    }
    if options.action in at_once:
        return at_once[options.action]()
    if options.detach:
        stack_asked.keep(run, asked)
        try:
            return leg_verbs.detach(verbs, run, options.action, unit_of(request.project), [])
        except FailedFault:
            # No unit reads it any more.
            stack_asked.forget(run)
            raise
    work = verbs.pull if options.action == "pull" else verbs.deploy
    return leg_verbs.as_unit(verbs, run, options.action, lambda: work(run, request))


def _shown(changes: list[dict[str, str]]) -> Answer:
    """Return what a dry run shows of a deployment."""
    ends = {"file": "", "service": "\n"}
    diff = [
        {
            "before_header": one["target"],
            "after_header": one["target"],
            "before": f"{one['before']}{ends[one['kind']]}",
            "after": f"{one['after']}{ends[one['kind']]}",
        }
        for one in changes
    ]
    return {"changed": bool(changes), "diff": diff}


def _asked(run: Run) -> Answer:
    text = "" if sys.stdin.isatty() else sys.stdin.read()
    try:
        return dict(json.loads(text) if text.strip() else stack_asked.kept(run))
    except (ValueError, TypeError) as fault:
        raise RefusedFault(f"the request of 'compose-stack' is malformed: {fault}. Nothing was changed.") from fault
