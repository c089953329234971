"""What a board shows of releases: by the receipts alone, no host is asked for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controlplane.domain.board import BoardRelease
from controlplane.domain.errors import ControlPlaneError
from controlplane.domain.governance import Governance
from controlplane.domain.plan import Plan
from controlplane.domain.receipt import Receipt
from controlplane.domain.releases.history import deployed
from controlplane.domain.releases.proof import proof_since
from controlplane.domain.releases.values import Environment, ReleaseSpec


def releases_of(governance: Governance, chain: Sequence[Receipt], plan_of: Callable[[str], Plan]) -> tuple[BoardRelease, ...]:
    """Return every stack in each of its environments; one whose receipts or plans can't be followed says so."""
    rows = [(stack, spec, name, place) for stack, spec in sorted(governance.releases.items()) for name, place in spec.environments.items()]
    return tuple(_row(stack, spec, name, place, chain, plan_of) for stack, spec, name, place in rows)


def _row(  # noqa: PLR0917 - one row's whole surroundings
    stack: str, spec: ReleaseSpec, name: str, place: Environment, chain: Sequence[Receipt], plan_of: Callable[[str], Plan]
) -> BoardRelease:
    row = BoardRelease(stack=stack, goal=spec.goal, environment=name, hosts=place.hosts)
    try:
        found = deployed(chain, plan_of, stack=stack, environment=name, hosts=place.hosts)
    except ControlPlaneError as error:
        return row.model_copy(update={"doubt": str(error)})
    current = found.current
    if current is None:
        return row.model_copy(update={"doubt": found.doubt})
    proof = proof_since(chain, found)
    said = {
        "manifest": current.manifest_name,
        "since": found.since.at if found.since is not None else None,
        "proof": proof.receipt.key if proof is not None else None,
    }
    return row.model_copy(update={**said, "proven": proof is not None and proof.passed})
