"""Who may take, keep and write a wave, and when a controller's clock is believed.

Rules:
- One mutating wave goes on at a time, also while nobody's lease on it lasts: what it left half done is for a person to resume or abort.
- A lease is judged by the site's time: the later of the controller's clock and the latest time that the store ever saw. So a clock that is
  set back revives no lease, and one that runs ahead ends them.
- A clock further back than `BEHIND` is refused for everything that writes.
- Who lost a wave to another neither renews nor writes it: token and version have to be those of the store.
- Every decision here comes before the first write, so a refusal changes nothing but the time that was seen.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from controlplane.domain.coordination import WaveHeld, moment_of, stamp_of
from controlplane.domain.digest import canonical_json
from controlplane.domain.errors import RefusedError
from controlplane.domain.plain_json import load_plain

BEHIND = timedelta(minutes=5)


def site_time(now: datetime, seen: str | None) -> datetime:
    """Return the site's time, cut to seconds. Raises `RefusedError` for a clock that is behind what the store saw."""
    here = moment_of(stamp_of(now))
    latest = here if seen is None else moment_of(seen)
    if here < latest - BEHIND:
        raise RefusedError(
            f"this controller's clock is behind what the site has seen: it says {stamp_of(here)}, and the site saw {seen} already. "
            "Nothing was changed. Set this controller's clock. If it is right, and the one that ran ahead was wrong: "
            "controlplane receipts reset-time --reason TEXT"
        )
    return max(here, latest)


def taken(
    wave: str,
    latest: WaveHeld | None,
    other: WaveHeld | None,
    *,
    state: str,
    mutating: bool,
    holder: str,
    record: dict[str, Any],
    token: int,
    at: datetime,
    ttl: timedelta,
    knows: WaveHeld | None,
    anew: bool = False,
) -> WaveHeld:
    """Return the wave as its new holder has it.

    `latest` is the last attempt at it, `other` another mutating wave that is not ended. With `knows`, `record` rests on that reading: nobody may
    have written since. With `anew` no attempt may go on, the same holder's neither. Raises `RefusedError`.
    """
    if ttl <= timedelta(0):
        raise ValueError(f"a lease of {ttl} holds nothing")
    going_on = latest if latest is not None and latest.ended_at is None else None
    if going_on is not None and going_on.holder != holder and going_on.leased(at):
        raise RefusedError(
            f"wave {wave} is held by {going_on.holder} (state {going_on.state}), whose lease lasts until {going_on.expires_at}. "
            f"Nothing was changed. Leave it to them, or go on with it after that: 'controlplane wave resume {wave}'."
        )
    if going_on is not None and anew:
        raise RefusedError(
            f"wave {wave} is open already (state {going_on.state}, held by {going_on.holder}). Nothing was changed. "
            f"Next: controlplane wave status {wave}"
        )
    if going_on is not None and going_on.mutating != mutating:
        kind = "changes machines" if going_on.mutating else "changes no machine"
        raise RefusedError(
            f"wave {wave} was opened by {going_on.holder} as one that {kind} (state {going_on.state}), and that can't change on the way. "
            f"Nothing was changed. End it first: 'controlplane wave abort {wave}'."
        )
    if mutating and other is not None:
        raise RefusedError(f"wave {wave} can't be opened: {still_on(other, at)}")
    if knows is not None and (latest is None or (latest.token, latest.version) != (knows.token, knows.version)):
        raise RefusedError(f"{_lost(knows, latest)} Nothing was changed. {_go_on(wave)}")
    return WaveHeld(
        wave=wave,
        state=state,
        mutating=mutating,
        holder=holder,
        token=token,
        expires_at=stamp_of(at + ttl),
        record=_kept(record),
        version=1 if going_on is None else going_on.version + 1,
        opened_at=stamp_of(at) if going_on is None else going_on.opened_at,
        taken_at=stamp_of(at),
    )


def renewed(held: WaveHeld, latest: WaveHeld | None, *, at: datetime, ttl: timedelta) -> WaveHeld:
    """Return the wave with a lease that lasts `ttl` from now on. Raises `RefusedError` where it is no longer the caller's."""
    if ttl <= timedelta(0):
        raise ValueError(f"a lease of {ttl} holds nothing")
    return _still_yours(held, latest).model_copy(update={"expires_at": stamp_of(at + ttl)})


def written(held: WaveHeld, latest: WaveHeld | None, *, state: str, record: dict[str, Any], at: datetime, ended: bool) -> WaveHeld:
    """Return the wave with its new state and record, its lease released where it ended. Raises `RefusedError` where it is no longer the caller's."""
    ours = _still_yours(held, latest)
    end = {"expires_at": stamp_of(at), "ended_at": stamp_of(at)} if ended else {}
    return WaveHeld(**ours.model_dump() | {"state": state, "record": _kept(record), "version": ours.version + 1} | end)


def taken_over(held: WaveHeld, latest: WaveHeld | None) -> str | None:
    """Return what became of a wave that is no longer the caller's, None where it still is; who writes under the same taking takes nothing away."""
    if latest is not None and latest.token == held.token and latest.ended_at is None:
        return None
    return _lost(held, latest)


def _kept(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record as it will be read again; what the caller does to its own afterwards is not in it."""
    kept: dict[str, Any] = load_plain(canonical_json(record))
    return kept


def _still_yours(held: WaveHeld, latest: WaveHeld | None) -> WaveHeld:
    if latest is None or latest.ended_at is not None or (latest.token, latest.version) != (held.token, held.version):
        raise RefusedError(f"{_lost(held, latest)} Nothing was changed. Stop what runs for it here. {_go_on(held.wave)}")
    return latest


def _lost(held: WaveHeld, latest: WaveHeld | None) -> str:
    if latest is None:
        return f"wave {held.wave} is not in the store: it is another store, or an older copy of it."
    if latest.token != held.token:
        return f"wave {held.wave} is no longer what this process took: {latest.holder} took it at {latest.taken_at} (state {latest.state})."
    if latest.ended_at is not None:
        return f"wave {held.wave} was ended by {latest.holder} at {latest.ended_at} (state {latest.state})."
    return f"wave {held.wave} was written meanwhile by {latest.holder} (state {latest.state})."


def _go_on(wave: str) -> str:
    return f"'controlplane wave resume {wave}' goes on from what the store holds, once it is free."


def still_on(other: WaveHeld, at: datetime) -> str:
    """Return that this wave changes machines and is not ended, and what to do about it before another one is opened."""
    lease = f"lease until {other.expires_at}" if other.leased(at) else f"lease over since {other.expires_at}"
    return (
        f"wave {other.wave} changes machines and is not ended (state {other.state}, held by {other.holder}, {lease}). "
        f"One such wave goes on at a time. Nothing was changed. "
        f"End that one first: 'controlplane wave resume {other.wave}', or 'controlplane wave abort {other.wave}'."
    )
