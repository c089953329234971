"""Facts: the versioned projection of evidence on which plans decide, and whose digest a plan is bound to.

Rules:
- Identities, lineage, mounts, the container-to-path map and configuration; nothing that varies by itself (times, counters, free
  bytes, process ids, device numbers, which of the known containers runs just now).
- A probe that could not be observed is a fact too: the plan was made without it, and is no longer good once it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from controlplane.domain.digest import digest_of
from controlplane.domain.evidence import Evidence, Reader, Unobserved
from controlplane.domain.evidence_shapes.disks import BlockDevice

VERSION = 1
_LINKS = ("/dev/disk/by-id/", "/dev/disk/by-path/")
_BLKID = ("TYPE", "PTTYPE", "PTUUID", "LABEL", "AMBIVALENT")
_DISK_FILESYSTEMS = frozenset(["ext2", "ext3", "ext4", "xfs", "btrfs", "nfs", "nfs4", "zfs", "f2fs"])


def facts_of(evidence: Evidence, *, images: bool = False) -> dict[str, Any]:
    """Return the facts of one host as plain JSON data; with `images` also those, where deletions depend on them."""
    reader = Reader(evidence)
    # Hosts without a declared machine have no such fact, and keep the digest that they had.
    elsewhere = {"machine": _seen(_machine, reader)} if "machine" in evidence.probes else {}
    elsewhere |= {"packages": _seen(_packages, reader)} if evidence.asked.get("packages") else {}
    elsewhere |= {"releases": _seen(lambda seen: seen.releases, reader)} if evidence.asked.get("releases") else {}
    redis = sorted(name for name, service in (evidence.asked.get("services") or {}).items() if service["kind"] == "redis")
    elsewhere |= {"redis": _seen(lambda seen: _redis(seen, redis), reader)} if redis else {}
    elsewhere |= {"images": _seen(_images, reader)} if images else {}
    return {"version": VERSION, "host": evidence.host, **{name: _seen(read, reader) for name, read in _FACTS.items()}, **elsewhere}


def facts_digest(evidence: Evidence, *, images: bool = False) -> str:
    """Return the digest of the host's facts."""
    return digest_of(facts_of(evidence, images=images))


def _seen(read: Callable[[Reader], Any], reader: Reader) -> Any:
    try:
        return read(reader)
    except Unobserved as doubt:
        return {"unobserved": str(doubt).split(":", 1)[0]}


def _identity(reader: Reader) -> Any:
    seen = reader.identity
    return {"machine_id": seen["machine_id"], "os": f"{seen['os_id']} {seen['os_version']}"}


def _stable_name(device: BlockDevice) -> str:
    """Return a name that is the same after a reboot, where the device has one."""
    for kind in ("serial", "wwn", "loop_file", "dm_uuid"):
        if device[kind]:
            return f"{kind} {device[kind]}"
    return f"name {device['name']}"


def _disks(reader: Reader) -> Any:
    block, signatures = reader.block, reader.signatures
    rows = []
    for number, device in block.items():
        mark = signatures.get(number)
        if device["node"] is None and mark is None:
            continue  # a device of the machine beneath, without a node here: nothing can be decided on it
        rows.append(
            {
                "device": _stable_name(device),
                "size": device["size"],
                "read_only": device["read_only"],
                "part_of": [_stable_name(block[up]) for up in [*device["slaves"], device["partition_of"]] if up in block],
                "links": sorted(link for link in device["links"] if link.startswith(_LINKS)),
                "filesystem": None if mark is None else [mark["type"], mark["uuid"], mark["label"], sorted(mark["wipefs"])],
                "blkid": None if mark is None else {key: mark["blkid"].get(key) for key in _BLKID},
            }
        )
    return sorted(rows, key=digest_of)


def _mounts(reader: Reader) -> Any:
    signatures = reader.signatures
    rows = {
        mount["mount"]: [
            mount["fstype"],
            mount["root"],
            (signatures.get(mount["dev"]) or {"uuid": None})["uuid"] or mount["source"],
            sorted(mount["options"]),
        ]
        for mount in reader.mounts
        # Docker mounts a volume that is a bind at `_data`, but only while a container uses it.
        if mount["fstype"] in _DISK_FILESYSTEMS and not mount["mount"].endswith("/_data")
    }
    return dict(sorted(rows.items()))


