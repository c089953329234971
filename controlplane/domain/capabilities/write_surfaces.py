"""storage.write_surfaces: temp and upload paths of containers get their governed bind, with owner and mode; what is in them is carried over.

Rules:
- The bind is of the exact path: nothing is mounted over a container's /tmp as a whole.
- One step a container, which stops once for all of its paths. Those whose container's data move in the same plan go along with them, in that step.
- A place that is bound already and has another owner or mode gets those, and for that alone nothing stops.
- Large files in the host's own /tmp are nobody's here: storage.tmp_files removes them, each by name, in a plan of its own.
- What drifts is D238's own judgement, so that a plan and its check can't disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from controlplane.domain.capabilities.path_moves import CannotError, Moving, is_overridden, refuse
from controlplane.domain.capabilities.path_steps import draft_of
from controlplane.domain.capabilities.proposal import Capability, Draft, Outlook, Proposal, about
from controlplane.domain.capabilities.surface_paths import drifting, mend_of, together
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved

ID = "storage.write_surfaces"
_KEYS = ("data", "place", "mount", "owner", "mode")


def _propose(desired: DesiredHost, reader: Reader, outlook: Outlook) -> Proposal:
    found: list[Moving] = []
    refusals: list[str] = []
    surfaces = [surface for surface in desired.write_surfaces if mend_of(surface) not in outlook.mended]
    for surface in sorted(surfaces, key=lambda one: (one.container, one.path)) if not outlook.docker_comes else ():
        try:
            path = drifting(desired, surface, reader)
            if path is not None:
                refuse(path, desired, reader, outlook)
                found.append(path)
        except Unobserved as doubt:
            refusals.append(f"could not be observed: {about(surface.container, doubt)}")
        except CannotError as reason:
            refusals.append(f"{surface.container}: {reason}")
    drafts: list[Draft] = []
    for _, paths in groupby(found, key=lambda path: path.name):
        left = list(paths)
        while left:
            chosen, left = together((), left)
            drafts.append(draft_of(chosen, (desired, reader, outlook), variables=_variables(desired, chosen)))
    return Proposal(drafts=tuple(drafts), refusals=tuple(refusals))


def _variables(desired: DesiredHost, paths: Sequence[Moving]) -> dict[str, object]:
    return {
        "write_surfaces_container": paths[0].name,
        "write_surfaces_paths": [{key: value for key, value in path.variables(desired).items() if key in _KEYS} for path in paths],
        "write_surfaces_override": is_overridden(desired, paths[0].container),
    }


CAPABILITY = Capability(id=ID, role="write_surfaces", propose=_propose, mounts=False)
