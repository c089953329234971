"""The evidence trail: an intent before each change, a result after it, chained by digest.

Rules:
- An intent without a result is open: it blocks other plans on that host until it is resumed or rolled back.
- Each receipt names the digest of the one before it, so that a missing or altered one is seen (`chain`).
- A receipt holds no secret: change records, digests and outcomes only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from controlplane.domain.coordination import Stamp
from controlplane.domain.digest import digest_of
from controlplane.domain.plan import Change
from controlplane.domain.values import Value

Outcome = Literal["done", "failed", "interrupted", "rolled-back", "refused"]


class ChangeStatus(Change):
    """A change record with what became of it."""

    status: Literal["done", "not-done", "undone"]


class Receipt(Value):
    """One link of the chain. `run` is the whole attempt, `key` this capability's part of it; `downtime_s` is measured, by container.

    `expires_at` is when what it says ends by itself; None for what was done, which stays so. `route` is the digest of the way by which the
    host was reached, where what is said holds for the machine at its end only. `told` is what the role itself read and measured, such as settings
    before and after.
    """

    seq: int
    previous: str | None
    key: str
    run: str
    phase: Literal["intent", "result"]
    at: Stamp
    site: str
    host: str
    capability: str
    step: str
    plan: str
    policy: str
    operator: str
    undoes: str | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    changes: tuple[ChangeStatus, ...] = ()
    evidence: str | None = None
    downtime_s: dict[str, float] = Field(default={})
    expires_at: str | None = None
    route: str | None = None
    told: dict[str, Any] | None = None

    def file_name(self) -> str:
        """Return the name of its file in the chain's folder."""
        return f"{self.seq:06d}-{self.key}.{self.phase}.json"

    def digest(self) -> str:
        """Return the digest that the next receipt names."""
        # What is not said is left out, so that receipts from before it could be said keep their digest.
        return digest_of(self.model_dump(mode="json", exclude={name for name in ("expires_at", "route", "told") if getattr(self, name) is None}))


class ChainFault(Value):
    """One place where the chain does not hold."""

    file: str
    reason: str


def open_intents(receipts: Sequence[Receipt]) -> tuple[Receipt, ...]:
    """Return the intents that no result closes and no later rollback undid, oldest first.

    What belongs to no plan (a reboot) can be neither resumed nor taken back, so it is never open.
    """
    closed = {receipt.key for receipt in receipts if receipt.phase == "result"}
    undone = undone_keys(receipts)
    return tuple(r for r in receipts if r.phase == "intent" and r.plan and r.key not in closed and r.key not in undone)


def undone_keys(receipts: Sequence[Receipt]) -> frozenset[str]:
    """Return the keys of the steps that were taken back."""
    return frozenset(r.undoes for r in receipts if r.phase == "result" and r.outcome == "rolled-back" and r.undoes is not None)
