"""What clients can have done to a Redis' keys since it started, by the calls that it counts: how many they can have written, read or removed.

Rules:
- A script's calls are counted by themselves. A command of which the server does not say what it does may be any.
- To read is not to write: by its own flags a command does the one or the other.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .redis_client import Redis, RedisError

# A call of these can explain one key that is gone, a call of those any number. A script is in neither: what it calls is counted by itself.
_REMOVING_ALL = frozenset(["flushall", "flushdb", "swapdb"])
# A time that is over in EXPIRE, GETEX or RESTORE removes the key and counts as no expiry; SORT … STORE of nothing removes its destination.
_REMOVING_WORDS = (
    "del unlink getdel rename renamenx move spop srem lpop rpop lmpop blpop brpop blmpop rpoplpush lmove blmove hdel zrem zpopmin "
    "zpopmax zmpop bzpopmin bzpopmax zremrangebyscore zremrangebyrank zremrangebylex expire pexpire expireat pexpireat restore sinterstore "
    "sdiffstore sunionstore zinterstore zunionstore zdiffstore zrangestore georadius geosearchstore bitop hgetdel hexpire hpexpire hexpireat "
    "hpexpireat migrate getex ltrim lrem smove sort"
)
_REMOVING = frozenset(_REMOVING_WORDS.split())
# These write more keys than one in a call; a module's own may.
_WRITING_ALL = frozenset(["mset", "msetnx", "msetex", *_REMOVING_ALL])
_WRITING_TWO = frozenset(["smove", "rpoplpush", "brpoplpush", "lmove", "blmove"])
# Read-only by its flags, and it keeps what it counted in the value.
_WRITING_HIDDEN = frozenset(["pfcount"])
# Read-only ones that leave no trace of having worked on a key.
_TRACELESS = frozenset(["type", "exists", "ttl", "pttl", "expiretime", "pexpiretime", "object", "memory"])
_FOR_ANY = 1 << 62


def calls(redis: Redis) -> dict[str, int]:
    """Return {command: calls} since the server started."""
    found: dict[str, int] = {}
    for name, value in redis.info("commandstats").items():
        command = name.removeprefix("cmdstat_").partition("|")[0].lower()
        found[command] = found.get(command, 0) + int(value.partition("calls=")[2].partition(",")[0] or 0)
    return found


class Done(NamedTuple):
    """How many keys clients can have written, and whether they read any."""

    writes: int
    has_reads: bool


def done(redis: Redis, before: dict[str, int], *, own: int) -> Done:
    """Return what clients can have done by now; `before` are the calls before this program read every key itself, with `own` calls."""
    now = calls(redis)
    flags = _flags(redis, list(now))
    reads = [sum(number for name, number in served.items() if _reads(name, flags.get(name, set()))) for served in (before, now)]
    return Done(sum(_written(name, number, flags[name]) for name, number in now.items()), reads[0] > 0 or reads[1] - reads[0] > own)


def _flags(redis: Redis, names: list[str]) -> dict[str, set[str] | None]:
    """Return what each command does with keys by its own flags, None where this server or this user's rights do not tell."""
    try:
        rows = redis.ask("COMMAND", "INFO", *names) if names else []
    except RedisError:
        rows = [None] * len(names)
    found: dict[str, set[str] | None] = {}
    for name, row in zip(names, rows):
        flags = None if row is None else {flag.decode() for flag in [*row[2], *_of_its_parts(row)]}
        # Without a first key it works on none: SCAN, DBSIZE, PING and the like.
        found[name] = set() if flags is not None and not row[3] and not flags & {"write", "movablekeys"} else flags
    return found


def _of_its_parts(row: list[Any]) -> list[bytes]:
    """Return the flags of those parts of a command that have a key of their own: XGROUP says nothing of itself, and XGROUP DESTROY writes."""
    return [flag for part in (row[9] if len(row) > 9 else []) if part[3] for flag in part[2]]


def _written(name: str, number: int, flags: set[str] | None) -> int:
    """Return how many keys those calls of a command can have written."""
    if not number or (flags is not None and "write" not in flags and name not in _WRITING_HIDDEN):
        return 0
    return _FOR_ANY if flags is None or name in _WRITING_ALL or "." in name else number * (2 if name in _WRITING_TWO else 1)


def _reads(name: str, flags: set[str] | None) -> bool:
    """Say whether a command can have worked on a key without writing it."""
    return flags is None or ("readonly" in flags and name not in _TRACELESS)


def removals(redis: Redis) -> int:
    """Return how many keys clients, expiries and evictions can have removed since the server started."""
    served = calls(redis)
    if any(served.get(name) for name in _REMOVING_ALL):
        return _FOR_ANY
    seen = redis.info("stats")
    return sum(served.get(name, 0) for name in _REMOVING) + int(seen.get("evicted_keys", "0")) + int(seen.get("expired_keys", "0"))
