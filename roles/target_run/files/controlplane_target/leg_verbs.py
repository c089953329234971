"""What the roles that move data share: their verbs' common course, the long ones as a transient unit with `--detach`, and the host's own settling.

The unit survives a lost connection; whoever comes back attaches to it. What it asks for stands in the run's journal, and a password that only the controller
knows in a file of the memory filesystem, for that unit alone.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, Protocol

from . import lease, settle_units
from .cancel import Cancel
from .faults import CancelledFault, FailedFault, RefusedFault, TargetFault
from .root_trees import Trees
from .state import Home, Run, boot_id
from .systemd import active, start_transient, stopped_within

Answer = dict[str, Any]
_MOST_PASSES = 3
# A pass that was this short leaves little to the critical section.
_SHORT_PASS_S = 5.0
# The host's own settling starts services and waits for their health; one at its end has only its last words to write.
_SETTLING_S = 900.0
_TWIN_S = 2.0


class Works(Protocol):
    """What verbs that work as a unit offer to this module; `lock` is their name on the command line, and what only one of them may work at."""

    home: Home
    cancel: Cancel
    lock: str

    def is_open(self, run: Run) -> bool:
        """Say whether the run's leg was begun and not ended."""

    def recover(self, run: Run) -> str:
        """Bring an interrupted leg to one side; return the side."""

    def settle_configuration(self, run: Run) -> str:
        """Do what has to be done in a boot before Docker starts; return the side."""

    def clean_up(self, run: Run) -> None:
        """Remove what only an open leg needs, once it is closed."""


class Legs(Works, Protocol):
    """What a role's verbs that move data offer besides."""

    def refuse(self, run: Run, request: Any) -> Answer:
        """Return what is to be done; refused with all reasons at once."""

    def prepare(self, run: Run, request: Any) -> bool:
        """Leave the way back; return whether anything is new."""

    def precopy(self, run: Run, request: Any) -> Answer:
        """Copy while everything runs."""

    def move(self, run: Run, request: Any) -> Answer:
        """Move what is asked for."""

    def prove(self, run: Run, request: Any) -> Answer:
        """Say that it is where it shall be; a fault otherwise."""


def command(verbs: Works, run: Run, verb: str) -> list[str]:
    """Return the argv of one of the role's verbs in the run's own folder, which lies on the boot disk."""
    return [sys.executable, "-I", "-X", "utf8", "-B", str(run.folder / "controlplane_target"), verbs.lock, verb, "--run", run.key]


def assert_leased(home: Home, run: Run) -> None:
    """Raise `RefusedFault` where this host's lease is not the run's."""
    if not lease.is_of_run(home, run.key):
        held = lease.show(home)
        raise RefusedFault(
            f"run {run.key} does not hold this host's lease any more ({held['run'] if held else 'nobody'} does). Nothing was stopped. Run the whole play again."
        )


def enter(run: Run, phase: str, **changes: Any) -> None:
    """Write the phase that begins now, and when."""
    times = {} if phase in ("stopping", "staging") else run.state.get("phase_at", {})
    run.write(phase=phase, boot_id=boot_id(), phase_at={**times, phase: round(time.time(), 3)}, **changes)


def copied_live(trees: Trees) -> list[Answer]:
    """Copy the trees while everything runs, until a pass is short; return {bytes, seconds} of each pass."""
    passes: list[Answer] = []
    while trees.held and len(passes) < _MOST_PASSES and (not passes or passes[-1]["seconds"] >= _SHORT_PASS_S):
        size, seconds = trees.copy_live()
        passes.append({"bytes": size, "seconds": round(seconds, 3)})
    return passes


def act(
    verbs: Legs,
    run: Run,
    request: Any,
    options: argparse.Namespace,
    *,
    asked: Answer,
    unit: str,
    more: Callable[[Answer], list[Answer]] = lambda _: [],
) -> Answer:
    """Carry out a verb that is about a request; `asked` is its JSON form, `unit` the name that excludes a twin, `more` what a dry run shows besides."""
    if options.check:
        seen = verbs.refuse(run, request)
        return shown(seen, more(seen))
    at_once: dict[str, Callable[[], Answer]] = {
        "refuse": lambda: verbs.refuse(run, request),
        "prepare": lambda: {"changed": verbs.prepare(run, request)},
        "prove": lambda: verbs.prove(run, request),
    }
    if options.action in at_once:
        return at_once[options.action]()
    if options.detach:
        run.write(asked=asked)
        return detach(verbs, run, options.action, unit, [])
    work = verbs.precopy if options.action == "precopy" else verbs.move
    return as_unit(verbs, run, options.action, lambda: work(run, request))


def undo(verbs: Legs, run: Run, of: Run, options: argparse.Namespace, *, unit: str, work: Callable[[], Answer]) -> Answer:
    """Take back what the run `of` did, as a unit of its own with `--detach`."""
    if options.detach:
        return detach(verbs, run, "undo", unit, ["--of", of.key, *(["--overwrite-old-root"] if options.overwrite_old_root else [])])
    return as_unit(verbs, run, "undo", work)


def shown(seen: Answer, more: list[Answer]) -> Answer:
    """Return what a dry run shows of a move, and `more` of what it would change besides."""
    diff = [
        {"before_header": one["target"], "after_header": one["target"], "before": f"{one['before']}\n", "after": f"{one['after']}\n"}
        for one in seen["changes"]
    ]
    return {"changed": bool(diff or more), "changes": seen["changes"], "diff": [*diff, *more]}


