"""An approval: who allows which plan, until when. It is bound to the plan's digest and used by one run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from controlplane.domain.values import Value

LASTS = timedelta(hours=24)


class Approval(Value):
    """`used_by` is the run that took it; resuming that run is covered by it."""

    plan: str
    approver: str
    requester: str
    approved_at: str
    expires_at: str
    used_by: str | None = None


def approve(plan: str, *, approver: str, requester: str, now: datetime) -> Approval:
    """Return the approval of `plan`, good for a day."""
    stamp = "%Y-%m-%dT%H:%M:%SZ"
    return Approval(plan=plan, approver=approver, requester=requester, approved_at=now.strftime(stamp), expires_at=(now + LASTS).strftime(stamp))


def objection(
    approval: Approval | None,
    *,
    demanded: Literal["none", "self", "other"],
    plan: str,
    operator: str,
    run: str | None,
    now: datetime,
    signs_as: str | None = None,
) -> str | None:
    """Return why a run of `plan` by `operator` may not start, or None.

    `run` is the run that is resumed, if one is; `signs_as` is how the allowed signers name the operator's own key.
    """
    if demanded == "none" or (approval is not None and approval.plan == plan and run is not None and approval.used_by == run):
        return None
    if approval is None or approval.plan != plan:
        return "site.yml demands an approval and this plan has none: run 'controlplane approve' on the plan file"
    if approval.used_by is not None:
        return f"its approval was used by {approval.used_by}: approve it again if it is to run a second time"
    untimely = _untimely(approval, now)
    if untimely is not None:
        return untimely
    if demanded == "other" and approval.approver in (operator, signs_as):
        return f"site.yml demands another person's approval, and {approval.approver} approved it alone"
    return None


def _untimely(approval: Approval, now: datetime) -> str | None:
    try:
        ends = datetime.fromisoformat(approval.expires_at.replace("Z", "+00:00"))
        lasts, over = ends <= now + LASTS, ends <= now
    except (TypeError, ValueError):
        return f"when its approval expires can't be read ({approval.expires_at}): approve it again"
    if not lasts:
        return f"its approval would last until {approval.expires_at}, longer than any that this program gives: approve it again"
    return f"its approval expired at {approval.expires_at}: approve it again" if over else None
