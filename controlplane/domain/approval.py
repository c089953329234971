"""An approval: who allows which plan, until when. It is bound to the plan's digest and used by one run.

Rules:
- It is used once: by the mark beside it, and by the chain, where the run's intent names the approval that it took. Losing the mark frees nothing.
  One that an open run takes for want of that is named by an entry of its own, before anything goes on by it.
- What was once seen expired stays so, whatever a clock says later; so does what was given before the site's time was reset. No time tells that,
  either clock may have been the wrong one: it names the newest reset that was known when it was given.
- Resuming the run that took it is covered, also after it expired.
- `other` means another key than the operator's own and the requester's. Whose key the operator's is has to be known, else it could be any.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from controlplane.domain.coordination_rules import BEHIND
from controlplane.domain.receipt import Receipt
from controlplane.domain.values import Value

# The entry by which a run that is open takes another approval than the one that it was begun with.
AGAIN = "plan.approval"
LASTS = timedelta(hours=24)
# A window comes within a week, and is over within another day.
FARTHEST = timedelta(days=9)
_STAMP = "%Y-%m-%dT%H:%M:%SZ"


class Approval(Value):
    """`used_by` is the run that took it; resuming that run is covered by it. `expired` says that it was seen expired before.

    `approver` is whose key signed it, by the allowed signers, or what the file says where the site has none. `requester` is how the allowed
    signers, or else the program, name who asked for it: None for a plan, which whoever applies it asks for.

    `after` is the key of the newest reset of the site's time when it was given, None where there was none.

    One of a wave names the wave, its hosts, and the window in which it holds: `opens_at` and `closes_at` are None where the site has no windows.
    """

    plan: str
    approver: str
    requester: str | None
    approved_at: str
    expires_at: str
    used_by: str | None = None
    expired: bool = False
    after: str | None = None
    wave: str | None = None
    hosts: tuple[str, ...] = ()
    opens_at: str | None = None
    closes_at: str | None = None


class Scope(Value):
    """What an approval of a wave is bound to beyond the plan."""

    wave: str
    hosts: tuple[str, ...]
    opens_at: str | None
    closes_at: str | None


def approve(plan: str, *, approver: str, requester: str | None, now: datetime, scope: Scope | None = None, reset: Receipt | None = None) -> Approval:
    """Return the approval of `plan`, good for a day, or until the window of its scope closes; `reset` is the newest one of the site's time."""
    ends = (now + LASTS).strftime(_STAMP)
    after = reset.key if reset is not None else None
    given = Approval(plan=plan, approver=approver, requester=requester, approved_at=now.strftime(_STAMP), expires_at=ends, after=after)
    return given if scope is None else given.model_copy(update={**scope.model_dump(), "expires_at": scope.closes_at or ends})


def objection(
    approval: Approval | None,
    *,
    demanded: Literal["none", "self", "other"],
    plan: str,
    operator: str,
    run: str | None,
    now: datetime,
    signs_as: str | None = None,
    reset: Receipt | None = None,
) -> str | None:
    """Return why a run of `plan` by `operator` may not start, or None.

    `run` is the run that is resumed, if one is; `signs_as` is how the allowed signers name the operator's own key; `reset` is the newest
    reset of the site's time.
    """
    if demanded == "none" or (approval is not None and approval.plan == plan and run is not None and approval.used_by == run):
        return None
    if approval is None or approval.plan != plan:
        return "site.yml demands an approval and this plan has none: run 'controlplane approve' on the plan file"
    if approval.used_by is not None:
        return f"its approval was used by {approval.used_by}: approve it again if it is to run a second time"
    untimely = _untimely(approval, now, reset) or _outside(approval, now)
    if untimely is not None:
        return untimely
    return _alone(approval, operator, signs_as) if demanded == "other" else None


def used_in(approval: Approval, chain: Sequence[Receipt]) -> str | None:
    """Return the run whose intent names this approval; one that was refused in the end did not use it."""
    refused = {receipt.key for receipt in chain if receipt.outcome == "refused"}
    named = {"plan": approval.plan, "approved_at": approval.approved_at}
    for receipt in chain:
        taken = (receipt.told or {}).get("approval")
        if receipt.phase == "intent" and receipt.key not in refused and isinstance(taken, dict) and named.items() <= taken.items():
            return taker(receipt)
    return None


def taker(receipt: Receipt) -> str:
    """Return the run that takes the approval which this intent names."""
    return str((receipt.told or {}).get("run")) if receipt.capability == AGAIN else receipt.run


def as_told(approval: Approval | None) -> dict[str, Any] | None:
    """Return what an intent says of the approval that its run takes."""
    if approval is None:
        return None
    return {"approval": {name: getattr(approval, name) for name in ("plan", "approver", "approved_at", "expires_at")}}


def is_over(approval: Approval, now: datetime) -> bool:
    """Say whether it expired; one whose end can't be read has not."""
    try:
        return _moment(approval.expires_at) <= now
    except ValueError:
        return False


def _alone(approval: Approval, operator: str, signs_as: str | None) -> str | None:
    if signs_as is None:
        return (
            "site.yml demands another person's approval, and whose key yours is can't be told: name a signing_key in site.yml that the allowed "
            "signers name"
        )
    if approval.approver in (operator, signs_as):
        return f"site.yml demands another person's approval, and {approval.approver} approved it alone"
    if approval.approver == approval.requester:
        return f"site.yml demands another person's approval, and {approval.approver} asked for it"
    return None


def _moment(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00"))


def _outside(approval: Approval, now: datetime) -> str | None:
    if approval.opens_at is None or now.strftime(_STAMP) >= approval.opens_at:
        return None
    return f"it was approved for the window from {approval.opens_at} to {approval.closes_at}, which is not open yet"


def _untimely(approval: Approval, now: datetime, reset: Receipt | None) -> str | None:
    try:
        ends, given = _moment(approval.expires_at), _moment(approval.approved_at)
        lasts, over = ends <= now + (FARTHEST if approval.closes_at == approval.expires_at else LASTS), is_over(approval, now)
        early = given > now + BEHIND
    except (TypeError, ValueError):
        return f"when its approval expires can't be read ({approval.expires_at}): approve it again"
    if early:
        return f"its approval was given at {approval.approved_at}, and it is {now.strftime(_STAMP)} here: set the wrong clock, and approve it again"
    if not lasts:
        return f"its approval would last until {approval.expires_at}, longer than any that this program gives: approve it again"
    if reset is not None and approval.after != reset.key:
        return f"its approval was given before the site's time was reset at {reset.at}: approve it again"
    if approval.expired or over:
        return f"its approval expired at {approval.expires_at}: approve it again"
    return None
