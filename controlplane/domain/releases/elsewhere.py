"""The runs of a release in an environment that are open, and the hosts of theirs that the environment has no more.

Rule:
- A run of which all that was not taken back lies on hosts that the environment has no more is ended there, or closed where they are gone for
  good: what goes back on the hosts that are left is another release. So none does while that run is the newest, and the one meant to go back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from controlplane.domain.plan import Plan
from controlplane.domain.receipt import Receipt, open_intents, undone_keys
from controlplane.domain.releases.bringing import brings
from controlplane.domain.releases.history import DEPLOY, Deployed, Deployment, plans_of_others


class OpenRun(NamedTuple):
    """A run that did not end; `seq` is the number of the receipt that began it.

    `here` are the hosts of the environment on which a step of it was begun and not taken back, `away` such hosts that the environment has no more,
    and `strange` all hosts of its plan that it has no more: there nothing goes on. `began` says whether it began a step anywhere.
    """

    run: str
    seq: int
    plan: Plan
    here: tuple[str, ...]
    away: tuple[str, ...]
    strange: tuple[str, ...]
    began: bool

    @property
    def is_elsewhere(self) -> bool:
        """Say whether all that is left of it lies on hosts that the environment has no more."""
        return bool(self.away) and not self.here

    @property
    def is_back(self) -> bool:
        """Say whether all that it began went back: what is missing then is its end on record alone."""
        return self.began and not self.here and not self.away


def open_runs(found: Deployed, chain: Sequence[Receipt], plan_of: Callable[[str], Plan]) -> tuple[OpenRun, ...]:
    """Return the runs of a stack in an environment that are open, the oldest first. Raises what `plan_of` does."""
    others, undone, hosts = plans_of_others(chain, found.stack), undone_keys(chain), {one.host for one in found.hosts}
    runs = []
    for whole in open_intents(chain):
        if (whole.host, whole.step) != ("*", "*") or not whole.plan or whole.undoes is not None or whole.plan in others:
            continue
        steps = [one for one in chain if one.run == whole.run and one.phase == "intent" and one.undoes is None and one.step != "*"]
        if any(one.capability != DEPLOY for one in steps):
            continue
        plan = plan_of(whole.plan)
        bound = brings(plan)
        if bound is None or (bound.stack, bound.environment) != (found.stack, found.environment):
            continue
        left = dict.fromkeys(one.host for one in steps if one.key not in undone)
        strange = tuple(dict.fromkeys(step.host for step in plan.steps if step.host not in hosts))
        here, away = (tuple(host for host in left if (host in hosts) is own) for own in (True, False))
        runs.append(OpenRun(whole.run, whole.seq, plan, here, away, strange, began=bool(steps)))
    return tuple(runs)


def in_the_way(runs: Sequence[OpenRun], left: Sequence[Deployment]) -> OpenRun | None:
    """Return the run that keeps what is left on these hosts (the newest first) from going back, None where none does."""
    return next((one for one in runs if left and one.is_elsewhere and one.seq > left[0].begun_seq), None)
