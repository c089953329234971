"""Settings and ACL users that a Redis has only while it runs: what its next start would forget, before; and what it forgot, after.

Rules:
- Refused before is what is sure: a user that nothing names which a start reads, or with other passwords there; a setting of those that durability,
  memory and replication hang on, whose value at the next start is known and another. All else is told by name afterwards.
- Values of secrets are in no sentence. What is noted until afterwards is a digest for each name, with a salt that is made anew each time: a user's
  line has the plain hashes of its passwords.

Source: Redis 7.0 and 8.0, redis.conf, config.c and acl.c.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Collection, Iterable
from contextlib import closing
from typing import Any

from . import inside, redis_rest, redis_told
from .docker_engine import Engine
from .faults import FailedFault, RefusedFault
from .redis_client import Redis, RedisError
from .redis_rest import Inspection
from .redis_server import Login, Server

# As a server of 7.0 or newer has them where nobody names them.
_DEFAULTS = {
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
    "save": "3600 1 300 100 60 10000",
    "appendonly": "no",
    "appendfsync": "everysec",
    "no-appendfsync-on-rewrite": "no",
    "appendfilename": "appendonly.aof",
    "appenddirname": "appendonlydir",
    "dbfilename": "dump.rdb",
    "auto-aof-rewrite-percentage": "100",
    "auto-aof-rewrite-min-size": "64mb",
    "stop-writes-on-bgsave-error": "yes",
    "notify-keyspace-events": "",
    "min-replicas-to-write": "0",
    "replicaof": "",
    "masteruser": "",
    "masterauth": "",
    "requirepass": "",
    "hz": "10",
}
_SECRET = frozenset(["requirepass", "masterauth"])
_SIZES = frozenset(["maxmemory", "auto-aof-rewrite-min-size"])
_WORDS = _SIZES | {"maxmemory-policy", "appendonly", "appendfsync", "no-appendfsync-on-rewrite", "stop-writes-on-bgsave-error"}
_SAVE_OF_6 = "900 1 300 10 60 10000"
_UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1 << 10, "m": 10**6, "mb": 1 << 20, "g": 10**9, "gb": 1 << 30}
# It takes any, and keeps to these.
_LEAST_HZ, _MOST_HZ = 1, 500
_ALL_EVENTS = "g$lshzxetd"
# What a default user may whom nobody named; of channels Redis 6.0 knows nothing, and one that is kept from some has other rules besides.
_ALL_RIGHTS = frozenset(["on", "~*", "+@all"])
_NO_LIMIT = frozenset(["nopass", "sanitize-payload", "&*"])
_OLD = re.compile("slave|ziplist|^lua-time-limit$")
_DIGEST, _PORT = 16, 6379
_OLDEST_WITH_USERS = 6
# Whoever stops a server asks for this by itself, of one that nobody may log in to as well (redis_rest.py).
_OF_ITS_FILE = ("appendonly",)


def forgotten(server: Server, *, leaving: Collection[str], anew: bool) -> list[str]:
    """Return one sentence for each thing that the next start is sure to forget; settings named in `leaving` are seen to elsewhere.

    `anew`: the container's own layer goes with it, and what was changed in it.
    """
    try:
        users = _users(server.redis)
    except RedisError as fault:
        why = str(fault).partition(" ")[0]
        said = f"its ACL users can't be listed ({why}), so whether a start would forget one is not known"
        return [f"{said}: allow its user 'acl list', or name another one (policy.yml, auth)"]
    return _forgotten(server, users, leaving=leaving, anew=anew)


def _forgotten(server: Server, users: dict[str, list[str]], *, leaving: Collection[str], anew: bool) -> list[str]:
    told = _told(server, anew=anew)
    return [*_users_forgotten(server, users, told, anew=anew), *(_settings_forgotten(server, told, leaving) if told is not None else [])]


def noted(redis: Redis) -> dict[str, Any]:
    """Return {salt, users, settings}: of each by its name a digest of what it is now. Raises `RedisError`."""
    salt = secrets.token_bytes(16)
    return {"salt": salt.hex(), **_digests(redis, salt)}


def lost_since(note: dict[str, Any], redis: Redis, *, leaving: Collection[str]) -> dict[str, list[str]]:
    """Return {users, settings}: the names of those that are gone or others since that note, without what is in `leaving`. Raises `RedisError`."""
    now = _digests(redis, bytes.fromhex(note["salt"]))
    found = {kind: sorted(name for name, digest in note[kind].items() if now[kind].get(name) != digest) for kind in ("users", "settings")}
    found["settings"] = [name for name in found["settings"] if name not in leaving]
    return {kind: names for kind, names in found.items() if names}


def _digests(redis: Redis, salt: bytes) -> dict[str, dict[str, str]]:
    def digest(text: str) -> str:
        return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), key=salt, digest_size=_DIGEST).hexdigest()

    users = {_shown(name): digest(" ".join(rules)) for name, rules in _users(redis).items()}
    # A name from before has the value of the one that replaced it.
    settings = {name: digest(value) for name, value in redis.settings(["*"]).items() if not _OLD.search(name)}
    return {"users": users, "settings": settings}


def _users(redis: Redis) -> dict[str, list[str]]:
    """Return each user's rules by its name. Raises `RedisError`."""
    try:
        told = redis.ask("ACL", "LIST")
    except RedisError:
        if int(redis.info("server").get("redis_version", "").partition(".")[0] or _OLDEST_WITH_USERS) < _OLDEST_WITH_USERS:
            return {}
        raise
    lines = [bytes(line).decode("utf-8", "surrogateescape") for line in told]
    return redis_told.of_aclfile("\n".join(lines))


