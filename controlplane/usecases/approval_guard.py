"""Whether a run has the approval that its site demands: one answer for plans, waves and changes of modes.

Rules:
- It is judged at the site's time, the later of the clock and the chain, and the signature at the time of its use.
- A run that is resumed is covered by the very approval that an intent of its names, whose signature held then. One that was given since, for want
  of that, is judged as for a run that begins: by now, and by who gave it.
- What goes on by another approval says so on record before it does: from there on that one covers the run, and no third one takes its place.
- One that is seen expired is marked so before anybody is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from controlplane.domain.approval import AGAIN, Approval, as_told, is_over, objection, taker, used_in
from controlplane.domain.chain import last_reset, latest_time
from controlplane.domain.coordination import moment_of, stamp_of
from controlplane.domain.errors import RefusedError
from controlplane.domain.receipt import Receipt
from controlplane.domain.run_key import make_run_key
from controlplane.ports.clocks import Entropy
from controlplane.ports.receipts import ApprovalStore
from controlplane.usecases.record_run import Ledger


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


def use_again(approval: Approval, chain: Sequence[Receipt], ledger: Ledger, *, approvals: ApprovalStore, entropy: Entropy) -> None:
    """Use an approval by the open run of this ledger, which was begun by another one; an entry names it and the run.

    Where the chain names it for the run already, there is none. Raises `RefusedError` where it was used by another run meanwhile.
    """
    if used_in(approval, chain) == ledger.run:
        approvals.use(approval.plan, ledger.run)
        return
    # Of no plan, so that it is no step of the run: nothing resumes it, or takes it back.
    key = make_run_key(AGAIN, ledger.clock.now(), entropy.four_hex())
    entry = replace(ledger, run=key, plan="")
    told = {**(as_told(approval) or {}), "run": ledger.run}
    entry.intend(key, host="*", capability=AGAIN, step="*", told=told)
    try:
        approvals.use(approval.plan, ledger.run)
    except RefusedError as error:
        entry.close(key, host="*", capability=AGAIN, step="*", outcome="refused", reason=str(error))
        raise
    entry.close(key, host="*", capability=AGAIN, step="*", outcome="done", told=told)


def _taken(digest: str, approvals: ApprovalStore, chain: Sequence[Receipt], run: str) -> Approval | None:
    """Return the approval that an intent of the run names; None where there is another one by now, or its signature did not hold then."""
    refused = {one.key for one in chain if one.outcome == "refused"}
    for one in chain:
        named = (one.told or {}).get("approval")
        if (taker(one), one.phase) != (run, "intent") or named is None or one.key in refused:
            continue
        try:
            approval = approvals.find(digest, at=moment_of(one.at))
        except RefusedError:
            continue
        if approval is not None and (as_told(approval) or {}).get("approval") == named:
            return approval
    return None
