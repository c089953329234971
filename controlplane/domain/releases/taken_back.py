"""What was brought to an environment last, where all of it was taken back: a bare rollback has nothing more to do then.

Rules:
- Whoever asks twice gets what was asked once: however the newest deployment went back, asked for or by itself, nothing further goes with it.
- What failed or did not end below it, and what went back on one host alone, is no end yet: that still goes back. So it does under a newer release
  that was brought over it.
- A manifest that stands more than once does not say to which deployment it goes back: the run that brought it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from controlplane.domain.receipt import Receipt
from controlplane.domain.releases.history import Deployed, Deployment

# What is named to take back all that releases brought; no word that a person would call a manifest.
NOTHING = "nothing"


class TakenBack(NamedTuple):
    """The newest deployment, the receipt of its way back (of several hosts the last), and what to go back to further: None where nothing stands."""

    newest: Deployment
    by: Receipt
    further: str | None


def taken_back(found: Deployed, chain: Sequence[Receipt]) -> TakenBack | None:
    """Return how the newest run of an environment went back; None where something of it, or of a way back, is left, and where nothing was brought."""
    every = [one for host in found.hosts for one in host.deployments]
    newest = max(every, key=lambda one: one.begun_seq, default=None)
    if newest is None:
        return None
    mine = {one.key for one in every if one.run == newest.run}
    left = still_there(found)
    if any(one.key in mine for one in left) or (left and not _is_settled(left, found)):
        return None
    back = (one for one in reversed(chain) if one.phase == "result" and one.outcome == "rolled-back" and one.undoes in mine)
    by = next(back, None)
    return TakenBack(newest, by, _further(left, found)) if by is not None else None


def still_there(found: Deployed) -> list[Deployment]:
    """Return whatever was brought and not taken back, over all hosts, the newest first; how it ended does not matter."""
    held = [one for host in found.hosts for one in host.deployments if one.state != "undone"]
    return sorted(held, key=lambda one: one.begun_seq, reverse=True)


def is_whole(left: Sequence[Deployment]) -> bool:
    """Say whether what is left of a run ended well on each host, by the last attempt there; `left` is newest first."""
    last = {one.host: one for one in reversed(left)}
    return all(one.state == "done" for one in last.values())


def targets(left: Sequence[Deployment], found: Deployed) -> dict[str, bool]:
    """Return each run of what is left, newest first, with whether a way back may end at it: it ended well, and stands then on each of its hosts.

    Whether it stands there is asked of what is left once the newer ones are back: while these stand nothing shows that it went back from one host.
    """
    order = tuple(dict.fromkeys(one.run for one in left))
    return {
        run: is_whole([one for one in left if one.run == run]) and run not in found.without(order[:number]).half_back
        for number, run in enumerate(order)
    }


def named(left: Sequence[Deployment], run: str) -> str:
    """Return how a rollback is told to go back to a run of what is left: by its manifest, or where that stands more than once by the run."""
    name = next(one.manifest_name for one in left if one.run == run)
    return run if any(one.manifest_name == name and one.run != run for one in left) else name


def means(to: str, one: Deployment, left: Sequence[Deployment]) -> bool:
    """Say whether `to` names a deployment of what is left: by its manifest or its run, of which a manifest of that name comes first."""
    return to == one.manifest_name or (to == one.run and all(other.manifest_name != to for other in left))


def _is_settled(left: Sequence[Deployment], found: Deployed) -> bool:
    """Say whether what is left and was begun last ended well, and nothing of it went back."""
    return targets(left, found)[left[0].run]


def _further(left: Sequence[Deployment], found: Deployed) -> str | None:
    """Return what a rollback could be told to go back to, once what is left is settled: then its newest run is what stands, and no target.

    What an older run brought may stand as well: on the hosts that the environment had before it got others.
    """
    if not left:
        return None
    behind = (run for run, may_end in targets(left, found).items() if may_end and run != left[0].run)
    return next((named(left, run) for run in behind), NOTHING)
