"""Waivers of which fresh evidence shows a limit crossed: whoever sees that and leaves a receipt says so in it, and they are over for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from controlplane.domain.checks import doubt_of
from controlplane.domain.checks.waivers import crossings
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.waiver_ends import TOLD, WaiverEnd


def crossed_now(
    hosts: Sequence[DesiredHost], seen: Mapping[str, Evidence | Unreached], *, now: datetime, max_age: timedelta
) -> tuple[WaiverEnd, ...]:
    """Return the waivers of these hosts that end here; evidence that does not count ends none."""
    return tuple(
        end
        for desired in hosts
        for one in [seen.get(desired.host)]
        if isinstance(one, Evidence) and not doubt_of(one, now=now, max_age=max_age)
        for end in crossings(desired, one, now=now)
    )


def as_told(ended: Sequence[WaiverEnd]) -> dict[str, Any] | None:
    """Return what a receipt says of them, None where there is none."""
    return {TOLD: [one.model_dump(mode="json") for one in ended]} if ended else None
