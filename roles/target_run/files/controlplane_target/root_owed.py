"""Containers that ran before a leg of Docker's root, and did not come up at its end: they are owed until they run, or are gone.

Rules:
- A leg starts again what it found running. So whatever an attempt left down, under this run's key or another one's, is brought up before the next leg
  stops anything: found down it would stay down, and the move be called done.
- Where one does not come up, nothing is stopped, and whoever asks is told.
- It is owed until a leg has recorded it as running, or a proof has seen it run. One that still lives as it was told to end may end yet, and does not count.
"""

from __future__ import annotations

import time
from typing import Any

from . import services
from .docker_engine import Engine
from .faults import FailedFault
from .state import Home, Run


def bring(run: Run, engine: Engine) -> None:
    """Start what is owed on this host, as far as it is down; what `run` itself owes counts as its downtime until then. Raises `FailedFault`."""
    owed = _owed(run.home)
    silent = services.silent(engine, owed)
    if not silent:
        return
    faults = services.start_again(engine, [held for held in owed if held["name"] in silent], run.state.get("answer_timeout_s", 0))
    if faults:
        raise FailedFault(
            f"{'; '.join(faults)}, and ran before. Nothing was stopped. Mend it, or remove the container if it is not needed, then run this again"
        )
    now, missed = time.time(), run.state.get("downtime_s") or {}
    own = {held["name"]: now - held["down_since"] for held in run.state.get("owed") or [] if held["name"] in silent}
    run.write(downtime_s={**missed, **{name: round(missed.get(name, 0.0) + seconds, 3) for name, seconds in own.items()}}, brought=sorted(silent))


def down(home: Home, engine: Engine) -> list[str]:
    """Return one sentence for each container that is owed on this host and does not answer now; nothing is started."""
    owed = _owed(home)
    return [f"{said}, and ran before" for said in services.silent(engine, owed).values()] if owed else []


def settle(home: Home) -> None:
    """Note that nothing is owed any more: all of it runs, or is a leg's own to start again from here on."""
    for run in home.runs():
        if run.state.get("owed"):
            run.write(owed=[])


def _owed(home: Home) -> list[dict[str, Any]]:
    return list({held["id"]: held for run in home.runs() for held in run.state.get("owed") or []}.values())
