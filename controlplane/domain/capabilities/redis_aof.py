"""redis.durability: a Redis' append-only file is turned on while it serves, and persisted where its container reads it at the next start.

Rules:
- Live only: a server that starts with AOF on and without such a file starts empty, and its next save overwrites the dump.
- Settings go into the configuration file where that lies on a mount of the container and its command does not override them; else into its
  command in the stack's compose file. With a command the container is made anew once, after the file is on disk; its data must lie on a mount.
- Data that an earlier step of the same plan moves are where the policy wants them by then: there is the room that counts, and there is their mount.
- Append-only files of an earlier life are set aside by name; they are never loaded, and never deleted.
- What drifts is D236's own judgement, so that a plan and its check can't disagree.
"""

from __future__ import annotations

import math
import shlex

from controlplane.domain.capabilities.proposal import NO_DOWNTIME, Capability, Draft, Outlook, Proposal, about
from controlplane.domain.capabilities.root_bounds import mount_of, room_bound
from controlplane.domain.checks.durability import persisted_setting, redis_major, running_setting, wanted_settings
from controlplane.domain.checks.landing import covering, is_at_or_below
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.evidence_shapes.docker import Container
from controlplane.domain.evidence_shapes.services import RedisState
from controlplane.domain.plan import Bound, Change, Downtime, Mend
from controlplane.domain.services import RedisService

ID = "redis.durability"
_OLDEST = 7
# What the role allows for the stop, and for a plain start; then loading (keys a second, measured on two cores, by half).
_STOP_START_S = 60 + 10
_KEYS_PER_S = 50_000
_SHELLS = frozenset(["sh", "bash", "ash", "dash", "env"])
_AND_COMMAND = " and command line"


class _CannotError(Exception):
    """Why one service is left alone, and what a person does about it."""


def _propose(desired: DesiredHost, reader: Reader, outlook: Outlook) -> Proposal:
    drafts: list[Draft] = []
    refusals: list[str] = []
    for name, service in sorted(desired.services.items()):
        if not isinstance(service, RedisService) or not wanted_settings(service) or outlook.docker_comes:
            continue
        try:
            draft = _decide(desired, name, service, (reader, outlook))
        except Unobserved as doubt:
            refusals.append(f"could not be observed: {about(name, doubt)}")
        except _CannotError as reason:
            refusals.append(f"{name}: {reason}")
        else:
            drafts += [draft] if draft is not None else []
    return Proposal(drafts=tuple(drafts), refusals=tuple(refusals))


def _decide(desired: DesiredHost, name: str, service: RedisService, seen: tuple[Reader, Outlook]) -> Draft | None:
    reader, outlook = seen
    container = next((one for one in reader.containers if one["name"] == name), None)
    state = reader.redis.get(name)
    if container is None or state is None:
        raise Unobserved(f"{name}: there is no container of this name")
    if not state["reachable"]:
        raise Unobserved(f"{name}: Redis's settings could not be read ({state['error'] or 'no reason given'})")
    wanted = wanted_settings(service)
    running = {setting: running_setting(state, setting) for setting in wanted}
    persisted = {setting: persisted_setting(state, setting) for setting in wanted}
    live = {setting: value for setting, value in wanted.items() if running[setting] != value}
    kept = {setting: value for setting, value in wanted.items() if persisted[setting] != value}
    if not live and not kept:
        return None
    _refuse_what_is_not_ours(state, wanted)
    # What the container's mounts say by now is over once an earlier step gave its data their place.
    moved = Mend(check="D236", surface=f"service:{name}") in outlook.mended and is_at_or_below(state["dir"] or service.data, service.data)
    route, file = _route(container, state, wanted, service.data if moved else None)
    changes = _changes(name, persisted, (live, kept), f"{file} of {name}" if route == "file" else f"the command of {name} in its compose file")
    if route == "compose" and kept:
        _refuse_unless_remakable(container, state, wanted)
        if not moved:
            _refuse_data_in_the_layer(container, state, service)
        changes.append(Change(kind="recreate", target=f"container {name}", before="as it runs", after="by Compose, from the changed file, once"))
    return Draft(
        mends=(Mend(check="D236", surface=f"redis:{name}"),),
        changes=tuple(changes),
        downtime=Downtime(services=(name,), estimate_s=_downtime(state)) if route == "compose" and kept else NO_DOWNTIME,
        undo="write the dump anew, turn AOF off and set what ran before, put the file back byte for byte; no key is lost",
        room=_room(desired, (container, state), seen, service if moved else None) if "appendonly" in live else (),
        if_short=f"Make room on the disk of {name}'s data, then plan again",
        variables={
            "redis_aof_container": name,
            "redis_aof_settings": wanted,
            "redis_aof_persist": list(kept),
            "redis_aof_route": route,
            "redis_aof_file": file,
            "redis_aof_port": int(state["running"].get("port") or 6379) or 6379,
            "redis_aof_auth": service.auth.model_dump(exclude_none=True, include={"password_env", "user"}) if service.auth else {},
        },
    )


