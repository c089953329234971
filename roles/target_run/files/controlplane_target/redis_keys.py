"""Say of every key what it holds, so that two moments can be compared: type, value whatever its encoding, and when it expires.

Rules:
- A digest a key, of the value's own order where the type has one: what a server writes for a set or a hash after loading may be ordered anew.
- Expiry is the absolute time in milliseconds, which a restart keeps.
- What differs between two moments is either explained (it expired, or a client worked on it since) or told by name.
"""

from __future__ import annotations

import hashlib
from typing import Any

from .redis_client import Redis, RedisError

_BATCH, _FOR_EVER = 1000, 1 << 31
# A client that deletes, renames or overwrites can explain a key that is gone.
_REMOVING_WORDS = (
    "del unlink getdel rename renamenx flushdb flushall move spop srem lpop rpop lmpop blpop brpop blmpop rpoplpush lmove blmove hdel zrem zpopmin "
    "zpopmax zmpop bzpopmin bzpopmax zremrangebyscore zremrangebyrank zremrangebylex expire pexpire expireat pexpireat restore sinterstore "
    "sdiffstore sunionstore eval evalsha fcall getex ltrim lrem xtrim smove copy sort"
)
_REMOVING = frozenset(_REMOVING_WORDS.split())
Held = tuple[bytes, int, int]
Table = dict[int, dict[bytes, Held]]


def counts(redis: Redis) -> dict[int, int]:
    """Return {database: number of keys}."""
    found = {}
    for name, value in redis.info("keyspace").items():
        if name.startswith("db") and name[2:].isdigit():
            found[int(name[2:])] = int(value.partition("keys=")[2].partition(",")[0])
    return found


def table(redis: Redis) -> Table:
    """Return {database: {key: (digest of type and value, expiry in ms of the epoch or -1, seconds idle)}} of all that is there."""
    found: Table = {}
    for database in sorted(counts(redis)):
        redis.ask("SELECT", str(database))
        held: dict[bytes, Held] = {}
        cursor = b"0"
        while True:
            cursor, keys = redis.ask("SCAN", cursor, "COUNT", str(_BATCH))
            held.update(_read(redis, [key for key in keys if key not in held]))
            if cursor == b"0":
                break
        found[database] = held
    redis.ask("SELECT", "0")
    return found


def _read(redis: Redis, keys: list[bytes]) -> dict[bytes, Held]:
    if not keys:
        return {}
    kinds = redis.ask_all([("TYPE", key) for key in keys])
    asked = [(key, kind) for key, kind in zip(keys, kinds) if kind != b"none"]
    # Before the values: to read one is to work on it.
    idle = _idle(redis, [key for key, _ in asked])
    values = redis.ask_all([_reading(kind, key) for key, kind in asked])
    expiries = redis.ask_all([("PEXPIRETIME", key) for key, _ in asked])
    rows = zip(asked, values, expiries, idle)
    return {key: (_digest(kind, value), int(expiry), seconds) for (key, kind), value, expiry, seconds in rows if expiry != -2}


def _idle(redis: Redis, keys: list[bytes]) -> list[int]:
    """Return for how many seconds nobody worked on each key. With an LFU policy Redis does not tell: then for ever, and nothing is explained by it."""
    try:
        told = redis.ask_all([("OBJECT", "IDLETIME", key) for key in keys])
    except RedisError:
        return [_FOR_EVER] * len(keys)
    return [_FOR_EVER if seconds is None else int(seconds) for seconds in told]


def _reading(kind: bytes, key: bytes) -> tuple[str | bytes, ...]:
    known: dict[bytes, tuple[str | bytes, ...]] = {
        b"string": ("GET", key),
        b"hash": ("HGETALL", key),
        b"list": ("LRANGE", key, "0", "-1"),
        b"set": ("SMEMBERS", key),
        b"zset": ("ZRANGE", key, "0", "-1", "WITHSCORES"),
        b"stream": ("XRANGE", key, "-", "+"),
    }
    # A module's type has no reading of its own that is the same everywhere.
    return known.get(kind, ("DUMP", key))


def _digest(kind: bytes, value: Any) -> bytes:
    if kind == b"set":
        value = sorted(value)
    elif kind == b"hash":
        value = sorted(zip(value[::2], value[1::2]))
    return hashlib.blake2b(kind + b"\0" + _flat(value), digest_size=16).digest()


def _flat(value: Any) -> bytes:
    """Return a reply as bytes that tell one from another."""
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, (list, tuple)):
        return b"[%s]" % b"".join(_flat(one) for one in value)
    return b"%r" % (value,)


def compared(before: Table, redis: Redis) -> dict[str, Any]:
    """Return {equal, expired, changed, gone, lost: [names]}: how each key of `before` fares in the server that started since.

    Changed and gone are explained by clients that worked on the server since it started; what nobody worked on and differs is lost.
    """
    after = table(redis)
    since_s = int(redis.info("server")["uptime_in_seconds"])
    seconds, micros = redis.ask("TIME")
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    served = {name.removeprefix("cmdstat_").partition("|")[0].lower() for name in redis.info("commandstats") if name.startswith("cmdstat_")}
    may_remove = bool(served & _REMOVING) or redis.info("stats").get("evicted_keys", "0") != "0"
    told: dict[str, Any] = {"equal": 0, "expired": 0, "changed": 0, "gone": 0, "lost": []}
    for database, held in before.items():
        there = after.get(database, {})
        for key, (digest, expiry, _) in held.items():
            now = there.get(key)
            if now is not None and now[:2] == (digest, expiry):
                told["equal"] += 1
            elif now is None and 0 < expiry <= now_ms:
                told["expired"] += 1
            elif now is None and may_remove:
                told["gone"] += 1
            elif now is not None and now[2] < since_s - 1:
                told["changed"] += 1
            else:
                told["lost"].append(f"db{database} {key.decode('utf-8', 'backslashreplace')[:80]}")
    return told