def _containers(reader: Reader) -> Any:
    return {
        container["name"]: {
            "image": container["image_id"],
            "restart": container["restart_policy"],
            "data": sorted([m["destination"], m["host_path"] or m["source"], m["rw"]] for m in container["mounts"]),
            # Whoever approved a downtime approved it by this. Containers without one of their own keep the digest that they had.
            **({"stop_timeout_s": timeout} if (timeout := container.get("stop_timeout_s")) is not None else {}),
        }
        for container in sorted(reader.containers, key=lambda c: c["name"])
    }


def _docker(reader: Reader) -> Any:
    info = reader.docker_info
    kept = ("version", "root", "driver", "containerd_image_store", "live_restore", "logging_driver")
    return {key: info[key] for key in kept}  # type: ignore[literal-required]  # the keys stand in the tuple above


def _docker_config(reader: Reader) -> Any:
    config = reader.docker_config
    return {key: value for key, value in config.items() if not key.endswith("_mtime")}


def _units(reader: Reader) -> Any:
    return {
        name: {
            "loaded": unit["load_state"],
            "fragment": unit["fragment"],
            "exec_start": _command(unit["exec_start"]),
            "enabled": unit["enabled"],
            "drop_ins": [[drop["path"], drop["text"]] for drop in unit["drop_ins"]],
        }
        for name, unit in sorted(reader.units.items())
    }


def _command(exec_start: str) -> str:
    """Return the command of `systemctl show -p ExecStart`, whose braces also hold times and process ids."""
    _, found, rest = exec_start.partition("argv[]=")
    return rest.partition(" ; ")[0] if found else exec_start


def _retired(reader: Reader) -> Any:
    """Return what is retired, and of which of it is known that a purge would refuse it; whether a large tree was read in time varies by itself."""
    rows = [
        {
            **{key: item[key] for key in ("path", "run", "recorded", "exists")},
            "changed": item["fingerprint"] is not None and item["fingerprint"] != item["recorded"],
            "readable": item["unreadable"] is None,
            "purging": item["purging"] and [item["purging"]["aside"], item["purging"]["run"]],
        }
        for item in reader.target_state["retired"]
    ]
    return sorted(rows, key=digest_of)


def _redirected(reader: Reader) -> Any:
    """Return the paths that lead elsewhere by a symbolic link."""
    return {path: seen["real"] for path, seen in sorted(reader.paths.items()) if seen["exists"] and seen["real"] != path}


def _beneath(reader: Reader) -> Any:
    return {path: [seen["exists"], seen["entries"], seen["immutable"]] for path, seen in sorted(reader.beneath.items())}


def _packages(reader: Reader) -> Any:
    return {name: [seen["status"], seen["version"]] for name, seen in sorted(reader.packages.items())}


def _redis(reader: Reader, names: list[str]) -> Any:
    """Return settings as they run and as they are kept, and what is in the way of others."""
    found: dict[str, Any] = {}
    for name in names:
        state = reader.redis.get(name)
        if state is None or not state["reachable"]:
            found[name] = None
            continue
        settings = {"running": state["running"], "persisted": state["persisted"], "from": state["persisted_from"]}
        found[name] = {**settings, "version": state["version"], "role": state["info"].get("role"), "left_over": bool(state["aof_files"])}
    return found


def _images(reader: Reader) -> Any:
    """Return each image by what it is called and whether a container stands on it; how many do, and which bytes it takes, varies by itself."""
    return {one["id"]: [sorted(one["tags"]), sorted(one["digests"]), one["containers"] > 0] for one in reader.docker_store["images"]}


def _machine(reader: Reader) -> Any:
    seen = reader.machine
    kept = {key: value for key, value in seen.items() if key not in ("state", "storages")}
    return kept | {"storages": {name: [found["active"], sorted(found["volumes"])] for name, found in sorted(seen["storages"].items())}}


_FACTS: dict[str, Callable[[Reader], Any]] = {
    "identity": _identity,
    "disks": _disks,
    "mounts": _mounts,
    "fstab": lambda reader: reader.fstab["text"],
    "beneath": _beneath,
    "redirected": _redirected,
    "units": _units,
    "docker": _docker,
    "docker_config": _docker_config,
    "containers": _containers,
    "retired": _retired,
}


def facts_parts(evidence: Evidence, *, images: bool = False) -> dict[str, str]:
    """Return the digest of each of the host's facts by name."""
    return {name: digest_of(value) for name, value in facts_of(evidence, images=images).items()}


def facts_difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the facts that differ, for the message of a refused apply; facts or their digests, both the same."""
    return tuple(sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)))
