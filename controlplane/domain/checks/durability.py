"""What PostgreSQL and Redis promise about a crash: as they run, and as they will after a restart.

Source of the defaults: `redis.conf` and PostgreSQL's documentation; a setting that no configuration names has its default after a restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from controlplane.domain.checks.case import Answer, Case, Named, all_or, drifted, met, unknown
from controlplane.domain.checks.landing import is_at_or_below, land
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.evidence_shapes.docker import Container
from controlplane.domain.evidence_shapes.services import PostgresState, RedisState
from controlplane.domain.services import PostgresService, RedisService

_ON = frozenset({"on", "true", "yes", "1", "t", "y", "tr", "tru", "ye"})
_POSTGRES = ("fsync", "full_page_writes")
_NO_AOF = "no append-only file is on disk"


def judge_postgres(case: Case, container: Container, service: PostgresService) -> Answer:
    """Judge fsync and full page writes, running and persisted, and that the server's own data directory is the one that was judged."""
    state = _postgres_state(case, container)
    directory = state["data_directory"]
    if not directory:
        raise Unobserved(f"{container['name']}: PostgreSQL did not say its data directory")
    problems = []
    if land(case, container, directory).mount != land(case, container, service.data).mount:
        apart = f"which is mounted apart from {service.data}" if is_at_or_below(directory, service.data) else f"not below {service.data}"
        problems.append(f"PostgreSQL keeps its data in {directory}, {apart}")
    durability = service.durability
    for setting, wanted in zip(_POSTGRES, (durability.fsync, durability.full_page_writes), strict=True):
        problems += _postgres_setting(state, setting) if wanted else []
    return drifted("; ".join(problems), "high") if problems else met("fsync and full_page_writes as declared, running and persisted")


def is_durable_postgres(reader: Reader, name: str) -> bool:
    """Say whether a PostgreSQL is seen to run with fsync and full page writes, and to keep them."""
    state = reader.postgres.get(name)
    return state is not None and all(seen.get(key) == "on" for seen in (state["running"], state["persisted"]) for key in _POSTGRES)


def _postgres_state(case: Case, container: Container) -> PostgresState:
    name = container["name"]
    state = case.reader.postgres.get(name)
    if state is None or not state["reachable"]:
        why = "it was not asked" if state is None else state["error"] or "no reason given"
        raise Unobserved(f"{name}: PostgreSQL's settings could not be read ({why if container['running'] else 'the container does not run'})")
    return state


def _postgres_setting(state: PostgresState, setting: str) -> list[str]:
    running = state["running"].get(setting)
    if running is None:
        raise Unobserved(f"PostgreSQL did not say {setting}")
    problems = [] if running.lower() in _ON else [f"{setting} is {running} while running"]
    persisted = state["persisted"].get(setting, "on")
    if persisted.strip("'\"").lower() not in _ON:
        problems.append(f"{setting} is {persisted} in its configuration")
    return problems


def judge_redis(case: Case, container: Container, service: RedisService) -> Answer:
    """Judge the declared settings, running and persisted, and that the append-only file is really there."""
    state = _redis_state(case, container)
    wanted = wanted_settings(service)
    problems = []
    for setting, value in wanted.items():
        running, persisted = running_setting(state, setting), persisted_setting(state, setting)
        problems += [f"{setting} is {_shown(running)} while running, declared {_shown(value)}"] if running != value else []
        problems += [f"{setting} is {_shown(persisted)} in {state['persisted_from']}, declared {_shown(value)}"] if persisted != value else []
    if wanted.get("appendonly") == "yes":
        problems += _append_only_file(state)
    elif wanted.get("appendonly") == "no" and state["aof_files"] and running_setting(state, "appendonly") == "no":
        problems.append("append-only files of an earlier life lie in its data")
    return drifted("; ".join(problems), "high") if problems else met("durability as declared, running and persisted")


def _redis_state(case: Case, container: Container) -> RedisState:
    name = container["name"]
    state = case.reader.redis.get(name)
    if state is None or not state["reachable"]:
        why = "it was not asked" if state is None else state["error"] or "no reason given"
        raise Unobserved(f"{name}: Redis's settings could not be read ({why if container['running'] else 'the container does not run'})")
    return state


