"""The long verbs of a role that moves data: as a transient unit with `--detach`, the waiting for that unit's end, and the host's own settling.

The unit survives a lost connection; whoever comes back attaches to it. What it asks for stands in the run's journal, and a password that only the controller
knows in a file of the memory filesystem, for that unit alone.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from . import lease
from .cancel import Cancel
from .faults import FailedFault, RefusedFault, TargetFault
from .root_move import told
from .state import Home, Run
from .systemd import active, start_transient

Answer = dict[str, Any]


class Legs(Protocol):
    """What a role's verbs offer to this module; `lock` names what only one of them may work at."""

    home: Home
    cancel: Cancel
    lock: str

    @staticmethod
    def command(run: Run, verb: str) -> list[str]:
        """Return the argv of one of the role's verbs in the run's own folder."""

    def assert_leased(self, run: Run) -> None:
        """Raise `RefusedFault` where this host's lease is not the run's."""

    def is_open(self, run: Run) -> bool:
        """Say whether the run's leg was begun and not ended."""

    def recover(self, run: Run) -> str:
        """Bring an interrupted leg to one side; return the side."""

    def settle_configuration(self, run: Run) -> str:
        """Do what has to be done in a boot before Docker starts; return the side."""

    def clean_up(self, run: Run) -> None:
        """Remove what only an open leg needs, once it is closed."""


def asked(run: Run) -> dict[str, Any]:
    """Return what is asked on standard input, or by the run's journal. Raises `ValueError`."""
    text = "" if sys.stdin.isatty() else sys.stdin.read()
    return dict(json.loads(text) if text.strip() else run.state.get("asked") or run.state.get("request") or {})


def detach(verbs: Legs, run: Run, verb: str, unit: str, extra: list[str]) -> Answer:
    """Start a verb as that unit, or attach to it."""
    if active(unit):
        return {"unit": unit, "attached": True}
    run.write(unit=unit, outcome=None)
    after = verbs.command(run, "settle")
    started = start_transient(unit, [*verbs.command(run, verb), *extra], after=after, gentle=verb == "precopy")
    return {"unit": unit, "attached": not started}


def as_unit(verbs: Legs, run: Run, verb: str, work: Callable[[], Answer]) -> Answer:
    """Carry out a verb as the unit that it is; how it ended stands in the journal."""
    verbs.cancel.install()
    with run.home.lock(verbs.lock, wait=False):
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
            verbs.clean_up(run)
        run.write(outcome={"verb": verb, "rc": 0, "message": "", "answer": answer})
    return answer


def settle(verbs: Legs, run: Run, stage: str) -> Answer:
    """Bring what the run left open to one side, as the host itself does."""
    if stage == "configuration":
        return {"side": verbs.settle_configuration(run)}
    if not verbs.is_open(run):
        verbs.clean_up(run)
        return {"side": "untouched"}
    verbs.cancel.close()
    with run.home.lock(verbs.lock):
        phase, side, well = run.phase, "untouched", False
        try:
            side = verbs.recover(run)
            well = True
        finally:
            run.reload()
            message = f"interrupted while {phase}; the host brought itself to the {side}, the journal stands at {run.phase}"
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
    return {"working": working, "phase": run.phase, "outcome": outcome if not working else None, "changed": bool(answer.get("changed"))}
