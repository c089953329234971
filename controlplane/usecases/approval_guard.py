"""Whether a run has the approval that its site demands: one answer for plans, waves and changes of modes.

Rules:
- It is judged at the site's time, the later of the clock and the chain, and the signature at the time of its use.
- A run that is resumed is covered by the very approval that an intent of its names, whose signature held then. One that was given since, for want
  of that, is judged as for a run that begins: by now, and by who gave it.
- One that is seen expired is marked so before anybody is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from controlplane.domain.approval import Approval, as_told, is_over, objection, used_in
from controlplane.domain.chain import last_reset, latest_time
from controlplane.domain.coordination import moment_of, stamp_of
from controlplane.domain.errors import RefusedError
from controlplane.domain.receipt import Receipt
from controlplane.ports.receipts import ApprovalStore


def judge_approval(
    digest: str,
    *,
    demanded: Literal["none", "self", "other"],
    operator: str,
    approvals: ApprovalStore,
    chain: Sequence[Receipt],
    run: str | None,
    now: datetime,
    author: str | None = None,
) -> tuple[Approval | None, str | None]:
    """Return the approval of what has that digest, and why it does not allow a run by `operator`; `run` is the one that is resumed, if one is;
    `author` is whose key signed what was approved, where that is signed.

    Raises `RefusedError` where its signature does not hold.
    """
    if demanded == "none":
        return None, None
    seen = latest_time(chain)
    here = now if seen is None else max(now, moment_of(seen))
    taken = _taken(digest, approvals, chain, run) if run is not None else None
    approval = taken or approvals.find(digest, at=here)
    if approval is not None and approval.used_by in (None, run):
        used = used_in(approval, chain)
        # What only the mark lays to the run may be another one than the run took.
        approval = approval.model_copy(update={"used_by": None if used == run and taken is None else used})
    if approval is not None and author is not None:
        approval = approval.model_copy(update={"requester": author})
    signs_as = approvals.signs_as() if demanded == "other" else None
    told = objection(approval, demanded=demanded, plan=digest, operator=operator, run=run, now=here, signs_as=signs_as, reset=last_reset(chain))
    if told is not None and approval is not None and is_over(approval, here):
        approvals.expire(digest, seen_at=stamp_of(here))
    return approval, told


def _taken(digest: str, approvals: ApprovalStore, chain: Sequence[Receipt], run: str) -> Approval | None:
    """Return the approval that an intent of the run names; None where there is another one by now, or its signature did not hold then."""
    for one in chain:
        named = (one.told or {}).get("approval")
        if (one.run, one.phase) != (run, "intent") or named is None:
            continue
        try:
            approval = approvals.find(digest, at=moment_of(one.at))
        except RefusedError:
            continue
        if approval is not None and (as_told(approval) or {}).get("approval") == named:
            return approval
    return None
