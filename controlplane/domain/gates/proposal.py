"""A proposed change of a mode: which file and field, from what to what, and on which runs. A person approves it by its digest."""

from __future__ import annotations

from typing import Any, Literal

from controlplane.domain.digest import digest_of
from controlplane.domain.errors import RefusedError
from controlplane.domain.gates.promotion import Standing
from controlplane.domain.gates.values import Mode
from controlplane.domain.values import Value


class ModeChange(Value):
    """One check on one host; `field` is where gates.yml says it."""

    check: str
    host: str
    field: str
    before: Mode
    after: Mode
    runs: tuple[str, ...]


class Proposal(Value):
    """All changes of one decision. `proposal` is the digest of everything below it, and what an approval is bound to."""

    proposal: str
    kind: Literal["promote", "demote"]
    site: str
    made_at: str
    requester: str
    reason: str
    file: str
    file_digest: str
    policy: str
    changes: tuple[ModeChange, ...]

    def expected(self) -> str:
        """Return the digest that its content has."""
        return digest_of(self.model_dump(mode="json", exclude={"proposal"}))


def seal(**fields: Any) -> Proposal:
    """Return the proposal with its digest."""
    blank = Proposal(proposal="", **fields)
    return blank.model_copy(update={"proposal": blank.expected()})


def promotions(standings: tuple[Standing, ...]) -> tuple[ModeChange, ...]:
    """Return the changes that promote all of these. Raises `RefusedError` with everything that holds one back."""
    held = [f"{one.check} on {one.host}: {reason}" for one in standings if one.mode == "report" for reason in one.held_by]
    if held:
        told = "\n  ".join(held)
        raise RefusedError(f"not earned yet:\n  {told}\nNothing was changed. 'controlplane gates explain CHECK' shows which runs count.")
    return tuple(_change(one, "report", "enforce") for one in standings if one.mode == "report")


def demotions(standings: tuple[Standing, ...]) -> tuple[ModeChange, ...]:
    """Return the changes that demote all of these; a person may always do so."""
    return tuple(_change(one, "enforce", "report") for one in standings if one.mode == "enforce")


def _change(one: Standing, before: Mode, after: Mode) -> ModeChange:
    runs = tuple(run.run for run in one.runs if run.counts)[: one.wanted] if after == "enforce" else tuple(run.run for run in one.runs[:1])
    return ModeChange(check=one.check, host=one.host, field=f"modes.{one.check}.{one.host}", before=before, after=after, runs=runs)
