"""The paths of this host that a stack binds: each has to be there, and to lie where it says.

A source that is missing would be made by Docker, empty, on whatever disk is there (docker/compose#13602): a disk that is not mounted, a name that is
misspelt, and the service starts without its data.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from . import fstab_lines, mounts
from .mounts import Mount
from .stack_judge import Bind

FSTAB = Path("/etc/fstab")


def of_the_binds(binds: Iterable[Bind], places: Iterable[str]) -> list[str]:
    """Return what speaks against those binds, and against the places that a plan found to be needed."""
    table, awaited = mounts.read(), declared_mounts()
    users: dict[str, list[str]] = {}
    writable = set(places)
    for bind in binds:
        users.setdefault(bind.source, []).append(bind.user)
        writable |= {bind.source} if bind.is_writable else set()
    for place in places:
        users.setdefault(place, [])
    found = []
    for source, names in sorted(users.items()):
        reason = _of_one(source, source in writable, table, awaited)
        found += [f"{source}{f', which {_and(names)} binds,' if names else ''} {reason}"] if reason else []
    return found


def unplanned(binds: Iterable[Bind], places: Iterable[str]) -> list[str]:
    """Return which of those binds are of no place that the plan names: by the policy of this host they were never judged."""
    known = {os.path.normpath(place) for place in places}
    return [
        f"{bind.source}, which {bind.user} binds and may write to, is no place that the plan names, so Compose reads it otherwise here than it was judged: "
        "write the path out in the compose files, then make a new plan"
        for bind in binds
        if os.path.normpath(bind.source) not in known
    ]


def _of_one(source: str, is_writable: bool, table: Sequence[Mount], awaited: Sequence[str]) -> str | None:
    """Return what is wrong with one source. A file, a socket or what is only read may lie behind a link."""
    if not os.path.exists(source):
        return "is not there, and Docker would make it, empty, on the disk that is: bring its disk back, or make it"
    real = os.path.realpath(source)
    if is_writable and os.path.isdir(source) and real != source:
        return f"leads to {real} by a symbolic link: name the real path"
    mounted = mounts.mount_of(real, list(table)).mount
    above = [mount for mount in awaited if mounts.is_at_or_below(real, mount) and len(mount) > len(mounted)]
    return f"lies on {mounted}, and {above[-1]}, where it belongs by {FSTAB}, is not mounted: mount it" if above else None


def mounts_of(binds: Iterable[Bind]) -> list[str]:
    """Return the mounts on which those that are there lie, but for the root's and those in memory: a boot has to wait for them."""
    table = mounts.read()
    found = {mounts.mount_of(os.path.realpath(bind.source), table).mount for bind in binds if os.path.exists(bind.source)}
    return sorted(mount for mount in found if mount != "/" and not mounts.is_at_or_below(mount, "/run"))


def declared_mounts() -> list[str]:
    """Return where fstab mounts something, the shortest path first."""
    try:
        lines = FSTAB.read_text("utf-8", "surrogateescape").splitlines()
    except FileNotFoundError:
        return []
    entries = [entry for line in lines if (entry := fstab_lines.parse(line)) is not None]
    return sorted((entry["file"] for entry in entries if entry["file"].startswith("/") and "noauto" not in entry["options"]), key=len)


def _and(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))
