"""The course of a plan that is applied by itself: what site.yml and a wave that goes on leave to it.

Rules:
- Where site.yml names windows, nothing begins outside of one; a window that ends stops before the next step, which a later one goes on with.
- A host that belongs to a wave that changes machines and is not ended is changed there alone, whoever holds it and whether or not their lease
  lasts. So is one that the wave only looks at: its gates rest on what they saw there. One that was carved out belongs to it no more.
- Both are asked before anything else, and before each step once more, when the run is on record already: a wave that is opened meanwhile finds
  that run, or is found here.
- A store that can't be asked lets nothing begin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from controlplane.domain.coordination import WaveHeld
from controlplane.domain.errors import RefusedError
from controlplane.domain.plan import Plan, Step
from controlplane.domain.site_view import SiteView
from controlplane.domain.windows import why_shut
from controlplane.ports.clocks import Clock
from controlplane.usecases.govern_course import Ungoverned
from controlplane.usecases.hosts_in_wave import hosts_of, in_wave, why_in_wave
from controlplane.usecases.interrupted_run import without_refused_way


class PlainCourse(Ungoverned):
    """The course of a plain apply; `waves` asks the store for every attempt at a wave."""

    def __init__(self, site: SiteView, clock: Clock, waves: Callable[[], Iterable[WaveHeld]]) -> None:
        self._site, self._clock, self._waves = site, clock, waves

    def refuse(self, plan: Plan, run: str | None) -> None:
        """Raise `RefusedError` where no step of the plan may begin now; `run` is the one of it that is open, if one is."""
        if not plan.steps:
            return
        shut = self.shut(self._clock.now())
        held = in_wave(hosts_of(plan.steps), self._waves())
        if shut is None and held is None:
            return
        wave = "" if held is None else f" Plan it there: controlplane wave plan {held.wave}; or wait for its end: {held.status}."
        told = "; ".join(why for why in (shut, held.told if held is not None else None) if why is not None)
        still = "" if run is None else f" {without_refused_way(self.go_on(run), run, plan)}"
        raise RefusedError(f"plan {plan.plan[:19]} refused: {told}. Nothing was changed.{wave}{still}")

    def pause(self, step: Step, run: str) -> str | None:  # noqa: ARG002 - the protocol's signature
        """Say whether the window is over, or a wave has the step's host now."""
        return self.shut(self._clock.now()) or why_in_wave(hosts_of((step,)), self._waves)

    def shut(self, at: datetime) -> str | None:
        """Return why none of the site's windows is open at that time."""
        return why_shut(self._site.windows, timezone=self._site.timezone, now=at)
