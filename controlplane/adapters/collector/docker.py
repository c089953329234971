"""The engine as it runs: containers with their mounts resolved, volumes, images, and what takes how many bytes."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from .engine import Engine
from .mounts import mount_table
from .redact import command_without_secrets
from .supervise import ProbeError
from .tools import slurp_or_none

_ANONYMOUS = re.compile(r"[0-9a-f]{64}")
_LABEL = "com.docker.compose."
_SIZES_WITHIN = 4.0
# Evidence is kept and sent whole; a host with more has a fault of its own, and part of a list would pass for all of it.
MOST_IMAGES = 5000


def docker_info(_asked: dict[str, Any], _seen: dict[str, Any]) -> dict[str, Any]:
    """Return what `docker info` tells."""
    info = Engine().get("/info")
    status = {str(pair[0]): str(pair[1]) for pair in info.get("DriverStatus") or [] if len(pair) == 2}
    try:
        log_options = json.loads(slurp_or_none("/etc/docker/daemon.json") or "{}").get("log-opts", {})
    except ValueError:
        log_options = {}
    return {
        "version": info["ServerVersion"],
        "root": info["DockerRootDir"],
        "driver": info["Driver"],
        "driver_status": status,
        "containerd_image_store": status.get("driver-type", "").startswith("io.containerd.snapshotter"),
        "live_restore": bool(info.get("LiveRestoreEnabled")),
        "logging_driver": info["LoggingDriver"],
        "containers": info["Containers"],
        "running": info["ContainersRunning"],
        "images": info["Images"],
        "default_log_options": {str(key): str(value) for key, value in log_options.items()},
    }


def _volumes(engine: Engine) -> dict[str, dict[str, Any]]:
    return {volume["Name"]: volume for volume in engine.get("/volumes").get("Volumes") or []}


def _is_anonymous(volume: dict[str, Any]) -> bool:
    return "com.docker.volume.anonymous" in (volume.get("Labels") or {}) or bool(_ANONYMOUS.fullmatch(volume["Name"]))


def volume_place(driver: str, mountpoint: str, options: dict[str, str]) -> str | None:
    """Return the host path on which a volume's data lands: its mountpoint says nothing once options mount something there."""
    if driver != "local":
        return None
    device = options.get("device", "")
    if not device and not options.get("type"):
        return mountpoint
    is_bind = "bind" in options.get("o", "").split(",") or "rbind" in options.get("o", "").split(",") or options.get("type") in ("bind", "none")
    return device if is_bind and device.startswith("/") else None


def _subpaths(host: dict[str, Any]) -> dict[str, str]:
    """Return by destination the folder of a volume that is mounted alone: of such a mount Docker tells the whole volume as its source."""
    found = {os.path.normpath(str(one.get("Target"))): (one.get("VolumeOptions") or {}).get("Subpath") for one in host.get("Mounts") or []}
    return {destination: str(folder) for destination, folder in found.items() if folder}


def _mount(mount: dict[str, Any], volumes: dict[str, dict[str, Any]], subpaths: dict[str, str]) -> dict[str, Any]:
    name, source = mount.get("Name") or None, mount.get("Source", "")
    place: str | None = source
    anonymous = False
    if mount["Type"] == "volume":
        volume = volumes.get(name or "", {})
        options = {str(key): str(value) for key, value in (volume.get("Options") or {}).items()}
        # A volume that Docker doesn't list can't be resolved.
        place = volume_place(volume.get("Driver", ""), source, options) if volume else None
        anonymous = bool(volume) and _is_anonymous(volume)
    elif mount["Type"] != "bind":
        place = None
    destination = os.path.normpath(mount["Destination"])
    return {
        "type": mount["Type"],
        "name": name,
        "source": source,
        "destination": destination,
        "rw": bool(mount["RW"]),
        "anonymous": anonymous,
        "host_path": place or None,
        **({"subpath": subpaths[destination]} if mount["Type"] == "volume" and destination in subpaths else {}),
    }


def _upper_dir(one: dict[str, Any]) -> str | None:
    pid = one["State"].get("Pid") or 0
    if pid:
        # What the kernel really mounted; the containerd image store names no directory of its own.
        try:
            root = [mount for mount in mount_table(str(pid)) if mount["mount"] == "/"]
        except (OSError, ProbeError):
            root = []
        for option in root[-1]["super_options"] if root else []:
            if option.startswith("upperdir=/"):
                return str(option.partition("=")[2])
    upper = ((one.get("GraphDriver") or {}).get("Data") or {}).get("UpperDir")
    return str(upper) if upper else None


def _seconds(timeout: Any) -> int | None:
    """Return a container's own stop timeout, None where it has none and the engine's holds."""
    return None if timeout is None else int(timeout)


