"""What a Redis holds of a stream besides its entries: consumer groups, how far each has read, and what its consumers have not acknowledged.

Rules:
- Of a group name, last delivered id and how many entries are pending; of a consumer with pending entries their number. Others have nothing to lose,
  and one that never got an entry is in no append-only file.
- How many entries a group has read in all is not among it: a server that loads its append-only file does not know (tried, 7.0.15).
- Consumers are asked for in so many groups of one stream; of more the groups' own numbers tell.

Source: XINFO GROUPS and XINFO CONSUMERS, Redis 7.0 and 8.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .redis_client import Redis, RedisError

_MOST_GROUPS = 64
_OF_A_GROUP = (b"name", b"last-delivered-id", b"pending")
Group = tuple[Any, ...]


def groups(redis: Redis, keys: Sequence[bytes]) -> dict[bytes, list[Group]]:
    """Return for each stream its groups, sorted: (name, last delivered id, pending, ((consumer, pending), …)).

    Empty for a stream that is gone meanwhile, and for all where this user may not ask. Raises `RedisError` for anything else.
    """
    found = {key: _rows(reply) for key, reply in zip(keys, redis.tried([("XINFO", "GROUPS", key) for key in keys]))}
    asked = [(key, row[b"name"]) for key, rows in found.items() for row in rows[:_MOST_GROUPS] if row[b"pending"]]
    told = zip(asked, redis.tried([("XINFO", "CONSUMERS", key, name) for key, name in asked]))
    consumers = {place: tuple((row[b"name"], row[b"pending"]) for row in _rows(reply) if row[b"pending"]) for place, reply in told}
    return {key: [(*(row[name] for name in _OF_A_GROUP), consumers.get((key, row[b"name"]), ())) for row in rows] for key, rows in found.items()}


def _rows(reply: Any) -> list[dict[bytes, Any]]:
    """Return a reply of flat lists, name after value, as sorted mappings."""
    if isinstance(reply, RedisError):
        if not str(reply).startswith(("NOPERM", "NOGROUP", "WRONGTYPE", "ERR no such key")):
            raise reply
        return []
    return sorted((dict(zip(flat[::2], flat[1::2])) for flat in reply), key=lambda row: bytes(row[b"name"]))
