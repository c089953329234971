"""Where the folders of a container's overlay lie: Docker's own account of overlay2, or containerd's of a snapshot.

Rules:
- The containerd image store names no folder in the container's inspection (moby: GraphDriver.Data is null there). containerd itself is asked, by its own
  `ctr snapshots mounts`, which mounts nothing: it knows the snapshot of a container that stands still as well.
- Which containerd, and which of its namespaces, Docker says itself since its API 1.46; before that it is the service's own, and `moby`.
- Any other kind of layer is refused by its name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from . import command
from .docker_engine import Engine
from .faults import FailedFault, RefusedFault
from .mounts import read

_OVERLAYFS = "overlayfs"
# Debian's and Docker's own packages run containerd as a service; where dockerd starts one itself its socket lies at the second place.
_SOCKETS = ("/run/containerd/containerd.sock", "/run/docker/containerd/containerd.sock")
_NAMESPACE = "moby"


class Dirs(NamedTuple):
    """Absolute `upper` and `work`; `lower` as an option of mount, in which relative names begin at `base`.

    `merged` is where a running container's root is mounted on this host; None where that shows nowhere.
    """

    upper: str
    work: str
    lower: str
    base: str
    merged: str | None


def is_known(inspection: dict[str, Any]) -> bool:
    """Say whether the container's layer is of a kind that is known here."""
    name, data = _driver(inspection)
    return bool(data.get("UpperDir")) if name == "overlay2" else name == _OVERLAYFS and not data


def dirs_of(inspection: dict[str, Any]) -> Dirs:
    """Return the folders of a container's layer. Raises `RefusedFault` where it is of a kind that is not known here, `FailedFault` where it is gone."""
    name, data = _driver(inspection)
    if not is_known(inspection):
        raise RefusedFault(
            f"{_named(inspection)} keeps its data in a layer of {name or 'no kind that Docker names'}, and only overlay2 and containerd's overlayfs are known here. Nothing was changed. "
            "By hand: stop it, 'docker cp -a' its data to the place, then mount that in its compose file."
        )
    if name == "overlay2":
        # Docker's short names: the long ones of an image with many layers don't fit into a mount's options.
        own = Path(data["UpperDir"]).parent
        try:
            lower = (own / "lower").read_text().strip()
        except OSError as fault:
            raise FailedFault(f"the layer of {_named(inspection)} can't be read: {fault}") from fault
        return Dirs(data["UpperDir"], data["WorkDir"], lower, str(own.parent), data["MergedDir"])
    return _of_the_snapshot(inspection)


def _mounted_at(upper: str) -> str | None:
    found = [mount.mount for mount in read() if mount.fstype == "overlay" and f"upperdir={upper}" in mount.options.split(",")]
    return next((place for place in found if not place.startswith("/run/controlplane/")), None)


def _of_the_snapshot(inspection: dict[str, Any]) -> Dirs:
    address, namespace = _containerd()
    argv = ["ctr", "--address", address, "--namespace", namespace, "snapshots", "--snapshotter", _OVERLAYFS, "mounts", "/", str(inspection["Id"])]
    said = command.run(argv, timeout_s=30)
    options = _options(said.out)
    if said.code != 0 or not {"upperdir", "workdir", "lowerdir"} <= options.keys():
        told = (said.err.strip() or said.out.strip() or "nothing")[-300:]
        raise FailedFault(f"containerd names no overlay for the layer of {_named(inspection)} ({' '.join(argv)}: {told})")
    base = os.path.dirname(os.path.dirname(options["upperdir"]))
    lower = [os.path.relpath(one, base) if one.startswith(f"{base}/") else one for one in options["lowerdir"].split(":")]
    return Dirs(options["upperdir"], options["workdir"], ":".join(lower), base, _mounted_at(options["upperdir"]))


def _containerd() -> tuple[str, str]:
    """Return the address of Docker's containerd and the namespace of its containers."""
    try:
        told = Engine().info().get("Containerd") or {}
    except (OSError, ValueError):
        told = {}
    address = told.get("Address") or next((one for one in _SOCKETS if os.path.exists(one)), _SOCKETS[0])
    return str(address), str((told.get("Namespaces") or {}).get("Containers") or _NAMESPACE)


def _options(said: str) -> dict[str, str]:
    """Return the options of the one overlay in `mount -t overlay overlay / -o a=b,c=d`, {} for anything else."""
    words = said.split()
    if words[:3] != ["mount", "-t", "overlay"] or len(said.strip().splitlines()) != 1 or "-o" not in words:
        return {}
    pairs = (option.partition("=") for option in words[words.index("-o") + 1].split(","))
    return {name: value for name, _, value in pairs}


def _driver(inspection: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the storage driver's name, "" where Docker names none, and its folders. Docker 29 names the snapshotter in `Storage` instead."""
    driver, root = inspection.get("GraphDriver") or {}, (inspection.get("Storage") or {}).get("RootFS") or {}
    return driver.get("Name") or (root.get("Snapshot") or {}).get("Name") or "", driver.get("Data") or {}


def _named(inspection: dict[str, Any]) -> str:
    return str(inspection["Name"]).lstrip("/")