def wanted_settings(service: RedisService) -> dict[str, str]:
    """Return the settings that a policy declares, as Redis spells them."""
    durability = service.durability
    wanted: dict[str, str] = {}
    if durability.appendonly is not None:
        wanted["appendonly"] = "yes" if durability.appendonly else "no"
    if durability.appendfsync is not None:
        wanted["appendfsync"] = durability.appendfsync
    if durability.save is not None:
        wanted["save"] = durability.save
    return wanted


def running_setting(state: RedisState, setting: str) -> str:
    """Return a setting as it runs. Raises `Unobserved`."""
    value = state["running"].get(setting)
    if value is None:
        raise Unobserved(f"Redis did not say {setting}")
    return " ".join(value.split())


def persisted_setting(state: RedisState, setting: str) -> str:
    """Return a setting as it will be after a restart. Raises `Unobserved`."""
    if state["persisted_from"] is None:
        raise Unobserved("where Redis reads its settings from is not known")
    value = state["persisted"].get(setting)
    if value is not None:
        return " ".join(value.strip("'\"").split())
    if setting == "save":
        return "900 1 300 10 60 10000" if redis_major(state) < 7 else "3600 1 300 100 60 10000"
    return {"appendonly": "no", "appendfsync": "everysec"}[setting]


def redis_major(state: RedisState) -> int:
    """Return the first number of its version. Raises `Unobserved`."""
    major = (state["version"] or "").partition(".")[0]
    if not major.isdigit():
        raise Unobserved("Redis did not say its version")
    return int(major)


def _append_only_file(state: RedisState) -> list[str]:
    """Demand the file itself: the status reads ok during the first rewrite already."""
    info = state["info"]
    missing = [
        key for key in ("aof_rewrite_in_progress", "aof_rewrite_scheduled", "aof_last_bgrewrite_status", "aof_last_write_status") if key not in info
    ]
    if missing:
        raise Unobserved(f"Redis did not say {', '.join(missing)}")
    problems = [f"{key} is {info[key]}" for key in ("aof_last_bgrewrite_status", "aof_last_write_status") if info[key] != "ok"]
    files = state["aof_files"]
    # From 7 on a directory with a manifest, before that one file.
    if any(name.endswith(".manifest") for name in files) if redis_major(state) >= 7 else files:
        return problems
    if info["aof_rewrite_in_progress"] != "0" or info["aof_rewrite_scheduled"] != "0":
        raise Unobserved("Redis is writing its first append-only file; ask again when it is done")
    return [*problems, _NO_AOF]


def _shown(value: str) -> str:
    return value or '""'


def running_and_persisted(case: Case) -> Sequence[Named]:
    """Without a policy: name the databases whose durability is off, or differs once they restart."""
    found = []
    for name, container in case.containers.items():
        redis = partial(_redis_contradiction, case, container) if name in case.reader.redis else None
        postgres = partial(_postgres_contradiction, case, container) if name in case.reader.postgres else None
        for kind, ask in (("redis", redis), ("service", postgres)):
            if ask is None:
                continue
            try:
                problems = ask()
            except Unobserved as doubt:
                found.append(Named(f"{kind}:{name}", unknown(str(doubt))))
                continue
            found.append(Named(f"{kind}:{name}", drifted("; ".join(problems), "high") if problems else met("durable settings run and persist alike")))
    return all_or("service:*", found, "no PostgreSQL or Redis was found")


def _redis_contradiction(case: Case, container: Container) -> list[str]:
    state = _redis_state(case, container)
    pairs = [(setting, running_setting(state, setting), persisted_setting(state, setting)) for setting in ("appendonly", "appendfsync", "save")]
    return [
        f"{setting} is {_shown(now)} while running and {_shown(then)} in {state['persisted_from']}" for setting, now, then in pairs if now != then
    ]


def _postgres_contradiction(case: Case, container: Container) -> list[str]:
    state = _postgres_state(case, container)
    return [problem for setting in _POSTGRES for problem in _postgres_setting(state, setting)]
