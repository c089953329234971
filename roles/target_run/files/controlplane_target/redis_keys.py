"""Say of every key what it holds, so that two moments can be compared: type, value whatever its encoding, and when it expires.

Rules:
- A digest a key, of the value's own order where the type has one: what a server writes for a set or a hash after loading may be ordered anew.
- Of a stream its consumer groups as well (redis_streams.py).
- Expiry is the absolute time in milliseconds, which a restart keeps; from Redis 7.4 on fields of a hash have one as well.
- What differs between two moments is either explained (it expired, or clients wrote since, and worked on it) or told by name.
- That somebody worked on a key may be a mere read. Redis counts calls, not keys: without a call that writes nothing is explained, and with reads besides it
  is not known which of both a key had.
"""

from __future__ import annotations

import hashlib
import re
import time
from typing import Any, NamedTuple

from . import redis_calls, redis_streams
from .redis_client import Redis, RedisError

_BATCH, _FOR_EVER = 200, 1 << 31
_MOST_NAMES = 20
# From so many on, and more than so large a share, that clients explain them is no certainty: a counted call need not have removed a key.
_MANY_GONE, _SHARE_GONE = 10, 100


class Held(NamedTuple):
    """One key: `digest` of type and value, `expiry` in ms of the epoch or -1, `idle` seconds; of a hash `fields` that expire, (when, digest), not in `digest`."""

    digest: bytes
    expiry: int
    idle: int
    fields: tuple[tuple[int, bytes], ...] = ()

    def left(self, now_ms: int) -> list[tuple[int, bytes]]:
        """Return the fields whose time is not over."""
        return [field for field in self.fields if field[0] > now_ms]

    def is_over(self, now_ms: int) -> bool:
        """Say whether time alone has removed it: its own, or that of the last of its fields."""
        return 0 < self.expiry <= now_ms or bool(self.fields and not self.left(now_ms) and self.digest == _digest(b"hash", []))


Table = dict[int, dict[bytes, Held]]


def counts(redis: Redis) -> dict[int, int]:
    """Return {database: number of keys}."""
    found = {}
    for name, value in redis.info("keyspace").items():
        if name.startswith("db") and name[2:].isdigit():
            found[int(name[2:])] = int(value.partition("keys=")[2].partition(",")[0])
    return found


def table(redis: Redis, *, limit_s: float = float("inf")) -> Table | None:
    """Return None where it takes longer than `limit_s`, else {database: {key: what it holds}} of all that is there."""
    found: Table = {}
    fields = _fields_expire(redis)
    end = time.monotonic() + limit_s
    for database in sorted(counts(redis)):
        redis.ask("SELECT", str(database))
        held: dict[bytes, Held] = {}
        cursor = b"0"
        while True:
            cursor, keys = redis.ask("SCAN", cursor, "COUNT", str(_BATCH))
            held.update(_read(redis, [key for key in keys if key not in held], fields=fields))
            if cursor == b"0":
                break
            if time.monotonic() > end:
                return None
        found[database] = held
    redis.ask("SELECT", "0")
    return found


def _fields_expire(redis: Redis) -> bool:
    """Say whether fields of hashes may expire there, and this user may ask when."""
    counted = re.findall(r"(?:subexpiry|keys_with_volatile_items)=([0-9]+)", " ".join(redis.info("keyspace").values()))
    if counted and not any(int(number) for number in counted):
        # Asked for each hash all the same, it would take as long as reading them.
        return False
    try:
        redis.ask("HPEXPIRETIME", "x", "FIELDS", "1", "x")
    except RedisError as fault:
        return str(fault).startswith("WRONGTYPE")
    return True


def _read(redis: Redis, keys: list[bytes], *, fields: bool) -> dict[bytes, Held]:
    if not keys:
        return {}
    kinds = redis.ask_all([("TYPE", key) for key in keys])
    asked = [(key, kind) for key, kind in zip(keys, kinds) if kind != b"none"]
    # Before the values: to read one is to work on it.
    idle = _idle(redis, [key for key, _ in asked])
    values = redis.ask_all([_reading(kind, key) for key, kind in asked])
    groups = redis_streams.groups(redis, [key for key, kind in asked if kind == b"stream"])
    values = [[value, groups[key]] if key in groups else value for (key, _), value in zip(asked, values)]
    names = {key: value[::2] for (key, kind), value in zip(asked, values) if fields and kind == b"hash" and value}
    expire = dict(zip(names, redis.ask_all([("HPEXPIRETIME", key, "FIELDS", str(len(held)), *held) for key, held in names.items()])))
    expiries = redis.ask_all([("PEXPIRETIME", key) for key, _ in asked])
    rows = zip(asked, values, expiries, idle)
    return {key: _held(kind, value, expire.get(key), int(expiry), seconds) for (key, kind), value, expiry, seconds in rows if expiry != -2}


