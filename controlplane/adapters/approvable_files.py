"""What can be approved, as a file: a plan, or a proposed change of modes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from controlplane.adapters.plan_files import JsonPlanFiles
from controlplane.adapters.proposal_files import ProposalFiles


class Approvable(NamedTuple):
    """The digest that an approval is bound to, what in it destroys something, the verb that carries it out, and who asks for it.

    A plan is asked for by whoever applies it: None.
    """

    digest: str
    destructive: tuple[str, ...]
    then: str
    requester: str | None = None


def read_approvable(path: str) -> Approvable:
    """Return what the file asks to be approved. Raises `InputInvalidError`."""
    if _is_proposal(path):
        proposal = ProposalFiles().read(path)
        return Approvable(proposal.proposal, (), f"gates {proposal.kind} --apply", proposal.requester)
    plan = JsonPlanFiles().read(path)
    return Approvable(plan.plan, tuple(change.target for step in plan.steps for change in step.changes if change.destructive), "apply")


def _is_proposal(path: str) -> bool:
    try:
        held = json.loads(Path(path).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(held, dict) and "proposal" in held
