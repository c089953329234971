"""What can be approved, as a file: a plan, or a proposed change of modes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from controlplane.adapters.plan_files import JsonPlanFiles
from controlplane.adapters.proposal_files import ProposalFiles
from controlplane.adapters.text_files import read_text
from controlplane.domain.errors import InputInvalidError
from controlplane.domain.plain_json import load_plain
from controlplane.domain.releases.bringing import brings


class Approvable(NamedTuple):
    """The digest that an approval is bound to, what in it destroys something, which modes it changes, the verb that carries it out, and who asks.

    A plan is asked for by whoever applies it: None.
    """

    digest: str
    destructive: tuple[str, ...]
    modes: tuple[str, ...]
    then: str
    requester: str | None = None


def read_approvable(path: str) -> Approvable:
    """Return what the file asks to be approved. Raises `InputInvalidError`."""
    if _is_proposal(path):
        proposal = ProposalFiles().read(path)
        modes = tuple(f"{proposal.file}  {one.field}: {one.before} -> {one.after}" for one in proposal.changes)
        return Approvable(proposal.proposal, (), modes, f"gates {proposal.kind} --apply", proposal.requester)
    plan = JsonPlanFiles().read(path)
    found = brings(plan)
    then = f"{found.verb} --plan" if found is not None else "apply"
    return Approvable(plan.plan, tuple(change.target for step in plan.steps for change in step.changes if change.destructive), (), then)


def _is_proposal(path: str) -> bool:
    try:
        held = load_plain(read_text(Path(path)))
    except (InputInvalidError, ValueError):
        return False  # the reader of plans says what is wrong with it
    return isinstance(held, dict) and "proposal" in held
