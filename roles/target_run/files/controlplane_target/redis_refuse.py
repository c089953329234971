"""What speaks against making a Redis durable, and what would be done to it; nothing is changed by asking."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from . import redis_live, redis_persist
from .faults import FailedFault, RefusedFault
from .redis_server import Server

if TYPE_CHECKING:
    from .redis_request import Request

_OLDEST = 7


def refuse(request: Request) -> dict[str, Any]:
    """Return what is to be done ({running, leftover, persist}). Raises `RefusedFault` with all that speaks against it."""
    try:
        server = request.server()
    except FailedFault as fault:
        raise RefusedFault(f"redis_aof refused: {fault}. Nothing was changed.") from fault
    with closing(server.redis):
        running = server.redis.settings(request.order())
        found = _objections(server)
        leftover = server.aof_names() if running.get("appendonly", "yes") == "no" else []
        try:
            persist = redis_persist.planned(server, request)
        except RefusedFault as fault:
            found.append(str(fault).removesuffix(" Nothing was changed."))
            persist = None
        if persist is not None and persist["anew"]:
            found += redis_live.forgotten(server, leaving=request.settings, anew=True)
    if found:
        raise RefusedFault(f"redis_aof refused for {request.container}: {'; '.join(found)}. Nothing was changed.")
    differing = {name: value for name, value in request.settings.items() if running[name] != value}
    return {"running": differing, "leftover": leftover, "persist": persist, "pending": bool(differing or persist)}


def _objections(server: Server) -> list[str]:
    redis, found = server.redis, []
    version = redis.info("server").get("redis_version", "")
    if not version.partition(".")[0].isdigit() or int(version.partition(".")[0]) < _OLDEST:
        found.append(
            f"it is Redis {version or 'of no version'}, and only {_OLDEST}.0 and newer are known here: turn AOF on by hand, as its manual says"
        )
    seen = redis.info("persistence")
    if seen.get("loading", "0") != "0":
        found.append("it is still loading its data: wait for it")
    if redis.info("replication").get("role") != "master":
        found.append("it is a replica, whose data comes from its master: do it there first, then make this one's policy its own")
    if lacking := server.lacking_rights():
        found.append(f"its user may not run {', '.join(lacking)}, which this needs: allow them, or name another user (policy.yml, auth)")
    return found
