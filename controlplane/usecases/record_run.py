"""What every verb that changes hosts shares: the chain of receipts of one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from controlplane.domain.capabilities import CAPABILITIES
from controlplane.domain.evidence import Evidence, Reader, Unobserved, Unreached
from controlplane.domain.plan import Plan, Step
from controlplane.domain.receipt import ChangeStatus, Outcome, Receipt
from controlplane.ports.clocks import Clock
from controlplane.ports.receipts import ReceiptStore

WHOLE = "plan.apply"
STAMP = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Ledger:
    """Writes the receipts of one run; each is durable when its method returns."""

    receipts: ReceiptStore
    clock: Clock
    run: str
    site: str
    plan: str
    policy: str
    operator: str

    def intend(self, key: str, *, host: str, capability: str, step: str, undoes: str | None = None, told: dict[str, Any] | None = None) -> None:
        """Record what is about to be changed."""
        self._append(key=key, phase="intent", host=host, capability=capability, step=step, undoes=undoes, told=told)

    def close(
        self,
        key: str,
        *,
        host: str,
        capability: str,
        step: str,
        outcome: Outcome,
        reason: str | None = None,
        changes: tuple[ChangeStatus, ...] = (),
        evidence: str | None = None,
        downtime_s: dict[str, float] | None = None,
        undoes: str | None = None,
        expires_at: str | None = None,
        route: str | None = None,
        told: dict[str, Any] | None = None,
    ) -> None:
        """Record what became of it."""
        self._append(
            key=key,
            phase="result",
            host=host,
            capability=capability,
            step=step,
            outcome=outcome,
            reason=reason,
            changes=changes,
            evidence=evidence,
            downtime_s=downtime_s or {},
            undoes=undoes,
            expires_at=expires_at,
            route=route,
            told=told,
        )

    def _append(self, **fields: object) -> None:
        link = {
            "seq": 0,
            "previous": None,
            "run": self.run,
            "at": self.clock.now().strftime(STAMP),
            "site": self.site,
            "plan": self.plan,
            "policy": self.policy,
            "operator": self.operator,
            **fields,
        }
        self.receipts.append(Receipt.model_validate(link))


def change_statuses(step: Step, plan: Plan, fresh: Plan | None, seen: Evidence | Unreached | None = None) -> tuple[ChangeStatus, ...]:
    """Return the step's change records with what fresh evidence, as it was `seen` and planned by, says became of them.

    Nothing counts as done without evidence, nor where the capability could not say what is left (a refusal that `plan` did not hold). One that looks
    for each thing that the step named is asked that: what another plan would do by now says nothing of it.
    """
    if CAPABILITIES[step.capability].left_of is not None:
        targets = _left_of(step, seen)
        left = {change.target for change in step.changes} if targets is None else targets
        return tuple(ChangeStatus(**change.model_dump(), status="not-done" if change.target in left else "done") for change in step.changes)
    if fresh is None or any(r not in plan.refusals and (r.host, r.capability) == (step.host, step.capability) for r in fresh.refusals):
        return with_status(step, "not-done")
    planned = {(s.host, c.model_dump_json()) for s in fresh.steps for c in s.changes}
    return tuple(
        ChangeStatus(**change.model_dump(), status="not-done" if (step.host, change.model_dump_json()) in planned else "done")
        for change in step.changes
    )


def nothing_left(plan: Plan, seen: Mapping[str, Evidence | Unreached]) -> bool:
    """Say whether all that the plan's steps named is seen to be done; False where one of them can't be asked that."""
    return all(_left_of(step, seen.get(step.host)) == frozenset() for step in plan.steps)


def _left_of(step: Step, seen: Evidence | Unreached | None) -> frozenset[str] | None:
    look = CAPABILITIES[step.capability].left_of
    try:
        return look(step, Reader(seen)) if look is not None and isinstance(seen, Evidence) else None
    except Unobserved:
        return None


def with_status(step: Step, status: Literal["done", "not-done", "undone"]) -> tuple[ChangeStatus, ...]:
    """Return the step's change records, all with one status."""
    return tuple(ChangeStatus(**change.model_dump(), status=status) for change in step.changes)
