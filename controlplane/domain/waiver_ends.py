"""Waivers that ended for good: a recorded run saw one of their limits crossed, and its receipt says so.

Rules:
- What was crossed once stays so, whatever is observed later. A waiver that is given anew, with another day, limit or reason, is another waiver.
- Where the receipts can't be read, or one is missing, no waiver that has limits holds: one of them may have been crossed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

from pydantic import ValidationError

from controlplane.domain.desired import DesiredHost, DesiredState, HostWaiver
from controlplane.domain.names import AsTuple
from controlplane.domain.receipt import Receipt
from controlplane.domain.values import Value

# Under this name the receipt of a run says which it saw crossed.
TOLD = "waivers_ended"


class WaiverEnd(Value):
    """A waiver that a run saw crossed; `waiver` is its digest, `reason` what was observed against what it was given up to."""

    host: str
    check: str
    surface: str | None
    waiver: str
    reason: str


class _Told(Value):
    waivers_ended: Annotated[tuple[WaiverEnd, ...], AsTuple]


class WaiverEnds(NamedTuple):
    """Why waivers ended, by their digests; `doubt` is why nobody knows."""

    by_waiver: Mapping[str, str] = {}
    doubt: str | None = None


def ends_of(chain: Sequence[Receipt]) -> WaiverEnds:
    """Return the waivers that receipts say were crossed, each with the first that says so; a doubt where one says it in another form."""
    found: dict[str, str] = {}
    for one in chain:
        if TOLD not in (one.told or {}):
            continue
        try:
            told = _Told.model_validate({TOLD: (one.told or {})[TOLD]})
        except ValidationError:
            return WaiverEnds(doubt=f"{one.key} says which were in a form that this version does not read")
        for said in told.waivers_ended:
            found.setdefault(said.waiver, f"{said.reason} in {one.key}")
    return WaiverEnds(found)


def ending(state: DesiredState, ends: WaiverEnds) -> DesiredState:
    """Return the state with the waivers marked that ended, or of which nobody knows whether they did."""
    if not ends.by_waiver and ends.doubt is None:
        return state
    hosts = [host.model_copy(update={"waivers": tuple(_marked(one, host, ends) for one in host.waivers)}) for host in state.hosts]
    return DesiredState(hosts=tuple(hosts))


def _marked(waiver: HostWaiver, host: DesiredHost, ends: WaiverEnds) -> HostWaiver:
    if waiver.until is None:
        return waiver
    void = f"does not hold: whether a limit of it was crossed before can't be read ({ends.doubt})" if ends.doubt is not None else None
    crossed = ends.by_waiver.get(waiver.digest(host.host))
    if crossed is not None:
        void = f"ended for good: {crossed}. Give it anew in policy.yml, or take it out"
    return waiver.model_copy(update={"void": void}) if void is not None else waiver
