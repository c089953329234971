"""The target's lease: which run may change this host, as `/var/lib/controlplane/lease.json`.

Rules:
- An unexpired lease of another run, or of another holder of the same run, is refused by holder, run and since when.
- An expired one is taken over, and so is the one that is named to be (its controller is dead), unless a transient unit of its run, or a change
  that runs under it, still works on this host.
- Each taking gets a token that is larger than all before it, also by the same holder and after a release. Whoever took carries it; what carries an
  older one is refused, even where the run is the same: a controller that was paused while another went on with its run changes nothing, and gives
  nobody's lease back.
- The journal notes the run's newest token. It proves nothing for a play; a unit, which outlives the play that started it, belongs to whoever holds
  the lease of its run now.
- A change runs under `holding`: nobody takes the lease between the check and the end of the change. Another run is refused; the same run waits a
  while, because a command that lost its connection may go on to its end, and nothing may be changed beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from .faults import RefusedFault
from .files import read_json, remove, write_json
from .state import Home, epoch, utc

UnitActive = Callable[[str], bool]

# How long the same run waits for the last change of its earlier attempt.
_LAST_CHANGE_S = 60.0


class Claim(NamedTuple):
    """What one taking of the lease gave, and whoever took it carries."""

    run: str
    holder: str
    token: int


def claim_of(lease: dict[str, Any]) -> Claim:
    """Return the claim that fits this lease."""
    return Claim(lease["run"], lease["holder"], lease["token"])


def show(home: Home) -> dict[str, Any] | None:
    """Return the lease as written, None where nobody holds it."""
    held = read_json(home.base / "lease.json")
    return dict(held) if held else None


def is_held(home: Home, claim: Claim) -> bool:
    """Say whether the lease is the one that this claim was given for."""
    lease = show(home)
    return lease is not None and claim_of(lease) == claim


def is_of_run(home: Home, run: str) -> bool:
    """Say whether the lease is this run's, by whichever of its takings: a unit goes on for the controller that came after the one that began it."""
    lease = show(home)
    return lease is not None and lease["run"] == run and lease["token"] == home.run(run).state.get("token")


def _held_by(lease: dict[str, Any], host: str) -> str:
    return f"{host} is leased to run {lease['run']} by {lease['holder']} since {lease['taken_at']}, until {lease['expires_at']}"


def _working_unit(home: Home, run: str, active: UnitActive) -> str | None:
    """Return the unit of the run that works now; `unit` may be stopped, which `package_unit` must not."""
    state = home.run(run).state
    return next((str(state[key]) for key in ("unit", "package_unit") if state.get(key) and active(str(state[key]))), None)


def left_of(home: Home, claim: Claim, *, unit_active: UnitActive) -> str | None:
    """Return what of the run still works, so that the lease of this claim stays; None where it is not held any more."""
    return (_working_unit(home, claim.run, unit_active) or "a change that had begun") if is_held(home, claim) else None


def standing_in_the_way(home: Home, run: str, holder: str, *, now: float, host: str, unit_active: UnitActive, take_over: str = "") -> str | None:
    """Return why `run` can't have the lease now, None if it can."""
    lease = show(home)
    if lease is None or (lease["run"] == run and lease["holder"] == holder):
        return None
    over = now >= epoch(lease["expires_at"])
    if not over and lease["run"] != take_over:
        return f"{_held_by(lease, host)}. Nothing was changed. Wait for it, or let it expire; if its controller is dead: controlplane lease take HOST"
    working = None if lease["run"] == run else _working_unit(home, lease["run"], unit_active)
    if working:
        stop = f", or cancel it by 'systemctl stop {working}'" if working == home.run(lease["run"]).state.get("unit") else ""
        return f"{_held_by(lease, host)}{': it has expired' if over else ''}, but its unit {working} still works here. Nothing was changed. Wait for it{stop}."
    return None


def take(
    home: Home,
    run: str,
    holder: str,
    *,
    role: str,
    ttl_s: int,
    now: float,
    host: str,
    unit_active: UnitActive,
    take_over: str = "",
    wait_s: float = _LAST_CHANGE_S,
) -> dict[str, Any]:
    """Take the lease for `run` under a new token and return it. `take_over` names a run whose lease may be taken."""
    end = time.monotonic() + wait_s
    while True:
        with home.lock(), home.quiet() as quiet:
            reason = standing_in_the_way(home, run, holder, now=now, host=host, unit_active=unit_active, take_over=take_over)
            held = show(home)
            own = held is not None and held["run"] == run
            if reason is None and not quiet and (not own or time.monotonic() >= end):
                whose = _held_by(held, host) if held else f"{host} is leased to nobody"
                reason = f"{whose}, but a change that began before still works here. Nothing was changed. Wait for it."
            if reason:
                raise RefusedFault(reason)
            if quiet:
                return _taken(home, run, holder, held, role=role, ttl_s=ttl_s, now=now)
        time.sleep(0.2)


def _taken(home: Home, run: str, holder: str, held: dict[str, Any] | None, *, role: str, ttl_s: int, now: float) -> dict[str, Any]:
    counter = read_json(home.base / "lease-token.json") or {"last": 0}
    token = max(int(counter["last"]), int(held["token"]) if held else 0) + 1
    write_json(home.base / "lease-token.json", {"last": token})
    lease = {"token": token, "holder": holder, "run": run, "taken_at": utc(now), "expires_at": utc(now + ttl_s)}
    write_json(home.base / "lease.json", lease)
    own = home.run(run)
    own.write(role=role, token=token, phase="prepared" if own.phase == "new" else own.phase)
    return lease


def check(home: Home, claim: Claim, *, now: float, host: str, ttl_s: int = 1800) -> dict[str, Any]:
    """Return the lease if it is the one that was taken with this claim, prolonged; refuse otherwise."""
    with home.lock():
        lease = show(home)
        if lease is None:
            raise RefusedFault(
                f"{host} is leased to nobody, run {claim.run} holds no lease. Nothing was changed. Run the whole play again: its first role takes the lease."
            )
        if claim_of(lease) != claim:
            raise RefusedFault(
                f"{_held_by(lease, host)}; run {claim.run} carries token {claim.token}, the host's is {lease['token']}. Nothing was changed. Let that run finish, then run this one again."
            )
        if epoch(lease["expires_at"]) < now + ttl_s:
            lease = {**lease, "expires_at": utc(now + ttl_s)}
            write_json(home.base / "lease.json", lease)
        return lease


@contextmanager
def holding(home: Home, claim: Claim, *, now: float, host: str, ttl_s: int = 1800) -> Iterator[int]:
    """Keep everybody from taking the lease while the body changes the host; refuse where the lease is not this claim's.

    Gives the lock's descriptor: a child that inherits it keeps the lock, whatever becomes of this process.
    """
    with home.changing() as descriptor:
        check(home, claim, now=now, host=host, ttl_s=ttl_s)
        yield descriptor


def release(home: Home, claim: Claim, *, unit_active: UnitActive, wait_s: float = _LAST_CHANGE_S) -> bool:
    """Give back the lease of this claim. False, which is no fault, where it is not held any more, or something of the run still works here.

    A change that a cancelled play left is waited for a while.
    """
    end = time.monotonic() + wait_s
    while True:
        with home.lock(), home.quiet() as quiet:
            if not is_held(home, claim) or _working_unit(home, claim.run, unit_active):
                return False
            if quiet:
                remove(home.base / "lease.json")
                return True
        if time.monotonic() >= end:
            return False
        time.sleep(0.2)
