"""What of a project is no part of its stack any more, taken away without what a person ran once beside it.

Rules:
- Compose's `--remove-orphans` also deletes what `docker compose run` left once that has ended, with all that is in it. Where anything of that kind is
  there, Compose is not told so, and what the stack no longer has is stopped and removed from here.
- No volume is removed.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from .docker_engine import Engine
from .faults import FailedFault
from .stack_containers import of_project, ran_once

_STOP_S = 10


def take_away(engine: Engine, project: str, services: Iterable[str]) -> list[str]:
    """Return the words by which Compose takes away what belongs to none of the services; none where it was done here. Raises `FailedFault`."""
    containers, kept = engine.containers(), set(services)
    if not ran_once(containers, project):
        return ["--remove-orphans"]
    for one in of_project(containers, project):
        # What bears the project's name and no service's nobody brought up by Compose, and no plan lists it.
        if one.service and one.service not in kept:
            limit = int(one.inspection["Config"].get("StopTimeout") or _STOP_S)
            _asked(engine, "POST", f"/containers/{quote(one.id, safe='')}/stop", one.name, limit + 60)
            _asked(engine, "DELETE", f"/containers/{quote(one.id, safe='')}", one.name, 60)
    return []


def _asked(engine: Engine, method: str, target: str, name: str, timeout: float) -> None:
    status, answer = engine.call(method, target, timeout=timeout)
    # It stands still already, or somebody else took it away.
    if status not in (204, 304, 404):
        raise FailedFault(f"{name}, which the stack has no longer, could not be taken away: {(answer or {}).get('message', status)}")
