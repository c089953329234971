"""Whether hosts belong to a wave, which keeps everything off them that changes machines beside it.

Rules:
- A host belongs to a wave that changes machines and is not ended, whoever holds it and whether or not their lease lasts, also where the wave only
  looks at it. One that was carved out belongs to it no more.
- A store that can't be asked lets nothing begin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from controlplane.domain.coordination import WaveHeld
from controlplane.domain.errors import ControlPlaneError, RefusedError
from controlplane.domain.finding import Verdict
from controlplane.domain.plan import Step
from controlplane.domain.releases.gate import GateLine
from controlplane.domain.waves.record import record_of
from controlplane.usecases.wave_ports import without_end

Attempts = Callable[[], Iterable[WaveHeld]]


class InWave(NamedTuple):
    """The wave that hosts belong to, and that in words."""

    wave: str
    told: str

    @property
    def status(self) -> str:
        """Return the command that shows how far the wave is."""
        return f"controlplane wave status {self.wave}"


def hosts_of(steps: Iterable[Step]) -> tuple[str, ...]:
    """Return the hosts of steps, and those on which they work."""
    return tuple(sorted({host for step in steps for host in (step.host, step.target)}))


def in_wave(hosts: Sequence[str], attempts: Iterable[WaveHeld]) -> InWave | None:
    """Return the wave that some of these hosts belong to; None where they belong to none that goes on and changes machines."""
    for held in attempts:
        mine = [host for host in hosts if record_of(held.record).holds(host)] if held.mutating and held.ended_at is None else []
        if mine:
            belong = f"{', '.join(mine)} belong{'s' if len(mine) == 1 else ''} to wave {held.wave}"
            return InWave(held.wave, f"{belong}, which changes machines and is not ended (state {held.state}, held by {held.holder})")
    return None


def why_in_wave(hosts: Sequence[str], attempts: Attempts) -> str | None:
    """Return why nothing more may begin on these hosts, None where it may."""
    try:
        held = in_wave(hosts, attempts())
    except ControlPlaneError as lost:
        return without_end(str(lost))
    return held.told if held is not None else None


def refuse_in_wave(hosts: Sequence[str], attempts: Attempts, *, what: str, then: str = "") -> None:
    """Raise `RefusedError` where hosts of a release belong to a wave; `what` is what is not done for it, `then` ends what is said."""
    held = in_wave(hosts, attempts())
    if held is not None:
        raise RefusedError(f"{what}: {held.told}. Nothing was changed. Wait for its end: {held.status}.{then}")


def wave_line(hosts: Sequence[str], attempts: Attempts) -> GateLine:
    """Return the line of a gate that says whether hosts belong to a wave."""
    try:
        held = in_wave(hosts, attempts())
    except ControlPlaneError as lost:
        return GateLine(name="waves", verdict=Verdict.UNKNOWN, reason=without_end(str(lost)))
    if held is not None:
        return GateLine(name="waves", verdict=Verdict.DRIFTED, reason=held.told, next=held.status)
    return GateLine(name="waves", verdict=Verdict.MET, reason="no wave that changes machines has its hosts")