def asked(run: Run) -> dict[str, Any]:
    """Return what is asked on standard input, or by the run's journal. Raises `ValueError`."""
    text = "" if sys.stdin.isatty() else sys.stdin.read()
    return dict(json.loads(text) if text.strip() else run.state.get("asked") or run.state.get("request") or {})


def detach(verbs: Works, run: Run, verb: str, unit: str, extra: list[str]) -> Answer:
    """Start a verb as that unit, or attach to it."""
    if stopped_within(unit, _SETTLING_S):
        # What its end settled is gone on with; what it says of itself is how this ended only where it came to its own end.
        run.reload()
        if (run.state.get("outcome") or {}).get("verb") == verb:
            return {"unit": unit, "attached": True}
    if active(unit):
        return {"unit": unit, "attached": True}
    run.write(unit=unit, outcome=None)
    after = settle_units.or_later(run.key, command(verbs, run, "settle"))
    started = start_transient(unit, [*command(verbs, run, verb), *extra], after=after, gentle=verb == "precopy")
    return {"unit": unit, "attached": not started}


def as_unit(verbs: Works, run: Run, verb: str, work: Callable[[], Answer]) -> Answer:
    """Carry out a verb as the unit that it is; how it ended stands in the journal."""
    verbs.cancel.install()
    try:
        # Whoever is at a leg that stands open is the host itself, which settles it: that ends first, and is gone on with.
        is_settling = any(verbs.is_open(one) for one in run.home.runs())
        with ExitStack() as held:
            with verbs.cancel.possible():
                held.enter_context(run.home.lock(verbs.lock, patience_s=_SETTLING_S if is_settling else _TWIN_S))
            assert_leased(verbs.home, run)
            run.write(outcome=None)
            try:
                answer = work()
            except BaseException:
                # What can't be cleaned up is tried again as the unit's end settles, and must not stand in the place of why this failed.
                with suppress(TargetFault, OSError):
                    verbs.clean_up(run)
                raise
            verbs.clean_up(run)
            run.write(outcome={"verb": verb, "rc": 0, "message": "", "answer": answer})
    except (TargetFault, OSError, ValueError, KeyError) as fault:
        run.reload()
        text = str(fault) if isinstance(fault, RefusedFault) else told(fault, run)
        code = fault.code if isinstance(fault, TargetFault) else 1
        if run.folder.is_dir():
            run.write(outcome={"verb": verb, "rc": code, "message": text})
        raise (RefusedFault if code == 4 else FailedFault)(text) from fault
    return answer


def settle(verbs: Works, run: Run, stage: str) -> Answer:
    """Bring what the run left open to one side, as the host itself does."""
    if stage == "configuration":
        return {"side": verbs.settle_configuration(run)}
    if not verbs.is_open(run):
        verbs.clean_up(run)
        return {"side": "untouched"}
    verbs.cancel.close()
    with run.home.lock(verbs.lock):
        run.reload()
        if not verbs.is_open(run):
            # Who had the lock before brought it to one side, and what that said of itself stands.
            verbs.clean_up(run)
            return {"side": "untouched"}
        phase, side, well = run.phase, "untouched", False
        try:
            side = verbs.recover(run)
            well = True
        finally:
            run.reload()
            message = f"interrupted while {phase}; the host brought itself to the {side}, the journal stands at {run.phase}"
            if complaint := run.state.get("complaint"):
                message += f". What is wrong: {complaint}"
            run.write(
                outcome={"verb": "settle", "rc": 0 if well and run.phase == _goal(run) and not run.state.get("complaint") else 1, "message": message}
            )
    return {"side": side, "phase": run.phase}


def _goal(run: Run) -> str:
    return "undone" if run.state.get("leg") == "undo" else "done"


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
    # What a leg cost that went back is in the journal alone.
    missed = answer.get("downtime_s") or (None if working else run.state.get("downtime_s"))
    # What the play's result has at its top is what the controller hears.
    measured = {**({"downtime_s": missed} if missed else {}), **({"told": answer["told"]} if "told" in answer else {})}
    return {"working": working, "phase": run.phase, "outcome": outcome if not working else None, "changed": bool(answer.get("changed")), **measured}


def told(fault: BaseException, run: Run) -> str:
    """Return the fault's message with the state that things are in."""
    where = {
        "reverted": "Went back: the services run on the old place again.",
        "done": "The services run on the new place.",
        "undone": "The services run on the old place.",
        "given-up": "The services run on the new place, as before.",
    }
    if not run.state.get("trees", True):
        where = {
            "reverted": "Went back: the services run with the former configuration again.",
            "done": "The services run with the new configuration.",
            "undone": "The services run with the former configuration.",
        }
    text = "cancelled" if isinstance(fault, CancelledFault) else str(fault)
    if owed := ", ".join(held["name"] for held in run.state.get("owed") or []):
        # Whatever side it is on, not all of what ran before runs there.
        where = {
            phase: f"{said.rstrip('.')}, but {owed} not as before: {run.state.get('complaint') or 'unknown why'}." for phase, said in where.items()
        }
    return f"{text.rstrip('.')}. {where.get(run.phase, f'The journal stands at {run.phase}: run this again, it goes on from there.')}"
