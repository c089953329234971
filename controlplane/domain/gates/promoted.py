"""Which checks are enforced by a promotion that somebody approved, as the receipts say.

Rules:
- The last change of a mode that is on record counts: a demotion ends what the promotion before it said.
- The intent of a change names the approval that it took, the result that gates.yml was written. Both are asked.
- A mode that somebody just wrote into gates.yml is in no receipt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from controlplane.domain.receipt import Receipt

_PROMOTE, _DEMOTE = "gates.promote", "gates.demote"


class Promoted(NamedTuple):
    """The receipt of a promotion, and whose approval it took."""

    receipt: str
    approver: str


def promoted(chain: Sequence[Receipt]) -> dict[tuple[str, str], Promoted]:
    """Return the promotion of each (check, host) that was not demoted since."""
    approvers: dict[str, str] = {}
    found: dict[tuple[str, str], Promoted] = {}
    for one in chain:
        if one.capability not in (_PROMOTE, _DEMOTE):
            continue
        if one.phase == "intent":
            approvers |= _approver(one)
        elif one.outcome == "done":
            for check, host, after in _changes(one):
                found.pop((check, host), None)
                if one.capability == _PROMOTE and after == "enforce" and one.key in approvers:
                    found[check, host] = Promoted(one.key, approvers[one.key])
    return found


def _approver(intent: Receipt) -> dict[str, str]:
    taken = (intent.told or {}).get("approval")
    approver = taken.get("approver") if isinstance(taken, dict) else None
    return {intent.key: approver} if isinstance(approver, str) else {}


def _changes(result: Receipt) -> Iterator[tuple[Any, Any, Any]]:
    told = (result.told or {}).get("changes")
    for one in told if isinstance(told, list) else ():
        if isinstance(one, dict):
            yield one.get("check"), one.get("host"), one.get("after")
