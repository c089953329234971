"""What time it is by the clocks of hosts, as far as their evidence tells: a second opinion on what this controller's own clock says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from controlplane.domain.coordination_rules import BEHIND
from controlplane.domain.evidence import Evidence, Reader, Unobserved, Unreached

# Days are added to times and taken from them, which must not leave what a datetime holds.
_LAST = datetime(9990, 1, 1, tzinfo=UTC)


class HostClock(NamedTuple):
    """What a host's own clock said as it was looked at."""

    host: str
    says: datetime


def ahead_of(now: datetime, seen: Mapping[str, Evidence | Unreached]) -> HostClock | None:
    """Return the clock that is the latest of these hosts', where `now`, this controller's, is more than five minutes behind it; else None.

    Hosts whose clock was not observed say nothing.
    """
    clocks = [clock for host, record in sorted(seen.items()) if isinstance(record, Evidence) and (clock := _clock(host, record)) is not None]
    latest = max(clocks, key=lambda clock: clock.says, default=None)
    return latest if latest is not None and latest.says > now + BEHIND else None


def _clock(host: str, evidence: Evidence) -> HostClock | None:
    try:
        says = datetime.fromtimestamp(Reader(evidence).identity["clock_epoch"], UTC)
    except (Unobserved, ValueError, OverflowError, OSError):
        return None
    return HostClock(host, says) if says < _LAST else None
