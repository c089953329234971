"""Let Compose work on a stack, and measure meanwhile how long each service is down: from the moment it stops to the moment it is healthy.

Rules:
- When a service stopped is in the journal as soon as it is seen: whoever goes on after a kill measures from there, or else from the beginning of the step.
- Compose is never left to itself: its end is waited for, whatever comes.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from . import command
from .command import Said
from .docker_engine import Engine
from .faults import FailedFault
from .stack_containers import LABEL
from .state import Run

_POLL_S = 0.1
# Of all that Compose says, what stands at its end tells what went wrong.
_MOST_BYTES = 20_000
_NOT_UP = ("(health: starting)", "(unhealthy)", "(Paused)")


class Watch:
    """The downtime of one project's services. The journal has `watched`: those that were up before, and `stopped`: {service: epoch}."""

    def __init__(self, engine: Engine, run: Run, project: str) -> None:
        self._engine, self._run, self._project = engine, run, project
        self._answered: dict[str, float] = {}
        up = self._up()
        if run.state.get("watched") is None:
            run.write(watched=sorted(up), stopped={}, downtime_s={})
        self._stopped: dict[str, float] = dict(run.state["stopped"])
        # Who was killed did not see them stop.
        since = float((run.state.get("phase_at") or {}).get(run.phase) or time.time())
        for service in set(run.state["watched"]) - up:
            self._stopped.setdefault(service, since)
        run.write(stopped=self._stopped)

    def look(self) -> None:
        """See what is up now, and note what stopped."""
        up, now = self._up(), time.time()
        for service in self._run.state["watched"]:
            if service in up:
                self._answered.setdefault(service, now)
            else:
                self._answered.pop(service, None)
                if service not in self._stopped:
                    self._stopped[service] = now
                    self._run.write(stopped=self._stopped)

    def close(self, services: Iterable[str], limit_s: float = 5.0) -> dict[str, float]:
        """Return seconds by service, once those that were down answer again."""
        wanted = set(services) & set(self._run.state["watched"])
        end = time.monotonic() + limit_s
        self.look()
        while wanted - set(self._answered) and time.monotonic() < end:
            time.sleep(_POLL_S)
            self.look()
        found = {name: round(self._answered[name] - self._stopped[name], 3) for name in sorted(wanted & set(self._stopped) & set(self._answered))}
        # What an attempt before this one replaced was down then.
        found = {**(self._run.state.get("downtime_s") or {}), **found}
        self._run.write(downtime_s=found)
        return found

    def _up(self) -> set[str]:
        """Return the services of which a container runs and is not said to be anything but healthy."""
        label = quote(json.dumps({"label": [f"{LABEL}project={self._project}"]}))
        held = self._engine.get(f"/containers/json?filters={label}")
        return {
            str(one["Labels"].get(f"{LABEL}service"))
            for one in held
            if one["State"] == "running" and not any(word in one["Status"] for word in _NOT_UP)
        }


def carried(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a journal the next attempt goes on with: whom to watch, and since when those are down that did not answer again."""
    back = state.get("downtime_s") or {}
    stopped = {name: at for name, at in (state.get("stopped") or {}).items() if name not in back}
    return {"watched": state.get("watched"), "stopped": stopped, "downtime_s": back}


def compose(argv: Sequence[str], watch: Watch) -> Said:
    """Run Compose to its end, watched; return its exit code and the last that it said. Raises `FailedFault` where it can't be started."""
    # In memory: what it quotes may be a secret.
    with tempfile.TemporaryFile(dir="/run") as said:
        try:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, env=command.ENVIRONMENT, close_fds=False
            )
        except OSError as fault:
            raise FailedFault(f"{argv[0]} can't be run: {fault.strerror or fault}") from fault
        try:
            while process.poll() is None:
                # A daemon that does not answer right now is Compose's to tell.
                with suppress(OSError, ValueError, FailedFault):
                    watch.look()
                time.sleep(_POLL_S)
        finally:
            code = process.wait()
        size = said.seek(0, 2)
        said.seek(max(0, size - _MOST_BYTES))
        held = said.read()
        if size > _MOST_BYTES:
            # Its first line may be a piece of one, and half a secret would not be known for one.
            held = held.partition(b"\n")[2]
        return Said(code, held.decode("utf-8", "replace"), "")


def states(containers: Iterable[Any]) -> list[str]:
    """Return one sentence for each container that does not run well."""
    found = []
    for one in containers:
        state = one.inspection["State"]
        health = (state.get("Health") or {}).get("Status")
        if not state["Running"] or health not in (None, "healthy"):
            told = health if state["Running"] and health else f"{state['Status']}, exit code {state.get('ExitCode')}"
            found.append(f"{one.service} is {told} (docker logs {one.name})")
    return found
