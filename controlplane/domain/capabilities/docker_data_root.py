"""docker.data_root: the engine's whole root, and containerd's, move to where the policy wants them; daemon.json gets what goes with it.

Rules:
- The destination must be a mount that is there or that an earlier step of the same plan makes; never the bare directory.
- What the move needs is judged on measured sizes and becomes a bound; sizes that Docker could not tell are no basis, so a refusal.
- Every running container stops once, for the last difference only; the estimate says for how long at most. A Redis among
  them that would lose keys by that is in the way.
- Log limits are merged with a move, or by a step of their own where nothing moves. dockerd reads them only when it starts, so that step stops and
  starts everything too; and a container keeps the options that it was created with, so it is named, and nothing is promised for it.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import Any

from controlplane.domain.capabilities.log_limits import keeping_other_options, log_limits
from controlplane.domain.capabilities.proposal import Capability, Draft, Outlook, Proposal
from controlplane.domain.capabilities.root_bounds import inode_bounds, mount_of, size_of, space_bounds
from controlplane.domain.checks.durability import is_durable_postgres
from controlplane.domain.checks.restart import lost_by_restart
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved, is_absent
from controlplane.domain.paths import overlap
from controlplane.domain.plan import Change, Downtime, Mend
from controlplane.domain.services import RedisService

ID = "docker.data_root"
DAEMON_JSON = "/etc/docker/daemon.json"
CONTAINERD_CONFIG = "/etc/containerd/config.toml"
# A container that ignores SIGTERM is killed after this time, or after its own where that is longer; all are stopped at once, and with all that
# heed it the stop takes a few seconds.
_STOP_LIMIT_S = 60
# Bare stop and start of the engine, then comparison of what the pre-copy brought over (seconds a gigabyte, measured on two cores).
_STOP_START_S = 30
_S_PER_GB = 10


def _propose(desired: DesiredHost, reader: Reader, outlook: Outlook) -> Proposal:
    docker = desired.docker
    asked = docker.data_root is not None or docker.containerd_root is not None or docker.log is not None
    if not asked or outlook.docker_comes or is_absent(reader.evidence, "docker_config"):
        return Proposal()
    try:
        return _decide(desired, reader, outlook)
    except Unobserved as doubt:
        return Proposal(refusals=(f"could not be observed: {doubt}",))


def _decide(desired: DesiredHost, reader: Reader, outlook: Outlook) -> Proposal:
    config = reader.docker_config
    if not config["installed"]:
        return Proposal()
    moves = _moves(desired, reader)
    if not moves:
        return _logs_alone(desired, reader, outlook)
    refusals = [*lost_by_restart(reader, governed=_redis(desired))]
    refusals += [reason for move in moves for reason in _refusals(move["to"], desired, outlook) + _occupied(move["to"], desired, reader)]
    refusals += [f"{move['from']} and {move['to']} lie in each other: name a place beside the old root" for move in moves if overlap(*_ends(move))]
    clash = sorted(flag for flag in set(config["dockerd_flags"]) if _option(flag) in ("--data-root", "--graph") or re.match(r"-g(?!-)", flag))
    if clash:
        refusals.append(f"dockerd is started with {', '.join(clash)}, and the same key in {DAEMON_JSON} would keep it down: remove the flag first")
    if refusals:
        return Proposal(refusals=tuple(refusals))
    before, merge = _daemon_json(desired, reader, moves)
    size = size_of(reader)
    changes = [Change(kind="move", target=f"{move['kind']} root", before=move["from"], after=move["to"]) for move in moves]
    if merge:
        changes.append(_merging(before, merge))
    changes += [
        Change(kind="file", target=CONTAINERD_CONFIG, before=f'root = "{move["from"]}"', after=f'root = "{move["to"]}"')
        for move in moves
        if move["kind"] == "containerd"
    ]
    changes += [Change(kind="retire", target=move["from"], before="in use", after="kept unchanged until a purge of its own") for move in moves]
    draft = Draft(
        mends=_mends(desired, reader, moves),
        changes=tuple(changes),
        downtime=Downtime(services=_running(reader), estimate_s=_stop_limit(reader) + _STOP_START_S + math.ceil(size / 1000**3 * _S_PER_GB)),
        undo="move the root back with everything that was written since, proven, and put both configurations back byte for byte; refused once purged",
        bounds=inode_bounds(desired, reader, moves, outlook),
        room=space_bounds(desired, moves, outlook, size),
        if_short=f"Declare a larger disk (policy.yml, hosts.{desired.host}.disks) or another place (hosts.{desired.host}.docker), "
        "make room there, or clear images and volumes that nobody needs; then plan again",
        variables={"docker_data_root_moves": moves, "docker_data_root_daemon_json": merge},
    )
    root = next((move["to"] for move in moves if move["kind"] == "docker"), outlook.docker_root)
    return Proposal(drafts=(draft,), outlook=replace(outlook, docker_root=root))


def _logs_alone(desired: DesiredHost, reader: Reader, outlook: Outlook) -> Proposal:
    """Propose to merge the log limits into daemon.json, with the restart that makes them good."""
    limits, refusal = log_limits(desired.docker.log, reader)
    if not limits:
        return Proposal(refusals=(refusal,) if refusal else ())
    if lost := lost_by_restart(reader, governed=_redis(desired)):
        return Proposal(refusals=lost)
    live = {path for path, mount in outlook.mounts.items() if mount.live}
    needed = {mount_of(root, desired) for root in (desired.docker.data_root, desired.docker.containerd_root) if root is not None}
    bare = [disk.mount for disk in desired.disks if disk.mount in needed - live]
    if bare:
        # What Docker runs on by now is not what it would find after a restart.
        return Proposal(refusals=(f"log limits need a restart of Docker, and {', '.join(bare)}, which its roots lie on, is not mounted as declared",))
    before, old = _held(reader), keeping_other_options(desired.docker.log, reader)
    limits = {key: value for key, value in limits.items() if before.get(key) != value}
    draft = Draft(
        mends=() if old else (Mend(check="D243", surface="docker.log"),),
        changes=(_merging(before, limits),),
        downtime=Downtime(services=_running(reader), estimate_s=_stop_limit(reader) + _STOP_START_S),
        undo=f"put {DAEMON_JSON} back byte for byte, and stop and start Docker and what runs once more",
        variables={"docker_data_root_moves": [], "docker_data_root_daemon_json": limits},
    )
    told = f"log options of containers stay as they were created until somebody recreates them: {', '.join(old)} (D243 has the commands)"
    return Proposal(drafts=(draft,), refusals=(told,) if old else ())


def _redis(desired: DesiredHost) -> tuple[str, ...]:
    return tuple(name for name, service in desired.services.items() if isinstance(service, RedisService))


def _running(reader: Reader) -> tuple[str, ...]:
    return tuple(sorted(container["name"] for container in reader.containers if container["running"]))


def _stop_limit(reader: Reader) -> int:
    """Return the seconds after which everything that runs has stopped or was killed."""
    running = [container for container in reader.containers if container["running"]]
    unknown = sorted(container["name"] for container in running if "stop_timeout_s" not in container)
    if unknown:
        raise Unobserved(f"the stop timeout of {', '.join(unknown)} was not collected")
    return max([_STOP_LIMIT_S, *(container["stop_timeout_s"] or 0 for container in running)])


def _merging(before: dict[str, Any], merge: dict[str, Any]) -> Change:
    return Change(kind="file", target=DAEMON_JSON, before=_text({key: before.get(key) for key in merge}), after=_text(merge))


def _ends(move: dict[str, str]) -> tuple[str, str]:
    return move["from"], move["to"]


def _option(flag: str) -> str:
    return flag.split("=", 1)[0]


def _moves(desired: DesiredHost, reader: Reader) -> list[dict[str, str]]:
    moves = []
    root, containerd_root = reader.docker_info["root"], reader.docker_config["containerd_root"]
    if desired.docker.data_root is not None and desired.docker.data_root != root:
        moves.append({"kind": "docker", "from": root, "to": desired.docker.data_root})
    if desired.docker.containerd_root is not None:
        if containerd_root is None:
            raise Unobserved("containerd did not tell its root")
        if desired.docker.containerd_root != containerd_root:
            moves.append({"kind": "containerd", "from": containerd_root, "to": desired.docker.containerd_root})
    return moves


def _mends(desired: DesiredHost, reader: Reader, moves: list[dict[str, str]]) -> tuple[Mend, ...]:
    mends = [Mend(check="D235", surface=f"docker.{'data_root' if move['kind'] == 'docker' else 'containerd_root'}") for move in moves]
    old = tuple(f"{move['from']}/" for move in moves)
    for name, service in sorted(desired.services.items()):
        container = next((seen for seen in reader.containers if seen["name"] == name), None)
        mounts = container["mounts"] if container is not None else []
        moved = any(m["name"] == service.volume and m["destination"] == service.data and (m["host_path"] or "").startswith(old) for m in mounts)
        # Where the container does not use the volume that the policy names, or its settings drift, a move of the root mends nothing.
        if service.volume is not None and moved and (service.kind != "postgres" or is_durable_postgres(reader, name)):
            mends.append(Mend(check="D236", surface=f"service:{name}"))
    return tuple(mends)


def _refusals(destination: str, desired: DesiredHost, outlook: Outlook) -> list[str]:
    declared = mount_of(destination, desired)
    if declared is None:
        return []  # a boot-only host may keep its root anywhere; the policy's rules saw to the rest
    if declared in outlook.missing:
        return [f"{destination} lies on {declared}, which can't be provided: {outlook.missing[declared]}"]
    if declared not in outlook.mounts:
        return [f"{destination} lies on {declared}, which is not mounted"]
    return []


def _occupied(destination: str, desired: DesiredHost, reader: Reader) -> list[str]:
    """Refuse what lies at a destination and is no copy of this program's own; the role looks closer, and again."""
    place, state = reader.paths.get(destination), reader.target_state
    if place is None or (place["kind"] == "dir" and place["empty"] is None):
        raise Unobserved(f"what lies at {destination} could not be looked at")
    # Where the disk is still to be mounted, the bare directory is what was seen: data_disk judges that.
    on_its_mount = mount_of(destination, desired) in (None, place["mount"])
    known = {one["path"] for one in state["retired"]} | set(state["copies"])
    if not place["exists"] or place["empty"] or not on_its_mount or destination in known:
        return []
    what = "is not empty" if place["kind"] == "dir" else "is no directory"
    return [f"{destination} {what}, and no run of this program on this host made it: empty it, or choose another path"]


def _held(reader: Reader) -> dict[str, Any]:
    """Return daemon.json as it is."""
    text = reader.docker_config["daemon_json"]
    try:
        before = json.loads(text) if text and text.strip() else {}
    except ValueError as error:
        raise Unobserved(f"{DAEMON_JSON} is no JSON ({error})") from None
    if not isinstance(before, dict):
        raise Unobserved(f"{DAEMON_JSON} holds no object")
    return before


def _daemon_json(desired: DesiredHost, reader: Reader, moves: list[dict[str, str]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (daemon.json as it is, the keys that the merge sets)."""
    before, (limits, _) = _held(reader), log_limits(desired.docker.log, reader)
    merge = dict([("data-root", move["to"]) for move in moves if move["kind"] == "docker"], **limits)
    return before, {key: value for key, value in merge.items() if before.get(key) != value}


def _text(data: dict[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, ensure_ascii=False)


CAPABILITY = Capability(id=ID, role="docker_data_root", propose=_propose, mounts=False)
