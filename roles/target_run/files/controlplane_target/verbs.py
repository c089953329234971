"""The command line on the target: parse, call one verb, print JSON, give the exit code.

Requests come as JSON on standard input, never as arguments. With `--detach` a verb becomes a transient unit whose outcome is read by `wait`.
`lease hold … -- COMMAND` runs a command under the lease: every role's changes go through it, a unit is started through it.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from . import bare, begun, bootstrap, lease, packages, phases, purge, root_refusals
from .arguments import parser
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


def _lease(home: Home, options: argparse.Namespace) -> Answer | int:
    host, now = socket.gethostname(), time.time()
    if options.action == "show":
        reason = lease.standing_in_the_way(home, options.run, options.holder, now=now, host=host, unit_active=active) if options.run else None
        if reason:
            raise RefusedFault(reason)
        return {"lease": lease.show(home)}
    if options.action == "take":
        known = {"role": options.role, "ttl_s": options.ttl, "take_over": options.take_over}
        return {"lease": lease.take(home, options.run, options.holder, **known, now=now, host=host, unit_active=active)}
    claim = lease.Claim(options.run, options.holder, options.token)
    if options.action == "hold":
        with lease.holding(home, claim, now=now, host=host, ttl_s=options.ttl) as lock:
            again = partial(lease.check, home, claim, host=host, ttl_s=options.ttl)
            return _run(options.command, lambda: again(now=time.time()), options.ttl / 3, lock)
    released = lease.release(home, claim, unit_active=active)
    return {"released": released, "left": None if released else lease.left_of(home, claim, unit_active=active)}


def _run(command: list[str], renew: Callable[[], object], every_s: float, lock: int) -> int:
    """Run a command that speaks for itself, with the lease renewed meanwhile; return its exit code as a shell would.

    It inherits the lock: should this process be killed, the lease still can't be taken before the command has ended.
    """
    try:
        process = subprocess.Popen(command, pass_fds=[lock])
    except (OSError, IndexError) as fault:
        raise FailedFault(f"{' '.join(command) or 'no command'} could not be started: {fault}. Nothing was changed.") from fault
    while True:
        try:
            code = process.wait(timeout=every_s)
        except subprocess.TimeoutExpired:
            # A disk without room, or a lease that was taken away by hand, ends no change that works.
            with suppress(RefusedFault, OSError):
                renew()
        else:
            return code if code >= 0 else 128 - code


def _request(run: Run) -> Request:
    text = "" if sys.stdin.isatty() else sys.stdin.read()
    if text.strip():
        return parse(json.loads(text))
    return parse(run.state.get("asked") or run.state.get("request") or {})


def _docker_root(home: Home, options: argparse.Namespace) -> Answer:
    run, cancel = home.run(options.run), Cancel()
    verbs = DockerRoot(home, Engine(), cancel)
    if options.action == "wait":
        claim = None if options.token is None else lease.Claim(run.key, options.holder, options.token)
        return _wait(run, options.limit, claim, options.ttl)
    if options.action == "settle":
        return _settle(verbs, run, options.stage)
    if options.action == "undo":
        return _undo(verbs, run, home.run(options.of or options.run), options)
    return _with_request(verbs, run, options)


def _with_request(verbs: DockerRoot, run: Run, options: argparse.Namespace) -> Answer:
    request = _request(run)
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


def _undo(verbs: DockerRoot, run: Run, of: Run, options: argparse.Namespace) -> Answer:
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


def _wait(run: Run, limit_s: float, claim: lease.Claim | None, ttl_s: int = 1800) -> Answer:
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
    return {"working": working, "phase": run.phase, "outcome": outcome if not working else None}


def _purge(home: Home, options: argparse.Namespace) -> Answer:
    asked = json.loads(sys.stdin.read())
    items = asked["items"]
    if options.action == "prove":
        return {"left": begun.present(home, items)}
    try:
        roots = list(root_refusals.roots_now(Engine().info()).values())
    except (OSError, ValueError) as fault:
        raise RefusedFault(
            f"purge refused: Docker does not answer ({fault}), so its live root is not known. Nothing was changed. Start Docker."
        ) from fault
    terms = purge.Terms(roots, max(0, int(asked["retention_s"])), time.time())
    if options.action == "refuse":
        found = purge.reasons(home, items, terms)
        if found:
            raise RefusedFault(f"purge refused: {'; '.join(found)}. Nothing was changed.")
        return {"present": begun.present(home, items)}
    run = home.run(options.run)
    removed = purge.purge(home, run, items, terms)
    run.write(phase="done", removed=[*run.state.get("removed", []), *removed])
    if removed:
        home.write_last_change(run.key, time.time())
    return {"changed": bool(removed), "removed": removed}


def _bootstrap(home: Home, options: argparse.Namespace) -> Answer:
    run = home.run(options.run)
    if options.action == "undo":
        return bootstrap.undo(home.run(options.of or options.run))
    wanted = bootstrap.parse(json.loads(sys.stdin.read()))
    if options.action == "refuse":
        return bootstrap.refuse(home, wanted)
    if options.action == "prepare":
        return bootstrap.prepare(run, wanted, sys.executable)
    if options.action == "install":
        return packages.install(run, wanted.packages, repair=options.repair)
    if options.action == "switch-on":
        return bootstrap.switch_on(run, wanted)
    return bootstrap.configure(run, wanted) if options.action == "configure" else bootstrap.prove(run, wanted)


def _undo_by_hand(home: Home, options: argparse.Namespace) -> Answer:
    """The undo script: takes the lease itself, because no controller did."""
    run = home.run(options.run)
    if run.state.get("role") == "purge_retired":
        raise RefusedFault(f"run {run.key} removed retired data by name, and that can't be undone. Nothing was changed. Restore from a backup.")
    if run.state.get("role") not in (ROLE, bootstrap.ROLE):
        raise RefusedFault(f"run {run.key} is of role {run.state.get('role')}, whose undo lies in its own folder. Nothing was changed.")
    held = lease.take(
        home,
        run.key,
        f"root@{socket.gethostname()} (undo)",
        role=run.state["role"],
        ttl_s=1800,
        now=time.time(),
        host=socket.gethostname(),
        unit_active=active,
    )
    claim = lease.claim_of(held)
    try:
        if run.state["role"] == bootstrap.ROLE:
            with lease.holding(home, claim, now=time.time(), host=socket.gethostname()):
                return bootstrap.undo(run)
        verbs = DockerRoot(home, Engine(), Cancel())
        options.detach, options.of = True, run.key
        _undo(verbs, run, run, options)
        while True:
            answer = _wait(run, 60, claim)
            if not answer["working"]:
                break
        outcome = answer["outcome"]
        if outcome["rc"]:
            raise (RefusedFault if outcome["rc"] == 4 else FailedFault)(outcome["message"])
        return dict(outcome.get("answer") or {})
    finally:
        lease.release(home, claim, unit_active=active)


def _state(home: Home, options: argparse.Namespace) -> Answer:
    if options.run:
        return home.run(options.run).state
    return {"lease": lease.show(home), "retired": home.retired(), "runs": [{"run": run.key, "phase": run.phase} for run in home.runs()]}


_VERBS: dict[str, Callable[[Home, argparse.Namespace], Answer | int]] = {
    "lease": _lease,
    "docker-root": _docker_root,
    "purge": _purge,
    "bootstrap": _bootstrap,
    "bare": lambda _, options: bare.act(options.action, options.path),
    "undo": _undo_by_hand,
    "state": _state,
}


def main(arguments: list[str]) -> int:
    """Run one verb; return its exit code."""
    # argparse takes `--` for its own, and what follows belongs to another program.
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser().parse_args(arguments[:end])
    options.command = arguments[end + 1 :]
    try:
        answer = _VERBS[options.verb](Home(options.base), options)
    except TargetFault as fault:
        print(json.dumps({"message": str(fault)}))
        print(fault, file=sys.stderr)
        return fault.code
    if isinstance(answer, int):
        return answer
    print(json.dumps(answer, sort_keys=True))
    return 0
