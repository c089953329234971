"""Gate runs in the order of the receipts.

Rules:
- The chain says which run came after which. By its time a run by a clock that ran ahead would be the newest, also when that time has come: what
  failed after it would be hidden behind it.
- A run that these receipts don't hold stands where its time puts it.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from math import inf
from typing import NamedTuple

from controlplane.domain.coordination import moment_of
from controlplane.domain.coordination_rules import BEHIND
from controlplane.domain.gates.promotion import Judged, is_ahead
from controlplane.domain.receipt import Receipt


class Begun(NamedTuple):
    """Where a run began in the chain, and the earliest time at which one behind it did; None where none is behind it."""

    place: int
    behind: str | None


def beginnings(chain: Sequence[Receipt]) -> dict[str, Begun]:
    """Return where each run of the chain began in it."""
    found: dict[str, Begun] = {}
    behind: str | None = None
    for place in range(len(chain) - 1, -1, -1):
        one = chain[place]
        if one.phase == "intent":
            found[one.key] = Begun(place, behind)
            behind = one.at if behind is None else min(behind, one.at)
    return found


def in_order(runs: Iterable[Judged], began: Mapping[str, Begun], now: datetime) -> Iterator[Judged]:
    """Yield gate runs in the order of the chain, the newest first. `runs` come by their times; one that the chain lacks as it comes.

    No more of them are read than it takes: one is yielded once all are read that may have begun behind it.
    """
    held: list[Judged] = []
    for run in runs:
        insort(held, _named(run) if is_ahead(run, now) else run, key=lambda one: _place(one, began))
        while held and _all_behind_read(held[-1], began, run.at):
            yield held.pop()
    yield from reversed(held)


def _named(run: Judged) -> Judged:
    return run.model_copy(update={"reason": f"{run.reason} (dated {run.at}, later than now: a clock ran ahead)"})


def _place(run: Judged, began: Mapping[str, Begun]) -> float:
    begun = began.get(run.run)
    return inf if begun is None else begun.place


def _all_behind_read(run: Judged, began: Mapping[str, Begun], read: str) -> bool:
    begun = began.get(run.run)
    # So far the clock of one that is behind the chain may be back and still be believed.
    return begun is None or begun.behind is None or moment_of(read) < moment_of(begun.behind) - BEHIND
