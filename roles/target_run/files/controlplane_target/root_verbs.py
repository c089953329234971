"""The verbs of `docker-root`: at once, as a transient unit with `--detach`, and the waiting for that unit's end."""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from . import configs, lease, phases
from .cancel import Cancel
from .docker_engine import Engine
from .docker_root import ROLE, DockerRoot, clean_up, unit_of
from .faults import FailedFault, RefusedFault, TargetFault
from .root_move import told
from .root_request import Request, as_json, parse
from .state import Home, Run
from .systemd import active, start_transient
from .undo_text import write_undo

Answer = dict[str, Any]


def _request(run: Run) -> Request:
    text = "" if sys.stdin.isatty() else sys.stdin.read()
    try:
        return parse(json.loads(text) if text.strip() else run.state.get("asked") or run.state.get("request") or {})
    except (ValueError, KeyError, TypeError) as fault:
        raise RefusedFault(f"the request of 'docker-root' is malformed: {fault}. Nothing was changed.") from fault


def act(home: Home, options: argparse.Namespace) -> Answer:
    """Carry out one verb of `docker-root`."""
    run, cancel = home.run(options.run), Cancel()
    verbs = DockerRoot(home, Engine(), cancel)
    if options.action == "wait":
        claim = None if options.token is None else lease.Claim(run.key, options.holder, options.token)
        return wait(run, options.limit, claim, options.ttl)
    if options.action == "settle":
        return _settle(verbs, run, options.stage)
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
        return _detach(verbs, run, options.action, unit_of(request), [])
    work = verbs.precopy if options.action == "precopy" else verbs.move
    return _as_unit(verbs, run, options.action, lambda: work(run, request))


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
        return _detach(verbs, run, "undo", unit_of(parse(of.state.get("request") or {})), extra)
    return _as_unit(verbs, run, "undo", lambda: verbs.undo(run, of, overwrite=options.overwrite_old_root))


def _detach(verbs: DockerRoot, run: Run, verb: str, unit: str, extra: list[str]) -> Answer:
    if active(unit):
        return {"unit": unit, "attached": True}
    run.write(unit=unit, outcome=None)
    after = verbs.command(run, "settle")
    started = start_transient(unit, [*verbs.command(run, verb), *extra], after=after, gentle=verb == "precopy")
    return {"unit": unit, "attached": not started}


def _as_unit(verbs: DockerRoot, run: Run, verb: str, work: Callable[[], Answer]) -> Answer:
    verbs.cancel.install()
    with run.home.lock("docker-root", wait=False):
        verbs.assert_leased(run)
        try:
            answer = work()
        except (TargetFault, OSError, ValueError, KeyError) as fault:
            run.reload()
            text = str(fault) if isinstance(fault, RefusedFault) else told(fault, run)
            code = fault.code if isinstance(fault, TargetFault) else 1
            run.write(outcome={"verb": verb, "rc": code, "message": text})
            raise (RefusedFault if code == 4 else FailedFault)(text) from fault
        finally:
            clean_up(run)
        run.write(outcome={"verb": verb, "rc": 0, "message": "", "answer": answer})
    return answer


def _settle(verbs: DockerRoot, run: Run, stage: str) -> Answer:
    if stage == "configuration":
        return {"side": verbs.settle_configuration(run)}
    if run.phase not in phases.CRITICAL:
        clean_up(run)
        return {"side": "untouched"}
    verbs.cancel.close()
    with run.home.lock("docker-root"):
        phase, side = run.phase, "untouched"
        try:
            side = verbs.recover(run)
        finally:
            run.reload()
            message = f"interrupted while {phase}; the host brought itself to the {side}, the journal stands at {run.phase}"
            run.write(outcome={"verb": "settle", "rc": 0 if run.phase == "done" else 1, "message": message})
    return {"side": side, "phase": run.phase}


def wait(run: Run, limit_s: float, claim: lease.Claim | None, ttl_s: int = 1800) -> Answer:
    """Wait for the run's unit. Who carries a claim that is over still hears how it ended, but prolongs nothing and notes nothing."""
    end = time.monotonic() + limit_s
    unit = run.state.get("unit")
    while unit and active(unit) and time.monotonic() < end:
        time.sleep(0.25)
    run.reload()
    working = bool(unit and active(unit))
    outcome = run.state.get("outcome")
    if not working and outcome is None:
        raise FailedFault(f"the unit {unit} ended without saying how; the journal stands at {run.phase}. Run this again, it goes on from there.")
    mine = claim is None or lease.is_held(run.home, claim)
    if mine and not working:
        run.write(unit=None)
    if mine and working and claim is not None:
        lease.check(run.home, claim, now=time.time(), host=socket.gethostname(), ttl_s=ttl_s)
    answer = {} if working or outcome is None else outcome.get("answer") or {}
    return {"working": working, "phase": run.phase, "outcome": outcome if not working else None, "changed": bool(answer.get("changed"))}