def _told(server: Server, *, anew: bool) -> redis_told.Told | None:
    config = server.inspection["Config"]
    environment = dict(str(pair).partition("=")[::2] for pair in config.get("Env") or [])
    command = [str(word) for word in (server.inspection["Path"], *(server.inspection.get("Args") or []))]

    def read(path: str) -> bytes:
        if anew and server.is_written_in_layer(path):
            raise FileNotFoundError(path)
        try:
            return inside.read(server.pid, path)
        except FailedFault as fault:
            raise ValueError(str(fault)) from fault

    return redis_told.told(command, environment, str(config.get("WorkingDir") or "/"), read)


def _users_forgotten(server: Server, users: dict[str, list[str]], told: redis_told.Told | None, *, anew: bool) -> list[str]:
    """Say which users are in nothing that a start reads. Where they would be is known of the server itself, which can't change it while it runs."""
    path = _aclfile(server.redis)
    if path:
        place = os.path.normpath(os.path.join(server.redis.settings(["dir"])["dir"], path))
        if anew and server.is_written_in_layer(place):
            return [
                f"its ACL users are in {place}, which was written in its own layer and goes with it: put that file on a mount (aclfile), then plan again"
            ]
        try:
            named = redis_told.of_aclfile(inside.read(server.pid, place).decode("utf-8", "surrogateescape"))
        except (OSError, FailedFault) as fault:
            return [f"its ACL users are in {place}, which can't be read ({fault}), so whether a start would forget one is not known"]
        mend = "'redis-cli acl save' writes them there"
    elif told is None:
        # A script says what it starts with; that it names none of them can't be known.
        return []
    else:
        named, mend = (
            told.users,
            "write its line of 'redis-cli acl list' as a 'user' line into its configuration file or command, or give it an aclfile",
        )
    found = []
    for name, rules in users.items():
        if name not in named and name != "default":
            found.append(f"its ACL user {_shown(name)} is in nothing that a start reads, and would be gone: {mend}")
        elif name in named and _login(rules) != _login(named[name]):
            found.append(f"its ACL user {_shown(name)} logs in otherwise than a start would let it: {mend}")
        elif name not in named and _rights(rules) != _ALL_RIGHTS:
            found.append(f"its ACL user default was limited while it runs, and a start would not: {mend}")
    return found


def _aclfile(redis: Redis) -> str:
    return redis.settings(["aclfile"]).get("aclfile", "")


