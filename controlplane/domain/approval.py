"""An approval: who allows which plan, until when. It is bound to the plan's digest and used by one run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from controlplane.domain.values import Value

LASTS = timedelta(hours=24)
# A window comes within a week, and is over within another day.
FARTHEST = timedelta(days=9)
_STAMP = "%Y-%m-%dT%H:%M:%SZ"


class Approval(Value):
    """`used_by` is the run that took it; resuming that run is covered by it.

    One of a wave names the wave, its hosts, and the window in which it holds: `opens_at` and `closes_at` are None where the site has no windows.
    """

    plan: str
    approver: str
    requester: str
    approved_at: str
    expires_at: str
    used_by: str | None = None
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


def approve(plan: str, *, approver: str, requester: str, now: datetime, scope: Scope | None = None) -> Approval:
    """Return the approval of `plan`, good for a day, or until the window of its scope closes."""
    ends = (now + LASTS).strftime(_STAMP)
    given = Approval(plan=plan, approver=approver, requester=requester, approved_at=now.strftime(_STAMP), expires_at=ends)
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
    untimely = _untimely(approval, now) or _outside(approval, now)
    if untimely is not None:
        return untimely
    if demanded == "other" and approval.approver in (operator, signs_as):
        return f"site.yml demands another person's approval, and {approval.approver} approved it alone"
    return None


def _outside(approval: Approval, now: datetime) -> str | None:
    if approval.opens_at is None or now.strftime(_STAMP) >= approval.opens_at:
        return None
    return f"it was approved for the window from {approval.opens_at} to {approval.closes_at}, which is not open yet"


def _untimely(approval: Approval, now: datetime) -> str | None:
    try:
        ends = datetime.fromisoformat(approval.expires_at.replace("Z", "+00:00"))
        lasts, over = ends <= now + (FARTHEST if approval.closes_at == approval.expires_at else LASTS), ends <= now
    except (TypeError, ValueError):
        return f"when its approval expires can't be read ({approval.expires_at}): approve it again"
    if not lasts:
        return f"its approval would last until {approval.expires_at}, longer than any that this program gives: approve it again"
    return f"its approval expired at {approval.expires_at}: approve it again" if over else None
