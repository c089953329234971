"""The picture of one host: its disks, and on each what lies there and what still belongs there."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.board import Awaited, BoardDisk, Picture
from controlplane.domain.board_disks import bare_disk, declared_leaves, leaf_disks, missing_disk
from controlplane.domain.board_things import Laid, things_of
from controlplane.domain.checks.case import Case
from controlplane.domain.checks.landing import is_at_or_below
from controlplane.domain.desired import DesiredHost
from controlplane.domain.disks import Disk
from controlplane.domain.evidence import Evidence, Unobserved
from controlplane.domain.finding import Finding


def picture_of(desired: DesiredHost, evidence: Evidence, findings: Sequence[Finding], *, doubt: str | None = None) -> Picture:
    """Return the picture of one host; `findings` are its own.

    `doubt` says why its evidence does not count: then everything is shown as it was, and stands unknown.
    """
    case = Case(desired, evidence, general=desired.data is None)
    try:
        numbers = leaf_disks(case)
    except Unobserved as unseen:
        return Picture(doubt=f"its disks could not be observed: {unseen}")
    laid = [_doubted(one) if doubt else one for one in things_of(case, findings)]
    disks = [_furnished(case, number, laid) for number in numbers]
    disks += [_without_device(disk, laid) for disk in desired.disks if not declared_leaves(case, disk)]
    return Picture(disks=tuple(disks), elsewhere=tuple(one.resident for one in laid if not one.disks & set(numbers)))


def _doubted(one: Laid) -> Laid:
    return Laid(one.resident.model_copy(update={"standing": "unknown", "belongs_on": None, "belongs_at": None}), one.disks)


def _furnished(case: Case, number: str, laid: Sequence[Laid]) -> BoardDisk:
    here = tuple(one.resident for one in laid if number in one.disks)
    coming = tuple(_awaited(one) for one in laid if one.is_misplaced and one.home is not None and number in one.home.disks)
    return bare_disk(case, number).model_copy(update={"residents": here, "awaited": coming})


def _without_device(disk: Disk, laid: Sequence[Laid]) -> BoardDisk:
    """Return a declared disk that the host does not show, with all that belongs on it."""
    coming = [one for one in laid if one.is_misplaced and one.home is not None and not one.home.disks and is_at_or_below(one.home.path, disk.mount)]
    return missing_disk(disk).model_copy(update={"awaited": tuple(_awaited(one) for one in coming)})


def _awaited(one: Laid) -> Awaited:
    return Awaited(what=one.resident.what, path=one.home.path if one.home else "", now_on=one.names)
