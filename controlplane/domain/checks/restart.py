"""What a database would lose if its container were stopped and started as it is now."""

from __future__ import annotations

from collections.abc import Collection

from controlplane.domain.checks.durability import persisted_setting, running_setting
from controlplane.domain.evidence import Reader, Unobserved

_MEND = "turn it on while it serves, and persist it (controlplane plan --capability redis.durability), or set both alike by hand"


def lost_by_restart(reader: Reader, *, governed: Collection[str] = (), only: str | None = None) -> tuple[str, ...]:
    """Return one sentence for each Redis that runs, or for the one that `only` names, and would lose keys by a stop and a start.

    An append-only file that is off while it runs and on at its next start would load nothing, or what is stale; the other way round, the last dump.
    Of those in `governed` it has to be known: raises `Unobserved`. Of the others what can't be told is no reason: nobody declared how they are asked.
    """
    found = []
    for container in reader.containers:
        name, state = container["name"], reader.redis.get(container["name"])
        if not container["running"] or state is None or only not in (None, name):
            continue
        if not state["reachable"]:
            if name in governed:
                raise Unobserved(f"whether {name} would keep its keys over a restart ({state['error'] or 'no reason given'})")
            continue
        try:
            now, then = running_setting(state, "appendonly"), persisted_setting(state, "appendonly")
        except Unobserved as doubt:
            if name in governed:
                raise Unobserved(f"whether {name} would keep its keys over a restart: {doubt}") from None
            continue
        if now == "no" and then == "yes":
            found.append(f"{name}: AOF is off while it runs and on at its next start, which would load nothing, or what is stale: {_MEND}")
        elif now == "yes" and then == "no":
            found.append(f"{name}: AOF is on while it runs and off at its next start, which would load its last dump: {_MEND}")
    return tuple(found)
