"""What the order of the receipts says: when a wave's hosts were last changed, and which gate runs came after that.

Rules:
- The chain says what came after what. By its time a change that a clock which ran ahead has dated would be the last one until that time comes,
  and a run by such a clock the newest, also when that time has come: what failed after it would be hidden behind it.
- A run follows a change where it began after the receipt of it: one that was under way meanwhile may have looked before.
- A run that these receipts don't hold follows by its time; where the change itself is dated later than now, nobody can say: doubt, no pass.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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


class LastChange(NamedTuple):
    """The receipt of the last change, its place in the chain, and the places at which the runs in that chain began.

    `ahead` says that it is dated later than now.
    """

    receipt: str
    at: datetime
    ahead: bool
    place: int
    began: Mapping[str, Begun]

    def precedes(self, run: str, at: str) -> bool | None:
        """Say whether a gate run looked at what this change left; None where nobody can say."""
        begun = self.began.get(run)
        if begun is not None:
            return begun.place > self.place
        return None if self.ahead else moment_of(at) >= self.at

    def __str__(self) -> str:
        """Return it in words."""
        told = f"{self.at:%Y-%m-%dT%H:%M:%SZ}"
        return f"{told} ({self.receipt}: later than now, a clock ran ahead; the order of the receipts counts)" if self.ahead else told


def last_change(chain: Sequence[Receipt], *, wave: str, attempt: str, opened_at: str, hosts: Collection[str], now: datetime) -> LastChange | None:
    """Return what a run or a rollback last changed on one of these hosts since this attempt at the wave was opened, None where nothing was."""
    since = since_opening(chain, wave=wave, attempt=attempt, opened_at=opened_at)
    done = [(place, one) for place, one in since if one.plan and one.phase == "result" and one.host in hosts]
    if not done:
        return None
    place, last = done[-1]
    at = moment_of(last.at)
    return LastChange(last.key, at, at > now + BEHIND, place, beginnings(chain))


def since_opening(chain: Sequence[Receipt], *, wave: str, attempt: str, opened_at: str) -> list[tuple[int, Receipt]]:
    """Return what is on record since this attempt at the wave was opened, each with its place in the chain.

    That is what stands behind the intent of its opening: the result may be written late. By its time something is since then only where that opening
    is not in this chain, but elsewhere.
    """
    opening = next((one.key for one in chain if _opens(one, wave, attempt)), None)
    if opening is None:
        return [(place, one) for place, one in enumerate(chain) if one.at >= opened_at]
    begun = next(place for place, one in enumerate(chain) if one.key == opening)
    return list(enumerate(chain))[begun:]


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


def _opens(one: Receipt, wave: str, attempt: str) -> bool:
    # Of an opening that was cut off after the wave was taken the intent alone says so; the result is that of another receipt.
    return (one.capability, one.step) == ("wave.open", wave) and (one.told or {}).get("attempt") == attempt