def _login(rules: list[str]) -> tuple[bool, frozenset[str]]:
    """Return whether rules let somebody in, and with which passwords' hashes; "nopass" is one that any is."""
    is_on, held = False, set[str]()
    for written in rules:
        kind, rest, rule = written[:1], written[1:], written.lower()
        if rule in ("on", "off"):
            is_on = rule == "on"
        elif rule in ("nopass", "resetpass", "reset"):
            is_on, held = is_on and rule != "reset", {"nopass"} if rule == "nopass" else set()
        elif kind in (">", "#", "<", "!"):
            digest = rest if kind in ("#", "!") else hashlib.sha256(rest.encode("utf-8", "surrogateescape")).hexdigest()
            held = (held - {"nopass"}) | {digest} if kind in (">", "#") else held - {digest}
    return is_on, frozenset(held)


def _rights(rules: list[str]) -> frozenset[str]:
    return frozenset(rule for rule in rules if rule not in _NO_LIMIT and not rule.startswith("#"))


def _settings_forgotten(server: Server, told: redis_told.Told, leaving: Collection[str]) -> list[str]:
    redis = server.redis
    now = redis.settings([name for name in (*_DEFAULTS, "dir") if name not in leaving])
    # Without one that is told it is where the server was started.
    later = {**_DEFAULTS, **({"dir": ""} if told.settings.get("dir", "").startswith("/") else {})}
    found = []
    for name, default in later.items():
        is_a_users = name == "requirepass" and ("default" in told.users or _aclfile(redis))
        then = told.settings.get(name, default)
        if name not in now or is_a_users or _plain(name, now[name]) == _plain(name, then):
            continue
        if name == "save" and name not in told.settings and now[name] == _SAVE_OF_6:
            continue
        if name == "dir" and _is_same(server.pid, now[name], then):
            continue
        if name == "replicaof" and redis.settings(["cluster-enabled"]).get("cluster-enabled") == "yes":
            # A cluster's own file has it, which every start reads.
            continue
        found.append(name if name in _SECRET else f"{name} ({now[name] or 'empty'}, at its next start {then or 'empty'})")
    mend = "persist that first (its configuration file, or its command), or set it back"
    return [f"{', '.join(found)} was set while it runs, and a start would forget it: {mend}"] if found else []


def _plain(name: str, value: str) -> str:
    """Return a value as the server itself would write it, whichever way it was told (config.c, `memtoull` in util.c, notify.c)."""
    if name in _WORDS:
        value = value.lower()
    if name in ("save", "replicaof"):
        value = " ".join(str(int(word)) if word.isdecimal() else word for word in value.split())
    if name == "replicaof" and value.lower() == "no one":
        return ""
    if name == "dir":
        return os.path.normpath(value)
    if name == "hz" and value.isdecimal():
        return str(min(max(int(value), _LEAST_HZ), _MOST_HZ))
    if name == "notify-keyspace-events":
        classes = set(value.replace("A", _ALL_EVENTS))
        # With all of the others it does not tell of new keys.
        return "".join(sorted(classes - {"n"} if classes.issuperset(_ALL_EVENTS) else classes))
    size = re.fullmatch(r"(\d+)([a-z]*)", value) if name in _SIZES else None
    return str(int(size[1]) * _UNITS[size[2]]) if size and size[2] in _UNITS else value


def _is_same(pid: int, one: str, other: str) -> bool:
    """Say whether both are one folder of the container: the server names its own without the links on the way there."""
    try:
        with inside.opened(pid, one, os.O_PATH) as first, inside.opened(pid, other, os.O_PATH) as second:
            return os.path.sameopenfile(first, second)
    except OSError:
        return False


def _shown(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")[:80]


def at_risk(containers: Iterable[Inspection], engine: Engine | None = None) -> list[str]:
    """Return what a stop and a start make each Redis forget, of those that tell it to who has what their own containers have; others tell nothing."""
    found = []
    for held in redis_rest.servers(containers):
        try:
            server = Server(held.name, Login(), _PORT, None, engine)
        except (FailedFault, RefusedFault, OSError):
            continue
        with closing(server.redis):
            try:
                sentences = _forgotten(server, _users(server.redis), leaving=_OF_ITS_FILE, anew=False)
            except (FailedFault, OSError):
                # It lets one in, and tells that one nothing of itself.
                continue
        found += [f"{held.name}: {sentence}" for sentence in sentences]
    return found
