"""Whether a service that was started answers as it did before, since when, and whether it stays.

Rules:
- One wait for all of it: as long as was asked for, or as its own health check takes. A Redis that gets on with loading is waited for before that begins.
- One that fell over meanwhile does not answer, whatever it does at the moment: with lives of some seconds each it would be found running now and then.
- Nor does a store that runs and could be asked at no time. One that lets nobody in says neither, and its running counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import services

if TYPE_CHECKING:
    from .path_proof import Proof

Inspection = dict[str, Any]


def awaited(proof: Proof, look: Callable[[], Inspection | None], *, is_redis: bool) -> tuple[float, list[str]]:
    """Wait for the container that `look` inspects; return (for how many seconds it has answered, what is wrong)."""
    request = proof.request
    name, held = request.container, look()
    if held is None:
        return 0.0, [f"{name} is gone"]
    demand = "healthy" if held["State"].get("Health") else "running"
    life, began = _life(held), time.monotonic()
    # Also of one that is called unhealthy by then.
    limit_s = max(request.answer_s, services.healthy_within(held))
    # One that runs may still read its log, or load its data; it is asked before anybody looks whether it stays.
    served = proof.answered_at(limit_s)
    waited_s = time.monotonic() - began
    # A Redis may have loaded for longer than that, and its health check says so later.
    left_s = limit_s if is_redis and served is not None else max(0.0, limit_s - waited_s)
    waited = [{"id": held["Id"], "name": name, "demand": demand, "within_s": left_s, "waited_s": waited_s}]
    answered, missing = services.wait_for_answers(proof.engine, waited, left_s)
    missing = missing or _fallen(proof, look(), life, is_served=served is not None)
    if missing:
        return 0.0, missing
    # A container that is not healthy yet is not there for anybody; where it can't be asked its own word counts. The clock may have been set.
    at = answered[name] if served is None or demand == "healthy" else served
    return min(max(time.time() - at, 0.0), time.monotonic() - began), []


def _fallen(proof: Proof, held: Inspection | None, life: tuple[Any, ...], *, is_served: bool) -> list[str]:
    name = proof.request.container
    if held is None:
        return [f"{name} is gone"]
    if _life(held) != life:
        return [f"{name} runs, but it fell over while it was waited for, and was started again"]
    return [f"{name} runs, but does not let itself be asked for its data"] if not is_served and proof.answers() is False else []


def _life(held: Inspection) -> tuple[Any, ...]:
    return held["Id"], held.get("RestartCount") or 0, held["State"]["StartedAt"]
