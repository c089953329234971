"""What the order of the receipts says: when a wave's hosts were last changed, and which gate runs came after that.

Rules:
- The chain says what came after what. By its time a change that a clock which ran ahead has dated would be the last one until that time comes.
- A run follows a change where it began after the receipt of it: one that was under way meanwhile may have looked before.
- A run that these receipts don't hold follows by its time; where the change itself is dated later than now, nobody can say: doubt, no pass.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from controlplane.domain.coordination import moment_of
from controlplane.domain.coordination_rules import BEHIND
from controlplane.domain.gates.run_order import Begun, beginnings
from controlplane.domain.receipt import Receipt


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


def _opens(one: Receipt, wave: str, attempt: str) -> bool:
    # Of an opening that was cut off after the wave was taken the intent alone says so; the result is that of another receipt.
    return (one.capability, one.step) == ("wave.open", wave) and (one.told or {}).get("attempt") == attempt
