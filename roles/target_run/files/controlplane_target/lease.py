"""The target's lease: which run may change this host, as `/var/lib/controlplane/lease.json`.

Rules:
- An unexpired lease of another run, or of another holder of the same run, is refused by holder, run and since when.
- An expired one is taken over, and so is the one that is named to be (its controller is dead), unless a transient unit of its run still works on this host.
- Each taking gets a token that is larger than all before it, also after a release; renewing keeps the token. Who carries an older token is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .faults import RefusedFault
from .files import read_json, remove, write_json
from .state import Home, epoch, utc

UnitActive = Callable[[str], bool]


def show(home: Home) -> dict[str, Any] | None:
    """Return the lease as written, None where nobody holds it."""
    held = read_json(home.base / "lease.json")
    return dict(held) if held else None


def _held_by(lease: dict[str, Any], host: str) -> str:
    return f"{host} is leased to run {lease['run']} by {lease['holder']} since {lease['taken_at']}, until {lease['expires_at']}"


def _working_unit(home: Home, run: str, active: UnitActive) -> str | None:
    unit = home.run(run).state.get("unit")
    return str(unit) if unit and active(str(unit)) else None


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
        return f"{_held_by(lease, host)}{': it has expired' if over else ''}, but its unit {working} still works here. Nothing was changed. Wait for it, or cancel it by 'systemctl stop {working}'."
    return None


def take(
    home: Home, run: str, holder: str, *, role: str, ttl_s: int, now: float, host: str, unit_active: UnitActive, take_over: str = ""
) -> dict[str, Any]:
    """Take or renew the lease for `run` and return it; the token is noted in the run's journal. `take_over` names a run whose lease may be taken."""
    with home.lock():
        reason = standing_in_the_way(home, run, holder, now=now, host=host, unit_active=unit_active, take_over=take_over)
        if reason:
            raise RefusedFault(reason)
        held = show(home)
        own = home.run(run)
        if held is not None and held["run"] == run and held["holder"] == holder:
            lease = {**held, "expires_at": utc(now + ttl_s)}
        else:
            counter = read_json(home.base / "lease-token.json") or {"last": 0}
            token = max(int(counter["last"]), int(held["token"]) if held else 0) + 1
            write_json(home.base / "lease-token.json", {"last": token})
            lease = {"token": token, "holder": holder, "run": run, "taken_at": utc(now), "expires_at": utc(now + ttl_s)}
        write_json(home.base / "lease.json", lease)
        own.write(role=role, token=lease["token"], phase="prepared" if own.phase == "new" else own.phase)
    return lease


def check(home: Home, run: str, *, now: float, host: str, ttl_s: int = 1800) -> dict[str, Any]:
    """Return the lease if it is this run's, prolonged; refuse otherwise."""
    with home.lock():
        lease = show(home)
        token = home.run(run).state.get("token")
        if lease is None:
            raise RefusedFault(
                f"{host} is leased to nobody, run {run} holds no lease. Nothing was changed. Run the whole play again: its first role takes the lease."
            )
        if lease["run"] != run or lease["token"] != token:
            raise RefusedFault(
                f"{_held_by(lease, host)}; run {run} carries token {token}, the host's is {lease['token']}. Nothing was changed. Let that run finish, then run this one again."
            )
        if epoch(lease["expires_at"]) < now + ttl_s:
            lease = {**lease, "expires_at": utc(now + ttl_s)}
            write_json(home.base / "lease.json", lease)
        return lease


def release(home: Home, run: str) -> bool:
    """Give this run's lease back; False where it holds none, which is no fault."""
    with home.lock():
        lease = show(home)
        if lease is None or lease["run"] != run:
            return False
        remove(home.base / "lease.json")
        return True
