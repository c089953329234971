"""D245: how full the data disks are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from controlplane.domain.checks.case import Answer, Case, Check, Named, Question, all_or, drifted, fill_of, met
from controlplane.domain.desired import DesiredHost


def _questions(desired: DesiredHost, general: bool) -> Iterator[Question]:
    """Judge `disk.usage:MOUNT`.

    Description: each data disk has room, in bytes and in inodes.
    Drift: usage at or over `disk_used_warn` (medium) or `disk_used_fail`, where one is set (high); nothing mounted there (medium).
    Unknown: the mount table or the usage could not be observed, or the numbers make no sense.
    Rationale: a full data disk stops every database at once; a moved root has only moved the day on which the disk is full.
    """
    for disk in desired.disks:
        yield Question(f"disk.usage:{disk.mount}", partial(_usage, mount=disk.mount))
    if general:
        yield Question("disk.usage:*", _all)


def _usage(case: Case, *, mount: str) -> Answer:
    if case.lineage.top_mount(mount) is None:
        return drifted(f"nothing is mounted at {mount}", "medium")
    limits = case.desired.thresholds
    fill = fill_of(case.reader.usage, mount)
    worst = max(fill)
    if limits.disk_used_fail is not None and worst >= limits.disk_used_fail:
        return drifted(f"{mount}: {fill}, fail limit {limits.disk_used_fail}%", "high")
    if worst >= limits.disk_used_warn:
        return drifted(f"{mount}: {fill}, warn limit {limits.disk_used_warn}%", "medium")
    return met(f"{mount}: {fill}, warn limit {limits.disk_used_warn}%")


def _all(case: Case) -> Sequence[Named]:
    """Without a policy: every writable filesystem on a device other than that of `/`, each once."""
    root = case.lineage.top_mount("/")
    found, seen = [], {root["dev"] if root else ""}
    for mount in case.reader.mounts:
        if mount["dev"].startswith("0:") or mount["dev"] in seen or mount["mount"] not in case.reader.usage:
            continue
        seen.add(mount["dev"])
        if "ro" not in mount["options"] and mount["fstype"] not in ("squashfs", "iso9660"):
            found.append(Named(f"disk.usage:{mount['mount']}", _usage(case, mount=mount["mount"])))
    return all_or("disk.usage:*", found, "no filesystem but / lies on a disk")


CHECK = Check("D245", "usage of data disks", "medium", _questions)
