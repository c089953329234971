"""Containers that ran before a leg of Docker's root, and did not come up at its end: they are owed until they run, or are gone.

Rules:
- A leg starts again what it found running. So whatever an attempt left down is brought up before the next one of the same run, or its undo, stops
  anything: found down it would stay down, and the move be called done.
- Where it does not come up, nothing is stopped, and whoever asks is told.
"""

from __future__ import annotations

from . import services
from .docker_engine import Engine
from .faults import FailedFault
from .state import Run


def bring(run: Run, engine: Engine) -> None:
    """Start what the run owes. Raises `FailedFault` where one does not answer."""
    owed = run.state.get("owed")
    if not owed:
        return
    faults = services.start_again(engine, owed, run.state["answer_timeout_s"])
    if faults:
        raise FailedFault(
            f"{'; '.join(faults)}, and ran before this run. Nothing was stopped. Mend it, or remove the container if it is not needed, then run this again"
        )
    run.write(owed=[])


def down(run: Run, engine: Engine) -> list[str]:
    """Return one sentence for each container that the run owes and that does not answer now; nothing is started."""
    owed = run.state.get("owed")
    return services.silent(engine, owed) if owed else []