def container_record(
    one: dict[str, Any], volumes: dict[str, dict[str, Any]], written: dict[str, int], digests: dict[str, list[str]]
) -> dict[str, Any]:
    """Return the evidence on one container from its inspection; environments stay on the host. `digests` are those of images by their ids."""
    config, host, state = one["Config"], one["HostConfig"], one["State"]
    labels = config.get("Labels") or {}
    log = host.get("LogConfig") or {}
    files, environment = (str(labels.get(f"{_LABEL}project.{which}") or "").split(",") for which in ("config_files", "environment_file"))
    return {
        "id": one["Id"],
        "name": one["Name"].lstrip("/"),
        "image": config["Image"],
        "image_id": one["Image"],
        "image_digests": digests.get(one["Image"], []),
        "health": (state.get("Health") or {}).get("Status") or None,
        "state": state["Status"],
        "running": bool(state["Running"]),
        "pid": state.get("Pid") or 0,
        "stop_timeout_s": _seconds(config.get("StopTimeout")),
        "restart_policy": (host.get("RestartPolicy") or {}).get("Name") or "no",
        "started_at": state.get("StartedAt") or "",
        "log_driver": log.get("Type") or "",
        "log_options": {str(key): str(value) for key, value in (log.get("Config") or {}).items()},
        "mounts": sorted((_mount(mount, volumes, _subpaths(host)) for mount in one["Mounts"]), key=lambda mount: str(mount["destination"])),
        "tmpfs": sorted(os.path.normpath(path) for path in host.get("Tmpfs") or {}),
        "upper_dir": _upper_dir(one),
        "writable_bytes": written.get(one["Id"]),
        "compose_project": labels.get(f"{_LABEL}project"),
        "compose_service": labels.get(f"{_LABEL}service"),
        "compose_oneoff": str(labels.get(f"{_LABEL}oneoff") or "").lower() == "true",
        "compose_files": [path for path in files if path],
        "compose_env_files": [path for path in environment if path],
        "compose_dir": labels.get(f"{_LABEL}project.working_dir"),
        "command": command_without_secrets([one["Path"], *(one.get("Args") or [])], config.get("Env") or []),
    }


def docker_containers(_asked: dict[str, Any], _seen: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every container, running or not, sorted by name."""
    engine = Engine()
    listed = engine.get("/containers/json?all=1")
    try:
        sized = engine.get("/containers/json?all=1&size=1", _SIZES_WITHIN)
        # Docker leaves zero out, and says -1 where it could not tell.
        written = {entry["Id"]: size for entry in sized if (size := int(entry.get("SizeRw", 0))) >= 0}
    except ProbeError:
        written = {}
    volumes = _volumes(engine)
    digests = {image["Id"]: sorted(image.get("RepoDigests") or []) for image in engine.get("/images/json")}
    found = []
    for entry in listed:
        try:
            one = engine.get(f"/containers/{entry['Id']}/json")
        except ProbeError as error:
            if "with 404" in str(error):
                continue  # removed since it was listed
            raise
        found.append(container_record(one, volumes, written, digests))
    return sorted(found, key=lambda container: str(container["name"]))


def docker_volumes(_asked: dict[str, Any], _seen: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every volume with the containers, running or not, that mount it."""
    engine = Engine()
    users: dict[str, set[str]] = {}
    for container in engine.get("/containers/json?all=1"):
        for mount in container.get("Mounts") or []:
            if mount.get("Name"):
                users.setdefault(mount["Name"], set()).add((container.get("Names") or [container["Id"]])[0].lstrip("/"))
    return [
        {
            "name": name,
            "driver": volume["Driver"],
            "mountpoint": volume["Mountpoint"],
            "options": {str(k): _option(str(k), str(v)) for k, v in (volume.get("Options") or {}).items()},
            "anonymous": _is_anonymous(volume),
            "in_use_by": sorted(users.get(name, ())),
        }
        for name, volume in sorted(_volumes(engine).items())
    ]


def _option(key: str, value: str) -> str:
    # CIFS volumes carry their password among the mount options.
    return re.sub(r"(?i)(pass(?:word|wd)?\d?=)[^,]*", r"\1***", value) if key == "o" else value


def docker_images(_asked: dict[str, Any], _seen: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every image with its tags and digests, when it was made (epoch seconds), its size and how many containers stand on it."""
    engine = Engine()
    listed = engine.get("/images/json")
    if len(listed) > MOST_IMAGES:
        raise ProbeError(f"Docker holds {len(listed)} images, more than the {MOST_IMAGES} that are looked at")
    used: dict[str, int] = {}
    for container in engine.get("/containers/json?all=1"):
        used[container["ImageID"]] = used.get(container["ImageID"], 0) + 1
    return [
        {
            "id": image["Id"],
            "tags": sorted(tag for tag in image.get("RepoTags") or [] if tag != "<none>:<none>"),
            "digests": sorted(name for name in image.get("RepoDigests") or [] if not name.startswith("<none>")),
            "created": int(image["Created"]),
            "size": int(image["Size"]),
            "containers": used.get(image["Id"], 0),
        }
        for image in sorted(listed, key=lambda image: str(image["Id"]))
    ]


def docker_usage(_asked: dict[str, Any], _seen: dict[str, Any]) -> dict[str, Any]:
    """Return `/system/df`, which walks every volume and so may take minutes. A size that Docker could not tell fails the probe's total."""
    told = Engine().get("/system/df")
    # An empty list may come as null; one that is left out is not nothing.
    volumes = {volume["Name"]: int((volume.get("UsageData") or {}).get("Size", -1)) for volume in told["Volumes"] or []}
    plain = {volume["Name"] for volume in told["Volumes"] or [] if volume.get("Driver") == "local" and not volume.get("Options")}
    if unknown := sorted(name for name in plain if volumes[name] < 0):
        raise ProbeError(f"Docker could not tell the size of {', '.join(unknown)}")
    # The others lie elsewhere: what options mount, or another driver keeps, is not under the engine's root.
    volumes = {name: size for name, size in volumes.items() if size >= 0}
    cache = told["BuildCache"] or []
    # Docker 29 leaves the size out where there is no image.
    images = told["LayersSize"] if "LayersSize" in told or told.get("Images") != [] else 0
    return {
        "images": int(images),
        "build_cache": sum(int(record["Size"]) for record in cache if not record.get("Shared")),
        "volumes": sum(volumes.values()),
        "volume_bytes": volumes,
        "build_cache_records": len(cache),
    }