def _refuse_what_is_not_ours(state: RedisState, wanted: dict[str, str]) -> None:
    if wanted.get("appendonly") == "no":
        raise _CannotError("the policy wants AOF off, and this only turns it on: undo the run that did, or set it by hand after a save")
    if redis_major(state) < _OLDEST:
        raise _CannotError(f"it is Redis {state['version']}, and only {_OLDEST}.0 and newer are known here: turn AOF on by hand, as its manual says")
    if state["info"].get("role") != "master":
        raise _CannotError("it is a replica, whose data comes from its master: do it there first")
    if state["running"].get("port") == "0":
        raise _CannotError("it listens on a socket of its file system only, and is asked over the network: set these by hand")


def _route(container: Container, state: RedisState, wanted: dict[str, str], data: str | None) -> tuple[str, str]:
    """Return (route, configuration file as the container sees it or empty); `data` is the path that lies on a mount by then, None if none comes."""
    said = state["persisted_from"] or ""
    file = "" if said == "command line" else said.removesuffix(_AND_COMMAND)
    is_overridden = any(word.lower().split(" ")[0] == f"--{setting}" for word in container["command"] for setting in wanted)
    mount = covering(container, file) if file.startswith("/") else None
    on_a_mount = mount is not None and mount["type"] in ("bind", "volume") and mount["host_path"] is not None
    on_a_mount = on_a_mount or (data is not None and file.startswith("/") and is_at_or_below(file, data))
    return ("file" if on_a_mount and not is_overridden else "compose"), file if file.startswith("/") else ""


def _changes(name: str, persisted: dict[str, str], differing: tuple[dict[str, str], dict[str, str]], place: str) -> list[Change]:
    live, kept = differing
    changes = []
    if "appendonly" in live:
        # Also in a plan where none are there: an attempt that was cut off leaves some, and the run that goes on may do no more than was approved.
        before = "of an earlier life, or of an attempt that was cut off, if there are any"
        changes.append(Change(kind="rename", target=f"append-only files of {name}", before=before, after="kept by the run's name, and not loaded"))
    # Each by itself, and without what runs now: a run that was cut off between two of them, or after a restart that reset one, does no other thing.
    changes += [
        Change(kind="setting", target=f"{setting} of {name}, live", before="as it runs", after=shlex.quote(value)) for setting, value in live.items()
    ]
    if kept:
        changes.append(Change(kind="file", target=place, before=_text(persisted, kept), after=_text(kept, kept)))
    return changes


def _text(values: dict[str, str], names: dict[str, str]) -> str:
    return ", ".join(f"{name} {shlex.quote(values[name])}" for name in sorted(names))


