"""What a capability answers when it is asked about one host: drafts of steps, or why it must not run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.plan import Bound, Change, Downtime, Mend, Step

NO_DOWNTIME = Downtime(services=(), estimate_s=0)


@dataclass(frozen=True)
class ComingMount:
    """A filesystem as it will be mounted once the steps before have run; `bytes_free` is what is surely usable on it; `live`: it is mounted now."""

    uuid: str
    device: str
    bytes_free: int
    made_new: bool
    live: bool = False


@dataclass(frozen=True)
class Outlook:
    """What earlier steps of the same plan will have made of the host, and what they can't.

    `guarded`: a Docker that comes later finds its guard there. `docker_comes`: an earlier step of the plan brings Docker.
    `docker_root`: where an earlier step moves Docker's root, None where none does. `mended`: what steps that this plan holds mend already.
    """

    now: datetime
    retention: timedelta
    mounts: dict[str, ComingMount] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    guarded: bool = False
    docker_comes: bool = False
    docker_root: str | None = None
    mended: frozenset[Mend] = frozenset()


def without(outlook: Outlook, capability: Capability) -> Outlook:
    """Return the outlook if `capability` does not run: what only it would mount is missing."""
    if not capability.mounts:
        return replace(outlook, guarded=False, docker_comes=False, docker_root=None)
    live = {path: mount for path, mount in outlook.mounts.items() if mount.live}
    left_out = dict.fromkeys(outlook.mounts.keys() - live.keys(), f"{capability.id} has to run first")
    return replace(outlook, mounts=live, missing={**outlook.missing, **left_out}, guarded=False, docker_comes=False)


@dataclass(frozen=True)
class Draft:
    """A step without its number; `variables` are the role's own, without the run's key.

    `bounds` hold each by itself. `room` are bounds on bytes that the step takes for good: what steps before it take of the same is wanted beside it.
    `if_short` says what to do where a bound does not hold.
    """

    mends: tuple[Mend, ...]
    changes: tuple[Change, ...]
    undo: str
    variables: dict[str, Any]
    downtime: Downtime = NO_DOWNTIME
    bounds: tuple[Bound, ...] = ()
    room: tuple[Bound, ...] = ()
    if_short: str = "Make room there, then plan again"
    runs_on: str | None = None


@dataclass(frozen=True)
class Proposal:
    """Drafts in the order in which they must run, and reasons why something that drifts is left alone."""

    drafts: tuple[Draft, ...] = ()
    refusals: tuple[str, ...] = ()
    outlook: Outlook | None = None


def about(name: str, doubt: Unobserved) -> str:
    """Return a doubt with the container's name before it, once.

    What a plan is refused is told from what another one was by its words: those of two containers are never the same.
    """
    return str(doubt) if str(doubt).startswith(f"{name}: ") else f"{name}: {doubt}"


def _as_it_is(step: Step) -> Step:
    return step


@dataclass(frozen=True)
class Capability:
    """One capability: its id, its role, how it proposes, whether it runs only when it is asked for by name, and whether mounts may rest on it.

    `led_by` is the verb that alone plans it, because it holds a gate before it; None for all others.
    `settled` returns a step as it is compared with the one of a later look: without what varies by itself, which a bound holds instead.
    `left_of` returns the targets of a step's changes that are not done by what the host shows, and raises `Unobserved`. None where the plan that is
    made again tells it: not of what a plan names once and for all, while the next one would choose otherwise.
    """

    id: str
    role: str
    propose: Callable[[DesiredHost, Reader, Outlook], Proposal]
    only_by_name: bool = False
    mounts: bool = True
    led_by: str | None = None
    settled: Callable[[Step], Step] = _as_it_is
    left_of: Callable[[Step, Reader], frozenset[str]] | None = None
