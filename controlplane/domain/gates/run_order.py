"""Gate runs in the order of the receipts.

Rules:
- The chain says which run came after which. By its time a run by a clock that ran ahead would be the newest, also when that time has come: what
  failed after it would be hidden behind it.
- A run that these receipts don't hold stands where its time puts it.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar

from controlplane.domain.coordination import GateRun, moment_of
from controlplane.domain.coordination_rules import BEHIND
from controlplane.domain.gates.promotion import Judged, is_ahead
from controlplane.domain.receipt import Receipt


class Dated(Protocol):
    """A gate run, by its key and by the time that the clock gave it."""

    @property
    def run(self) -> str:
        """Return its key."""
        ...

    @property
    def at(self) -> str:
        """Return when it was, by the clock that it ran by."""
        ...


_Run = TypeVar("_Run", bound=Dated)


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


def newest_first(runs: Iterable[_Run], began: Mapping[str, Begun]) -> list[_Run]:
    """Return runs in the order of the chain, the newest first; one that the chain lacks stands among them by its time."""
    held: list[_Run] = []
    others: list[_Run] = []
    for run in runs:
        (held if run.run in began else others).append(run)
    held.sort(key=lambda run: began[run.run].place)
    left = deque(sorted(others, key=lambda run: (moment_of(run.at), run.run), reverse=True))
    found: list[_Run] = []
    while held:
        found.extend(_next(held, left))
    return [*found, *left]


def latest_of(runs: Iterable[_Run], began: Mapping[str, Begun], limit: int) -> list[_Run]:
    """Return the newest runs, the oldest of them first: so many of those that the chain holds, and so many of those that it lacks.

    Each kind is counted by itself: by clocks that ran ahead the others would leave no room for those of the chain.
    """
    left = {True: limit, False: limit}
    found = []
    for run in newest_first(runs, began):
        is_held = run.run in began
        if left[is_held] > 0:
            left[is_held] -= 1
            found.append(run)
    return found[::-1]


def newest_run(runs: Sequence[GateRun], began: Mapping[str, Begun]) -> GateRun | None:
    """Return the run that stands last in the chain, or one that it lacks where that is dated later still."""
    return next(iter(newest_first(runs, began)), None)


def in_order(runs: Iterable[Judged], began: Mapping[str, Begun], now: datetime) -> Iterator[Judged]:
    """Yield gate runs in the order of the chain, the newest first. `runs` come by their times; one that the chain lacks stands among them by its own.

    No more of them are read than it takes: one is yielded once all are read that may have begun behind it.
    """
    held: list[Judged] = []
    others: deque[Judged] = deque()
    for read in runs:
        run = _named(read) if is_ahead(read, now) else read
        if run.run in began:
            insort(held, run, key=lambda one: began[one.run].place)
        else:
            others.append(run)
        while held and _all_behind_read(began[held[-1].run], read.at):
            yield from _next(held, others)
        if not held:
            yield from _drained(others)
    while held:
        yield from _next(held, others)
    yield from others


def _next(held: list[_Run], others: deque[_Run]) -> Iterator[_Run]:
    """Yield the one that stands last in the chain, behind those of elsewhere that are dated later."""
    run = held.pop()
    while others and moment_of(others[0].at) > moment_of(run.at):
        yield others.popleft()
    yield run


def _drained(others: deque[Judged]) -> Iterator[Judged]:
    while others:
        yield others.popleft()


def _named(run: Judged) -> Judged:
    return run.model_copy(update={"reason": f"{run.reason} (dated {run.at}, later than now: a clock ran ahead)"})


def _all_behind_read(begun: Begun, read: str) -> bool:
    # So far the clock of one that is behind the chain may be back and still be believed.
    return begun.behind is None or moment_of(read) < moment_of(begun.behind) - BEHIND
