"""What a Compose that was cut off left of a container that it was making anew, brought to where the next one goes on from.

Compose makes the new container beside the old one, called `<first 12 digits of the old one's id>_<name>`, stops and removes the old one, renames the new
one, and only then starts it (recreateContainer, pkg/compose/convergence.go in v2). Cut off between, its next `up` deletes the one that never ran while it
makes another of that name, and fails on the name; or starts it under the wrong one.

Rules:
- One that never ran, and whose old one is still there, is removed: nothing was ever written into it. Volumes stay, also what it alone had.
- One whose old one is gone gets the name that it was made for, where nobody has that.
- Whatever else is there is a person's, and left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from .docker_engine import Engine, field, rows
from .faults import FailedFault

_LABEL = "com.docker.compose."
_LISTING = "GET /containers/json"
_BESIDE = re.compile(r"/([0-9a-f]{12})_([^/]+)")


def is_left_over(name: str, labels: Mapping[str, Any], status: str, ids: Iterable[str]) -> bool:
    """Say whether a container is one that never ran beside the old one that it was made for: the next Compose here removes it first. Pure."""
    beside = _BESIDE.fullmatch(f"/{name.lstrip('/')}")
    return beside is not None and f"{_LABEL}replace" in labels and status == "created" and any(other.startswith(beside[1]) for other in ids)


def settle(engine: Engine, project: str, services: Iterable[str] | None = None) -> list[str]:
    """Bring what was half made anew of these services, or of all of the project, to one side; return the names that were settled. Raises `FailedFault`.

    Nothing may be working as Compose on the project meanwhile.
    """
    kept, done = None if services is None else set(services), []
    listed = engine.summaries(f"{_LABEL}project={project}")
    ids = [field(one, "Id", str, _LISTING) for one in listed]
    for own, one in zip(ids, listed, strict=True):
        labels = field(one, "Labels", dict, _LISTING)
        beside = next(filter(None, map(_BESIDE.fullmatch, rows(one, "Names", str, _LISTING))), None)
        if beside is None or f"{_LABEL}replace" not in labels or (kept is not None and labels.get(f"{_LABEL}service") not in kept):
            continue
        has_old, ran = any(other.startswith(beside[1]) for other in ids), field(one, "State", str, _LISTING) != "created"
        if has_old and ran:
            continue
        how = ("DELETE", f"/containers/{own}?v=false") if has_old else ("POST", f"/containers/{own}/rename?name={quote(beside[2])}")
        status, answer = engine.call(*how)
        # Its name may be another container's by now: that is for Compose to say.
        if status not in (204, 404, 409):
            name = beside[0].lstrip("/")
            raise FailedFault(f"{name}, which a Compose that was cut off left half made, can't be settled: {(answer or {}).get('message', status)}")
        done += [beside[0].lstrip("/")] if status == 204 else []
    return done
