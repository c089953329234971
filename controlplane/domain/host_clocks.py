"""What time it is by the clocks of hosts, as far as their evidence tells: a second opinion on what this controller's own clock says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from controlplane.domain.coordination import stamp_of
from controlplane.domain.coordination_rules import BEHIND
from controlplane.domain.evidence import Evidence, Reader, Unobserved, Unreached

# Days are added to times and taken from them, which must not leave what a datetime holds.
_LAST = datetime(9990, 1, 1, tzinfo=UTC)
# A controller that is behind is so by every host's clock.
_TOLD = 5


class HostClock(NamedTuple):
    """What a host's own clock said as it was looked at."""

    host: str
    says: datetime


def ahead_of(now: datetime, seen: Mapping[str, Evidence | Unreached]) -> tuple[HostClock, ...]:
    """Return every clock of these hosts that `now`, this controller's, is more than five minutes behind; the latest comes last.

    Any of them may be the right one, and what is shut by one is open again by a later one. Hosts whose clock was not observed say nothing.
    """
    clocks = [clock for host, record in sorted(seen.items()) if isinstance(record, Evidence) and (clock := _clock(host, record)) is not None]
    return tuple(sorted((clock for clock in clocks if clock.says > now + BEHIND), key=lambda clock: clock.says))


def by_clocks(told: Sequence[tuple[HostClock, str]], now: datetime) -> str:
    """Return what does not hold by which clock, with what that one says and what this controller's does."""
    parts = [f"{why}, by the clock of {clock.host}: it says {stamp_of(clock.says)}" for clock, why in told[:_TOLD]]
    more = f"; and by {len(told) - _TOLD} more" if len(told) > _TOLD else ""
    return f"{'; '.join(parts)}{more}, and this controller's {stamp_of(now)}"


def _clock(host: str, evidence: Evidence) -> HostClock | None:
    try:
        says = datetime.fromtimestamp(Reader(evidence).identity["clock_epoch"], UTC)
    except (Unobserved, ValueError, OverflowError, OSError):
        return None
    return HostClock(host, says) if says < _LAST else None
