"""How much the directories hold from which data are to move, where Docker keeps no account: of a bind, and of a volume whose options name one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from .places import covering, landing
from .surfaces import size_of

LIMIT_S = 6.0
# What tells hard links apart is held in memory.
MOST_ENTRIES = 500_000


def to_measure(asked: dict[str, Any], containers: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the host path of each asked path of a container that lies elsewhere than declared, and that Docker does not measure."""
    wanted = [(name, one["data"], one.get("place"), one.get("volume")) for name, one in asked.get("services", {}).items() if one.get("data")]
    wanted += [(one["container"], one["path"], one.get("place"), None) for one in asked.get("write_surfaces", [])]
    for container in containers:
        for name, path, place, volume in wanted:
            mount = covering(container, path) if name == container["name"] else None
            if mount is None or (volume is not None and mount["name"] == volume):
                continue
            at = landing(container, path)
            # The place of a plain volume is the folder that Docker made for it.
            is_accounted = mount["type"] == "volume" and mount["host_path"] == mount["source"]
            if at is not None and at != place and not is_accounted:
                yield at


def sources(asked: dict[str, Any], seen: dict[str, Any]) -> dict[str, int | None]:
    """Return the bytes of each such directory by its path on the host, None for one that could not be measured within the limits."""
    paths = sorted(set(to_measure(asked, seen.get("docker_containers") or [])))
    ends = time.monotonic() + LIMIT_S
    found = {}
    for number, path in enumerate(paths):
        now = time.monotonic()
        # What one leaves of its share is the others'.
        found[path] = size_of(path, now + (ends - now) / (len(paths) - number), MOST_ENTRIES)
    return found
