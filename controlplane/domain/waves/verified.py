"""After which steps of a wave its pack was run before the next one began.

Rules:
- The chain says what came after what, as for the last change (`changed`). A run of the pack that these receipts don't hold stands by its time.
- A step counts that is done or failed: both have changed something. What a rollback did is no step of the wave's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from controlplane.domain.coordination import moment_of
from controlplane.domain.gates.run_order import Begun, beginnings
from controlplane.domain.receipt import Receipt
from controlplane.domain.waves.record import PackRan

# The step of the receipt that is about a whole run.
_WHOLE = "*"


class _Step(NamedTuple):
    """The end of a step with its place in the chain, and the beginning of the next one; None where none began yet."""

    place: int
    ended: Receipt
    then: tuple[int, Receipt] | None


def unverified(chain: Sequence[Receipt], *, plans: Collection[str], packs: Sequence[PackRan]) -> tuple[Receipt, ...]:
    """Return the ends of those steps of these plans after which none of these runs began before the next step did."""
    return tuple(one.ended for one in _left(chain, plans, packs))


def awaits_pack(chain: Sequence[Receipt], *, plans: Collection[str], packs: Sequence[PackRan]) -> Receipt | None:
    """Return the end of the last step of these plans where the pack was not run after it and still can be; None where nothing is to be made good."""
    return next((one.ended for one in _left(chain, plans, packs) if one.then is None), None)


def _left(chain: Sequence[Receipt], plans: Collection[str], packs: Sequence[PackRan]) -> Iterator[_Step]:
    began = beginnings(chain)
    for step in _steps(chain, plans):
        if not any(_between(pack, step, began) for pack in packs):
            yield step


def _steps(chain: Sequence[Receipt], plans: Collection[str]) -> Iterator[_Step]:
    mine = [(place, one) for place, one in enumerate(chain) if one.plan in plans and one.step != _WHOLE and one.undoes is None]
    for number, (place, one) in enumerate(mine):
        if one.phase == "result" and one.outcome in ("done", "failed"):
            yield _Step(place, one, next(((at, other) for at, other in mine[number + 1 :] if other.phase == "intent"), None))


def _between(pack: PackRan, step: _Step, began: Mapping[str, Begun]) -> bool:
    if pack.run in began:
        place = began[pack.run].place
        return step.place < place and (step.then is None or place < step.then[0])
    at = moment_of(pack.at)
    return moment_of(step.ended.at) <= at and (step.then is None or at <= moment_of(step.then[1].at))
