"""Where the data of a container really lie on this host, whatever its files say.

Rules:
- A volume with options has its data at the device that they name; its own folder is empty once nobody uses it (docker/compose#2957).
- From where a mount begins, a path of the container leads through no link: a tenant could aim it anywhere.
- What lies in the container's writable layer is looked at as the container sees it, layer upon layer (path_layer.py).
"""

from __future__ import annotations

import os
import posixpath
import re
from typing import Any, NamedTuple
from urllib.parse import quote

from . import inside
from .docker_engine import Engine
from .faults import FailedFault, RefusedFault

_ANONYMOUS = re.compile(r"[0-9a-f]{64}")
_LABEL_ANONYMOUS = "com.docker.volume.anonymous"


class Source(NamedTuple):
    """`kind` is bind, volume, anonymous, layer, or absent where the container has no such path so far; `path` lies on this host, `base` is where no link leads from; `volume` is Docker's name, if it is one.

    Of a layer `path` is within it.
    """

    kind: str
    path: str
    base: str
    volume: str

    @property
    def told(self) -> str:
        """How a preview and a message name it: without what differs from one container to the next."""
        names = {
            "bind": f"directory {self.path}",
            "volume": f"volume {self.volume}",
            "anonymous": "anonymous volume",
            "layer": "its writable layer",
            "absent": "nowhere so far",
        }
        return names[self.kind]


def source_of(engine: Engine, inspection: dict[str, Any], data: str) -> Source:
    """Return where a container's path lands. Raises `RefusedFault` where that is no directory of this host, or a link leads there."""
    held = [mount for mount in inspection["Mounts"] if is_at_or_below(data, mount["Destination"])]
    mount = max(held, key=lambda one: len(one["Destination"]), default=None)
    name = str(inspection["Name"]).lstrip("/")
    memory = [at for at in (inspection["HostConfig"].get("Tmpfs") or {}) if is_at_or_below(data, posixpath.normpath(at))]
    if memory or (mount is not None and mount["Type"] not in ("bind", "volume")):
        raise RefusedFault(
            f"{data} of {name} lies in memory or on a mount of type {'tmpfs' if memory else mount and mount['Type']}. Nothing was changed."
        )
    if mount is None:
        return Source("layer", data, "", "")
    relative = posixpath.relpath(data, mount["Destination"])
    base, kind, volume = str(mount["Source"]), "bind", ""
    if mount["Type"] == "volume":
        volume = str(mount["Name"])
        base, kind = _place_of(engine, volume, name)
    path = base if relative == "." else posixpath.join(base, relative)
    return Source(kind, path, base, volume)


def assert_whole(inspection: dict[str, Any], data: str) -> None:
    """Raise `RefusedFault` where a container's path lies in a volume of which it mounts one folder alone: Docker tells its source as the whole."""
    at = max((mount["Destination"] for mount in inspection["Mounts"] if is_at_or_below(data, mount["Destination"])), key=len, default=None)
    for mount in inspection["HostConfig"].get("Mounts") or []:
        folder = (mount.get("VolumeOptions") or {}).get("Subpath")
        if folder and posixpath.normpath(str(mount.get("Target"))) == at:
            raise RefusedFault(
                f"{data} of {str(inspection['Name']).lstrip('/')} lies in the folder {folder} of volume {mount.get('Source')} (volume.subpath), and "
                "only whole volumes are moved. Nothing was changed. By hand: copy that folder to a directory or a volume of its own while the "
                "container is stopped, mount that in the compose file, and bring it up."
            )


def assert_no_link(source: Source, name: str) -> None:
    """Raise `RefusedFault` unless the data are a directory, and no link leads there from where their mount begins."""
    try:
        if os.path.realpath(source.base) != source.base:
            raise RefusedFault(
                f"{source.base} leads to {os.path.realpath(source.base)} by a symbolic link. Nothing was changed. Name the real path in the compose file."
            )
        with inside.opened_below(source.base, posixpath.relpath(source.path, source.base)):
            pass
    except OSError as fault:
        raise RefusedFault(
            f"{source.path}, where the data of {name} lie, is a link, or no directory: {fault.strerror}. Nothing was changed."
        ) from fault


def is_missing(source: Source) -> bool:
    """Say whether nothing is there by that name, not even a link."""
    try:
        with inside.opened_below(source.base, posixpath.relpath(source.path, source.base), os.O_PATH):
            return False
    except FileNotFoundError:
        return True
    except OSError:
        return False


def assert_no_link_so_far(base: str, path: str) -> None:
    """Raise `FailedFault` where a part of a path below `base` that is there is a link, or no directory: a tenant could aim it anywhere."""
    relative = posixpath.relpath(path, base)
    parts = [] if relative == "." else relative.split("/")
    for count in range(len(parts) + 1):
        try:
            with inside.opened_below(base, "/".join(parts[:count]) or "."):
                pass
        except FileNotFoundError:
            return
        except OSError as fault:
            raise FailedFault(
                f"{posixpath.join(base, *parts[:count])} is a link, or no directory: {fault.strerror}. Nothing was copied there"
            ) from fault


def _place_of(engine: Engine, volume: str, name: str) -> tuple[str, str]:
    found = engine.get(f"/volumes/{quote(volume, safe='')}")
    anonymous = _LABEL_ANONYMOUS in (found.get("Labels") or {}) or bool(_ANONYMOUS.fullmatch(volume))
    return directory_of(found, f"volume {volume} of {name}"), "anonymous" if anonymous else "volume"


def directory_of(found: dict[str, Any], told: str) -> str:
    """Return where a volume, as Docker shows it, has its data on this host. Raises `RefusedFault` where that is no directory of it."""
    options = found.get("Options") or {}
    if found.get("Driver") != "local":
        raise RefusedFault(f"{told} is kept by the driver {found.get('Driver')}, whose files this host can't copy. Nothing was changed.")
    if not options:
        return str(found["Mountpoint"])
    words = str(options.get("o") or "").split(",")
    device = str(options.get("device") or "")
    if "bind" in words and device.startswith("/"):
        return posixpath.normpath(device)
    raise RefusedFault(f"{told} is {options.get('type') or '?'} of {device or '?'}, not a directory of this host. Nothing was changed.")


def is_at_or_below(path: str, parent: str) -> bool:
    """Say whether a normalised path is `parent` or lies below it."""
    return path == parent or path.startswith(parent.rstrip("/") + "/")
