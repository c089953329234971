"""Who may change a stack: one verb at a time, whatever its environment, over all controllers. Times are UTC, such as 2026-01-01T00:00:00Z.

Rules:
- A lease is judged by the site's time, as a wave's is.
- The same holder takes over at once: its twin is kept out by the lock, so what is left is what was killed. Anybody else waits until the lease is
  over. Locks lie in the folder of the site, so the same operator with another copy of it, which has locks of its own, is somebody else.
- Who lost it to another neither renews nor ends it: the token has to be that of the store.
- A lease is of one environment, as what it goes on with is; that of another environment keeps it out as long as it lasts. Of two that were taken at
  once the one with the smaller token stays: tokens grow in the order of the takings, so the later one always sees the earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import Field

from controlplane.domain.coordination import Stamp, moment_of, stamp_of
from controlplane.domain.errors import RefusedError
from controlplane.domain.names import Line
from controlplane.domain.values import Value

_LOCKS = ", locks "


def holder_of(operator: str, locks: str) -> str:
    """Return who holds a lease, for the store: the operator, and the place of the locks that keep twins out."""
    return f"{operator}{_LOCKS}{locks}"


def shown(holder: str) -> str:
    """Return the operator of a holder, for people."""
    return holder.rpartition(_LOCKS)[0] or holder


class ReleaseHeld(Value):
    """One taking. `verb` is what goes on, such as promote; `holder` is as `holder_of` has it; `token` grows with each taking over the whole store."""

    stack: Line
    environment: Line
    verb: Line
    holder: Line
    token: int = Field(ge=1)
    taken_at: Stamp
    expires_at: Stamp
    ended_at: Stamp | None = None

    def leased(self, at: datetime) -> bool:
        """Say whether the lease lasts at that time."""
        return self.ended_at is None and at < moment_of(self.expires_at)


def release_taken(
    latest: ReleaseHeld | None, stack: str, environment: str, verb: str, holder: str, *, token: int, at: datetime, ttl: timedelta
) -> ReleaseHeld:
    """Return the lease as its new holder has it. Raises `RefusedError` where another's lasts."""
    if latest is not None and latest.holder != holder and latest.leased(at):
        raise RefusedError(_kept_out(latest, holder))
    return ReleaseHeld(
        stack=stack,
        environment=environment,
        verb=verb,
        holder=holder,
        token=token,
        taken_at=stamp_of(at),
        expires_at=stamp_of(at + ttl),
    )


def refuse_beside(held: ReleaseHeld, others: Sequence[ReleaseHeld], *, at: datetime) -> None:
    """Raise `RefusedError` where another's lease of another environment was there before one that was just taken, and lasts."""
    first = next((one for one in others if one.holder != held.holder and one.token < held.token and one.leased(at)), None)
    if first is not None:
        raise RefusedError(_kept_out(first, held.holder, f"{held.stack} in {held.environment} is not begun, one environment at a time: "))


def overtaken(held: ReleaseHeld, others: Sequence[ReleaseHeld], *, at: datetime) -> str | None:
    """Return who took another environment of the stack since and still has it, None where nobody does: asked of a lease that had run out."""
    later = next((one for one in others if one.token > held.token and one.leased(at)), None)
    if later is None:
        return None
    by = f"{shown(later.holder)} took {later.environment} for {_verb(later)} at {later.taken_at}"
    return f"{held.stack} is no longer this process's to change: {by}"


def _kept_out(by: ReleaseHeld, holder: str, what: str = "") -> str:
    copy = ", from another copy of the site" if shown(by.holder) == shown(holder) else ""
    return (
        f"{what}{by.stack} in {by.environment} is being changed by {shown(by.holder)}{copy}, {_verb(by)} since {by.taken_at}, whose lease "
        f"lasts until {by.expires_at}. Nothing was changed. Leave it to them; if that controller is gone, run this again after that."
    )


def _verb(held: ReleaseHeld) -> str:
    return f"release {held.verb}"


def release_renewed(held: ReleaseHeld, latest: ReleaseHeld | None, *, at: datetime, ttl: timedelta) -> ReleaseHeld:
    """Return the lease as it lasts `ttl` from now on. Raises `RefusedError` where it is no longer the caller's."""
    lost = release_lost(held, latest)
    if lost is not None:
        raise RefusedError(f"{lost}. Nothing was changed.")
    return held.model_copy(update={"expires_at": stamp_of(at + ttl)})


def release_lost(held: ReleaseHeld, latest: ReleaseHeld | None) -> str | None:
    """Return what became of a lease that is no longer the caller's, None where it still is."""
    place = f"{held.stack} in {held.environment}"
    if latest is None:
        return f"the lease of {place} is not in the store: it is another store, or an older copy of it"
    if latest.token != held.token:
        return f"{place} is no longer this process's to change: {shown(latest.holder)} took it for release {latest.verb} at {latest.taken_at}"
    return None if latest.ended_at is None else f"the lease of {place} was given back at {latest.ended_at}"
