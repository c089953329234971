"""Declared temp and upload paths of containers that are not as declared, and which of them may move together.

What drifts is D238's own judgement, so that a plan and its check can't disagree.
"""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.domain.capabilities.path_moves import Moving, is_apart
from controlplane.domain.checks.case import Case
from controlplane.domain.checks.landing import land
from controlplane.domain.checks.write_surfaces import is_bound, ungoverned
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.plan import Mend
from controlplane.domain.services import WriteSurface


def mend_of(surface: WriteSurface) -> Mend:
    """Return the finding that a surface at its place mends."""
    return Mend(check="D238", surface=f"write_surface:{surface.container}:{surface.path}")


def drifting(desired: DesiredHost, surface: WriteSurface, reader: Reader) -> Moving | None:
    """Return what is to be done with a surface, None where it is as declared. Raises `Unobserved`."""
    container = next((seen for seen in reader.containers if seen["name"] == surface.container), None)
    if container is None:
        raise Unobserved(f"{surface.container}: there is no container of this name")
    place = reader.paths.get(surface.place)
    if place is None:
        raise Unobserved(f"{surface.place} was not looked at")
    case = Case(desired, reader.evidence)
    landing = land(case, container, surface.path)
    has = None
    if is_bound(case, landing, surface, place):
        if not ungoverned(surface, place):
            return None
        has = f"{place['uid']}:{place['gid']} {place['mode'] or 0:04o}"
    return Moving(
        container,
        landing,
        "surface",
        surface.path,
        surface.place,
        owner=surface.owner or "",
        mode=surface.mode or "",
        has=has,
        mends=(mend_of(surface),),
    )


def together(first: Iterable[Moving], others: Iterable[Moving]) -> tuple[list[Moving], list[Moving]]:
    """Return `first` with those of the others that may move with them, and what is left: it lies within one of them, and has to wait."""
    chosen = list(first)
    left: list[Moving] = []
    for path in others:
        (chosen if all(is_apart(path, held) for held in chosen) else left).append(path)
    return chosen, left