def _held(kind: bytes, value: Any, expire: list[int] | None, expiry: int, idle: int) -> Held:
    """Return what a key holds; `expire` says of each field of a hash when, -1 for never, -2 for one that has since."""
    if expire is None:
        return Held(_digest(kind, value), expiry, idle)
    each = list(zip(value[::2], value[1::2], expire))
    lasting = [part for name, content, at in each if at == -1 for part in (name, content)]
    fields = sorted((at, _digest(b"field", [name, content])) for name, content, at in each if at >= 0)
    return Held(_digest(kind, lasting), expiry, idle, tuple(fields))


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


def compared(before: Table | None, counted: dict[int, int], redis: Redis) -> dict[str, Any]:
    """Return {equal, expired, changed, unknown, gone, lost, names}: how the keys from before fare in the server that started since.

    Without a table only numbers are known. Changed is explained by a client that worked on that key, and by as many calls that write; unknown, where that
    may have been one that only read. Gone is explained by as many calls that remove keys, expiries and evictions as the server counts; what nothing
    explains is lost, and some of it is named.
    """
    # Before this reads every key itself.
    served = redis_calls.calls(redis)
    after = table(redis) if before is not None else None
    told: dict[str, Any] = {"equal": 0, "expired": 0, "changed": 0, "unknown": 0, "gone": 0, "lost": 0, "names": [], "touched": []}
    gone: list[str] = []
    if before is None or after is None:
        now = counts(redis)
        missing = sum(max(0, count - now.get(database, 0)) for database, count in counted.items())
    else:
        missing = _judged(before, after, redis, told, gone)
        _explain(told, served, redis, own=sum(len(held) for held in after.values()))
    explained = min(missing, redis_calls.removals(redis))
    told["gone"] += explained
    told["lost"] += missing - explained
    told["names"] = (told["names"] + told.pop("touched") + (gone if missing > explained else []))[:_MOST_NAMES]
    return told


def doubtful(keys: dict[str, Any]) -> bool:
    """Say of how keys fared (`compared`, with their number `before`) whether the dump from before is still needed: keys lost, or too many gone."""
    gone = int(keys.get("gone") or 0)
    return bool(keys.get("lost")) or (gone >= _MANY_GONE and gone * _SHARE_GONE > int(keys.get("before") or 0))


def _judged(before: Table, after: Table, redis: Redis, told: dict[str, Any], gone: list[str]) -> int:
    """Count into `told` how each key fares (`changed` is what somebody worked on), name those that are not there in `gone`, and return their number."""
    since_s = int(redis.info("server")["uptime_in_seconds"])
    seconds, micros = redis.ask("TIME")
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    for database, held in before.items():
        there = after.get(database, {})
        for key, was in held.items():
            now, name = there.get(key), f"db{database} {key.decode('utf-8', 'backslashreplace')[:80]}"
            if now is not None and now[:2] == was[:2] and now.left(now_ms) == was.left(now_ms):
                told["equal" if was.left(now_ms) == list(was.fields) else "expired"] += 1
            elif now is None and was.is_over(now_ms):
                told["expired"] += 1
            elif now is None:
                gone.append(name)
            elif now.idle < since_s - 1:
                told["changed"] += 1
                told["touched"].append(name)
            else:
                told["lost"] += 1
                told["names"].append(name)
    return len(gone)


def _explain(told: dict[str, Any], served: dict[str, int], redis: Redis, *, own: int) -> None:
    """Let as many of the keys that differ, and that somebody worked on, be changed as clients can have written; unknown where they read as well.

    `served` are the calls before this read every key itself, with `own` calls.
    """
    worked = told["changed"]
    if not worked:
        return
    done = redis_calls.done(redis, served, own=own)
    explained = min(worked, done.writes)
    told["changed"], told["unknown"] = (0, explained) if done.has_reads else (explained, 0)
    told["lost"] += worked - explained
    if worked == explained:
        told["touched"].clear()
