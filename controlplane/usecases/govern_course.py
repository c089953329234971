"""What governs the course of a run: its order, whether a step may begin, and what is done after each.

Rules:
- A step that may not begin now leaves the run open: it goes on where it stopped. A host that is given up is left alone for good.
- Without a wave nothing is governed beyond the plan itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from controlplane.domain.plan import Plan, Step
from controlplane.domain.releases.bringing import made_by
from controlplane.usecases.interrupted_run import how_to_go_on


class Course(Protocol):
    """Asked by a run before it begins, and before and after each step."""

    def ordered(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """Return the steps in the order in which they are run; those of one host keep theirs."""
        ...

    def go_on(self, run: str) -> str:
        """Return how an open run is gone on with, as the end of a message says it."""
        ...

    def anew(self, plan: Plan) -> str:
        """Return the command that makes such a plan anew."""
        ...

    def shut(self, at: datetime) -> str | None:
        """Return why at that time nothing may begin, None where it may: windows alone are asked, by the time of a host."""
        ...

    def begin(self) -> None:
        """Hear that a run is put on record now: the hosts were looked at meanwhile. Raises `RefusedError` where it may not begin any more."""
        ...

    def pause(self, step: Step, run: str) -> str | None:
        """Return why this step of this run may not begin now, and the run stops here, to be resumed; None where it may."""
        ...

    def give_up(self, step: Step, failed: Collection[str]) -> str | None:
        """Return why the step's host is not begun at all, given the hosts that failed; None where it is."""
        ...

    def taken_over(self) -> str | None:
        """Return who has the run now, where it is no longer this controller's: a step that failed for it is theirs to go on with and to record."""
        ...

    def after(self, step: Step, failure: str | None) -> None:
        """Hear that a step ended, well or not."""
        ...


class Ungoverned:
    """The course of a plan that belongs to no wave."""

    def ordered(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """Return the steps as the plan has them."""
        return tuple(steps)

    def go_on(self, run: str) -> str:
        """Name the verb that ran it."""
        return how_to_go_on(run, "'controlplane apply' with the same plan file")

    def anew(self, plan: Plan) -> str:
        """Name the verb that made it."""
        return made_by(plan)

    def shut(self, at: datetime) -> str | None:  # noqa: ARG002 - the protocol's signature
        """Know of no window."""
        return None

    def begin(self) -> None:
        """Let every run begin."""

    def pause(self, step: Step, run: str) -> str | None:  # noqa: ARG002 - the protocol's signature
        """Let every step begin."""
        return None

    def give_up(self, step: Step, failed: Collection[str]) -> str | None:  # noqa: ARG002 - the protocol's signature
        """Give up no host."""
        return None

    def taken_over(self) -> str | None:
        """Know of nobody: the host's own lease keeps two controllers apart."""
        return None

    def after(self, step: Step, failure: str | None) -> None:
        """Do nothing."""
