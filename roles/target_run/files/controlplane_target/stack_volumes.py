"""Where the named volumes of a stack have their data on this host: one that is there already is taken as it is, whatever the files say of it.

Rules:
- A volume's own folder is empty where its options mount something there: its data lie at the device (docker/compose#2957).
- What a plan was judged by holds: a volume whose data lie elsewhere by now, or by options that the plan does not know, is refused.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .docker_engine import Engine
from .stack_judge import Bind, services_of


class Named(NamedTuple):
    """A volume that a service mounts: its key in the files, its name in Docker, what Docker has of it (None: nothing), and whether it is written to."""

    key: str
    name: str
    held: dict[str, Any] | None
    is_written: bool


def binds(engine: Engine, config: Mapping[str, Any]) -> list[Bind]:
    """Return the directories of this host that stand behind volumes which are there already."""
    found = []
    for one in _mounted(engine, config):
        place = None if one.held is None or not _has_options(one.held) else _place_of(one.held)
        found += [Bind(place, f"volume {one.key}", one.is_written)] if place is not None else []
    return found


def against(engine: Engine, config: Mapping[str, Any], planned: Mapping[str, str]) -> list[str]:
    """Return which volumes have their data elsewhere than the plan found; `planned` has a place by the volume's name."""
    found, root = [], ""
    for one in _mounted(engine, config):
        wanted = planned.get(one.name)
        if one.held is None:
            root = root or str(engine.info()["DockerRootDir"])
            now: str | None = _said(config, one.key) or f"{root}/volumes/{one.name}/_data"
        else:
            now = _place_of(one.held)
        if wanted is not None and now != wanted:
            where = "will have its data" if one.held is None else "has its data"
            found.append(f"volume {one.name} {where} in {now or 'no directory of this host'} by now, not in {wanted} as was planned: make a new plan")
        elif wanted is None and one.held is not None and one.is_written and _has_options(one.held):
            found.append(
                f"volume {one.name} is there with options of its own, so its data lie in {now or 'no directory of this host'}, which the plan does not "
                "name: make a new plan, or take another volume"
            )
    return found


def _mounted(engine: Engine, config: Mapping[str, Any]) -> Iterator[Named]:
    written: dict[str, bool] = {}
    for service in services_of(config).values():
        for mount in service.get("volumes") or []:
            if mount.get("type") == "volume" and mount.get("source"):
                key = str(mount["source"])
                written[key] = written.get(key, False) or not mount.get("read_only")
    if not written:
        return
    there = {str(one["Name"]): dict(one) for one in engine.get("/volumes").get("Volumes") or []}
    for key, is_written in sorted(written.items()):
        name = str(((config.get("volumes") or {}).get(key) or {}).get("name") or key)
        yield Named(key, name, there.get(name), is_written)


def _said(config: Mapping[str, Any], key: str) -> str | None:
    """Return the directory that the files bind behind a volume, None where they bind none."""
    return _bound(((config.get("volumes") or {}).get(key) or {}).get("driver_opts") or {})


def _has_options(held: Mapping[str, Any]) -> bool:
    options = held.get("Options") or {}
    return held.get("Driver") != "local" or bool(options.get("device") or options.get("type"))


def _place_of(held: Mapping[str, Any]) -> str | None:
    """Return where a volume has its data, None where that is no directory of this host."""
    if not _has_options(held):
        return str(held["Mountpoint"])
    return _bound(held.get("Options") or {}) if held.get("Driver") == "local" else None


def _bound(options: Mapping[str, Any]) -> str | None:
    device, kind, words = str(options.get("device") or ""), str(options.get("type") or ""), str(options.get("o") or "").split(",")
    is_bind = "bind" in words or "rbind" in words or kind in ("bind", "none")
    return posixpath.normpath(device) if is_bind and device.startswith("/") else None