def _refuse_unless_remakable(container: Container, state: RedisState, wanted: dict[str, str]) -> None:
    options = " ".join(f"--{setting} {shlex.quote(value)}" for setting, value in wanted.items())
    by_hand = "; ".join(f"redis-cli config set {setting} {shlex.quote(value)}" for setting, value in wanted.items())
    if not container["compose_project"] or not container["compose_service"] or not container["compose_files"]:
        raise _CannotError(
            f"Compose did not make it, so nobody here can make it anew as it was. By hand: {by_hand}; wait until INFO persistence says "
            f"aof_rewrite_in_progress:0; then run its image again with the same volumes and {options} at the end of its command"
        )
    if container["command"][0].rpartition("/")[2] in _SHELLS:
        raise _CannotError(
            f"its command is a shell's, so what Redis itself is told can't be changed surely. By hand: {by_hand}; wait until INFO persistence says "
            f"aof_rewrite_in_progress:0; then add {options} to redis-server in its compose file, and bring it up"
        )
    if forgotten := _set_live_only(state, wanted):
        raise _CannotError(
            f"{', '.join(forgotten)} was set while it runs and would be forgotten once it is made anew: persist that first, or set it back"
        )


def _refuse_data_in_the_layer(container: Container, state: RedisState, service: RedisService) -> None:
    mount = covering(container, state["dir"]) if state["dir"] else None
    if mount is None or mount["type"] not in ("bind", "volume"):
        to = service.place or f"volume {service.volume}"
        raise _CannotError(
            f"its data lies in {container['name']}'s own layer, which is gone once it is made anew, and its settings can be persisted in its command "
            f"only: let storage.persistent_paths bring {state['dir']} to {to}, in this plan or before"
        )


def _set_live_only(state: RedisState, wanted: dict[str, str]) -> list[str]:
    """Return the settings that run otherwise than they would after a start, of those that decide where and how much is kept.

    More of them, and users, are looked for on the host before anything changes (redis_live.py): evidence holds no user and no password.
    """
    defaults = {"maxmemory": "0", "maxmemory-policy": "noeviction", "dbfilename": "dump.rdb", "appenddirname": "appendonlydir", "replicaof": ""}
    durable = ("appendonly", "appendfsync", "save")
    found = [name for name in durable if name not in wanted and running_setting(state, name) != persisted_setting(state, name)]
    for name, default in defaults.items():
        later, now = state["persisted"].get(name, default), state["running"].get(name)
        # A size may be written with its unit, which is no other value.
        if now is not None and now != later and not (name == "maxmemory" and later[-1:].isalpha()):
            found.append(name)
    return found


def _downtime(state: RedisState) -> int:
    return _STOP_START_S + math.ceil((state["keys"] or 0) / _KEYS_PER_S)


def _room(desired: DesiredHost, of: tuple[Container, RedisState], seen: tuple[Reader, Outlook], moved: RedisService | None) -> tuple[Bound, ...]:
    """Return what has to be free on the filesystem of the data, nothing where none of the host is known for them; `moved`: they are moved before."""
    (container, state), (reader, outlook) = of, seen
    name, needed, root = container["name"], _needed(container, state), outlook.docker_root
    now = _lies(container, state)
    at = (moved.place or root or reader.docker_info["root"]) if moved is not None else now
    if moved is None and root is not None and now is not None and is_at_or_below(now, reader.docker_info["root"]):
        at = root
    coming = outlook.mounts.get(mount_of(at, desired) or "") if at is not None and at != now else None
    if at is not None and coming is not None:
        return (room_bound(desired.host, str(mount_of(at, desired)), coming, needed, name),)
    place = max((point for point in reader.usage if at is not None and is_at_or_below(at, point)), key=len, default=None)
    return (Bound(host=desired.host, what=f"free bytes on {place}, for {name}", measure="free_bytes", of=place, at_least=needed),) if place else ()


def _lies(container: Container, state: RedisState) -> str | None:
    """Return the path of this host at which the data lie now, None where that is not known here."""
    mount = covering(container, state["dir"]) if state["dir"] else None
    return mount["host_path"] if mount is not None else container["upper_dir"]


def _needed(container: Container, state: RedisState) -> int:
    memory = state["info"].get("used_memory", "")
    if not memory.isdigit():
        raise Unobserved(f"{container['name']}: Redis did not say how much memory it uses")
    # A file of what is in memory, and the dump that is kept until the end.
    return _rounded(2 * int(memory))


def _rounded(size: int) -> int:
    """Return the next power of two, so that a bound does not differ with every key."""
    return 1 << max(20, (size - 1).bit_length())


CAPABILITY = Capability(id=ID, role="redis_aof", propose=_propose, mounts=False)
