"""Whether a run has the approval that its site demands: one answer for plans, waves and changes of modes.

Rules:
- It is judged at the site's time, the later of the clock and the chain, and the signature at the time of its use.
- One that is seen expired is marked so before anybody is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from controlplane.domain.approval import Approval, is_over, objection, used_in
from controlplane.domain.chain import last_reset, latest_time
from controlplane.domain.coordination import moment_of, stamp_of
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
    begun = next((moment_of(one.at) for one in chain if one.key == run and one.phase == "intent"), here)
    approval = approvals.find(digest, at=begun)
    if approval is not None and approval.used_by is None:
        approval = approval.model_copy(update={"used_by": used_in(approval, chain)})
    if approval is not None and author is not None:
        approval = approval.model_copy(update={"requester": author})
    signs_as = approvals.signs_as() if demanded == "other" else None
    told = objection(approval, demanded=demanded, plan=digest, operator=operator, run=run, now=here, signs_as=signs_as, reset=last_reset(chain))
    if told is not None and approval is not None and is_over(approval, here):
        approvals.expire(digest, seen_at=stamp_of(here))
    return approval, told
