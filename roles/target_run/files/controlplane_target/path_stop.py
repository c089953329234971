"""The stop of a leg's container, and what a kill leaves of one.

Rules:
- Docker goes on with a stop whose client was killed. What was told to end is let end before anything else is done with it: as long as it goes down it is
  there for nobody, and started it would answer that it runs, and be gone.
- It is known by its policy, which is off from before it is told until the leg is over, and by its life: one that was started since was told nothing.
- Nothing tells a server that was about to be told from one that was. Where it counts one that can still be asked was not.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Any
from urllib.parse import quote

from . import path_kept
from .faults import FailedFault, RefusedFault
from .path_proof import Proof
from .state import Run


class PathStop:
    """The container that `run`'s journal tells of."""

    def __init__(self, run: Run, proof: Proof) -> None:
        self.run, self.proof = run, proof
        self.engine, self.request = proof.engine, proof.request

    @property
    def name(self) -> str:
        """The container."""
        return self.request.container

    @property
    def is_redis(self) -> bool:
        """Say whether it is a Redis: stopped while it serves, and without an append-only file, it may lose what no dump has."""
        return self.request.service is not None and self.request.service.kind == "redis"

    def inspection(self) -> dict[str, Any] | None:
        """Return the container as it is now, None where there is none of its name."""
        status, answer = self.engine.call("GET", f"/containers/{quote(self.name, safe='')}/json")
        return dict(answer) if status == 200 else None

    def _update(self, container: str, policy: dict[str, Any]) -> None:
        status, answer = self.engine.call("POST", f"/containers/{container}/update", body={"RestartPolicy": policy})
        if status != 200:
            raise FailedFault(f"the restart policy of {self.name} can't be set: {(answer or {}).get('message', status)}")

    def _stop(self, container: str) -> bool:
        """Stop the container; return whether it had to be killed. Raises `FailedFault`."""
        limit = max(int(self.run.state["old"]["stop_timeout"] or 10), self.request.stop_s)
        is_postgres = self.request.service is not None and self.request.service.kind == "postgres"
        if is_postgres and self._ends_at_once(container, limit / 2):
            return False
        status, answer = self.engine.call("POST", f"/containers/{container}/stop?t={limit}", timeout=limit + 60)
        if status not in (204, 304):
            raise FailedFault(f"{self.name} can't be stopped: {(answer or {}).get('message', status)}")
        state = self.engine.get(f"/containers/{container}/json")["State"]
        return bool(state.get("ExitCode") == 137)

    def _ends_at_once(self, container: str, limit_s: float) -> bool:
        """Ask a PostgreSQL to end its sessions: at SIGTERM it would wait for every client, and then be killed. Return whether it has stopped."""
        # What Docker is told to stop stays down; what is only sent a signal is started again by its policy, which is off by now.
        self.engine.call("POST", f"/containers/{container}/kill?signal=SIGINT")
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            if not self.engine.get(f"/containers/{container}/json")["State"]["Running"]:
                return True
            time.sleep(0.05)
        return False

    # What a kill leaves.

    def _let_end(self, container: str) -> None:
        """Wait for the end of a server that was told to end before a kill, or may have been. Raises `FailedFault`, `OSError`."""
        status, held = self.engine.call("GET", f"/containers/{container}/json")
        if status != 200 or not held["State"]["Running"] or not self.run.state.get("stopped_at"):
            return
        is_off = (held["HostConfig"].get("RestartPolicy") or {}).get("Name", "no") in ("", "no")
        if is_off and str(held["State"]["StartedAt"]) == (self.run.state.get("old") or {}).get("started_at"):
            self._end(container)

    def _end(self, container: str) -> None:
        """Stop a server that may have been told to end, or not. A Redis that still answers would lose what no dump has: the hold writes one."""
        try:
            with self.proof.held(self.request.answer_s) if self.is_redis else nullcontext():
                self._stop(container)
        except (FailedFault, RefusedFault, OSError):
            if self.is_redis and self.proof.answers():
                raise
            # On its way down it answers nobody.
            self._stop(container)

    def _let_told_end(self) -> None:
        """Let end what an attempt before this one to go back told to, whatever is known of its data. Raises `FailedFault`, `OSError`."""
        held = self.inspection()
        # One that ran on because it could not be held was told nothing, and its own policy may be an off one. Of a failed leg it is stopped all the same.
        if held is not None and (self.run.state.get("stop") or self.run.state["leg"] == "carry"):
            self._let_end(held["Id"])

    def _as_stopped(self) -> dict[str, Any] | None:
        """Return the container; one that an attempt before this one to go back told to end has ended by then, and what was kept at that stop holds.

        One that can be asked goes on with its clients, who may have written since: it needs a stop of its own. Raises `FailedFault`, `OSError`.
        """
        held = self.inspection()
        if held is None or not held["State"]["Running"]:
            return held
        life = path_kept.life_of({"id": held["Id"], "started_at": held["State"]["StartedAt"]})
        if not path_kept.is_of(self.run, life) or self.proof.answers():
            return held
        self._let_end(held["Id"])
        return self.inspection()
