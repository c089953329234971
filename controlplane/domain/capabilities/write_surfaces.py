"""storage.write_surfaces: temp and upload paths of containers get their governed bind, with owner and mode; what is in them is carried over.

Rules:
- The bind is of the exact path: nothing is mounted over a container's /tmp as a whole.
- A place that is bound already and has another owner or mode gets those, and nothing stops.
- Large files in the host's own /tmp are nobody's here: storage.tmp_files removes them, each by name, in a plan of its own.
- What drifts is D238's own judgement, so that a plan and its check can't disagree.
"""

from __future__ import annotations

from typing import Any

from controlplane.domain.capabilities.path_moves import CannotError, Moving, draft_of, is_overridden
from controlplane.domain.capabilities.proposal import Capability, Draft, Outlook, Proposal
from controlplane.domain.capabilities.root_bounds import mount_of
from controlplane.domain.checks.case import Case
from controlplane.domain.checks.landing import land
from controlplane.domain.checks.write_surfaces import is_bound, ungoverned
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.evidence_shapes import Container, PathPlace
from controlplane.domain.plan import Change, Mend
from controlplane.domain.services import WriteSurface

ID = "storage.write_surfaces"


def _propose(desired: DesiredHost, reader: Reader, outlook: Outlook) -> Proposal:
    drafts: list[Draft] = []
    refusals: list[str] = []
    surfaces = sorted(desired.write_surfaces, key=lambda one: (one.container, one.path))
    for surface in surfaces if not outlook.docker_comes else ():
        try:
            draft = _decide(desired, surface, reader, outlook)
        except Unobserved as doubt:
            refusals.append(f"could not be observed: {doubt}")
        except CannotError as reason:
            refusals.append(f"{surface.container}: {reason}")
        else:
            drafts += [draft] if draft is not None else []
    return Proposal(drafts=tuple(drafts), refusals=tuple(refusals))


def _decide(desired: DesiredHost, surface: WriteSurface, reader: Reader, outlook: Outlook) -> Draft | None:
    container = next((seen for seen in reader.containers if seen["name"] == surface.container), None)
    if container is None:
        raise Unobserved(f"{surface.container}: there is no container of this name")
    place = reader.paths.get(surface.place)
    if place is None:
        raise Unobserved(f"{surface.place} was not looked at")
    case = Case(desired, reader.evidence)
    landing = land(case, container, surface.path)
    mends = (Mend(check="D238", surface=f"write_surface:{surface.container}:{surface.path}"),)
    variables = _variables(desired, surface, container)
    if is_bound(case, landing, surface, place):
        return _governed(surface, place, mends, variables) if ungoverned(surface, place) else None
    more = (Change(kind="attribute", target=surface.place, before=None, after=_declared(surface)),) if _declared(surface) else ()
    moving = Moving(container, landing, surface.path, surface.place)
    return draft_of(moving, (desired, reader, outlook), mends=mends, variables=variables, more=more)


def _governed(surface: WriteSurface, place: PathPlace, mends: tuple[Mend, ...], variables: dict[str, Any]) -> Draft:
    return Draft(
        mends=mends,
        changes=(
            Change(
                kind="attribute", target=surface.place, before=f"{place['uid']}:{place['gid']} {place['mode'] or 0:04o}", after=_declared(surface)
            ),
        ),
        undo="give the place the owner and the mode that it had",
        variables=variables,
    )


def _declared(surface: WriteSurface) -> str:
    return " ".join(filter(None, (surface.owner, surface.mode)))


def _variables(desired: DesiredHost, surface: WriteSurface, container: Container) -> dict[str, Any]:
    return {
        "write_surfaces_container": surface.container,
        "write_surfaces_path": surface.path,
        "write_surfaces_place": surface.place,
        "write_surfaces_mount": mount_of(surface.place, desired) or "",
        "write_surfaces_owner": surface.owner or "",
        "write_surfaces_mode": surface.mode or "",
        "write_surfaces_override": is_overridden(desired, container),
    }


CAPABILITY = Capability(id=ID, role="write_surfaces", propose=_propose, mounts=False)
