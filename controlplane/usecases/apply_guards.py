"""What has to hold before a plan may run; each guard says what does not, and that nothing was changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from controlplane.domain.approval import Approval, is_over
from controlplane.domain.bounds import broken_bounds
from controlplane.domain.capabilities import CAPABILITIES
from controlplane.domain.chain import behind, chain_faults
from controlplane.domain.coordination import stamp_of
from controlplane.domain.errors import RefusedError, RunFailedError
from controlplane.domain.evidence import Evidence, Reader, Unobserved, Unreached
from controlplane.domain.host_clocks import ahead_of, by_clocks
from controlplane.domain.lease_view import lease_of
from controlplane.domain.plan import Plan
from controlplane.domain.planning import differences, unplanned
from controlplane.domain.receipt import Receipt, open_intents, undone_keys
from controlplane.domain.releases.bringing import made_by
from controlplane.domain.site_view import SiteView
from controlplane.domain.witness_route import no_way
from controlplane.ports.receipts import ApprovalStore, ReceiptStore
from controlplane.usecases.approval_guard import judge_approval
from controlplane.usecases.govern_course import Course
from controlplane.usecases.interrupted_run import abandon_command, if_gone, open_run, way_back_command, without_refused_way
from controlplane.usecases.record_run import WHOLE
from controlplane.usecases.step_outcome import deletes
from controlplane.usecases.way_on import way_on

# A site that names signers for the first time has as many faults as receipts.
_TOLD = 5


def refuse_unless_bound(plan: Plan, site: SiteView, roles: str, *, receipts: ReceiptStore | None = None, anew: str | None = None) -> None:
    """Raise `RefusedError` where policy, inventory or roles are not those that the plan was made from.

    `receipts` tell whether a run of it is open: no new plan ends that one. `anew` makes such a plan, where that is another verb's than its own.
    """
    pairs = [
        (plan.site == site.name, f"it was made for site {plan.site}, this is {site.name}"),
        (plan.binds.policy == site.policy_digest, "the policy changed since it was made"),
        (plan.binds.inventory == site.inventory_digest(), "the inventory changed since it was made"),
        (plan.binds.roles == roles, "the roles of this program changed since it was made"),
    ]
    told = [reason for holds, reason in pairs if not holds]
    if told:
        run = open_run(plan, receipts) if receipts is not None else None
        then = f"Make a new one: {anew or made_by(plan)}"
        if run is not None and receipts is not None:
            then = f"Its run {run} is open. {_way_on(plan, run, receipts, anew or made_by(plan), is_ours=plan.binds.roles == roles)}"
        raise RefusedError(f"plan {plan.plan[:19]} refused: {'; '.join(told)}. Nothing was changed. {then}")


def _way_on(plan: Plan, run: str, receipts: ReceiptStore, anew: str, *, is_ours: bool) -> str:
    """Return the ways on of an open run whose plan is bound to something else by now; `is_ours`: this very program's roles go on with it."""
    if any(step.capability in CAPABILITIES and deletes(step.capability, step.changes) for step in plan.steps):
        close = f"; or, where the program that made it is gone, close it: {abandon_command(run)}, then make a new one: {anew}"
        return f"What it deleted does not come back. Undo that change and go on with it{'' if is_ours else close}"
    back = way_back_command(run, plan, [receipt for _, receipt in receipts.load()])
    return f"Undo that change and go on with it; or take it back, {back}, then make a new one: {anew}"


def refuse_unless_confirmable(plan: Plan, site: SiteView) -> None:
    """Raise `RefusedError` where the second witness can't ask a host of the plan: what a step promises there would be UNKNOWN for ever."""
    told = [f"{host}: {why}" for host in plan.hosts if (why := no_way(site.route(host))) is not None]
    if told:
        raise RefusedError(f"plan {plan.plan[:19]} refused: {'; '.join(told)}. Nothing was changed. After that, make a new one: {made_by(plan)}")


def sound_chain(receipts: ReceiptStore, *, now: datetime | None = None) -> tuple[tuple[str, Receipt], ...]:
    """Return the chain of receipts. Raises `RunFailedError` where it is broken.

    `now` is given by whatever changes anything or leaves receipts: raises `RefusedError` where the chain shows a later time.
    """
    chain = receipts.load()
    faults = (*chain_faults(chain), *receipts.signature_faults())
    if faults:
        told = "; ".join(f"{fault.file} {fault.reason}" for fault in faults[:_TOLD])
        if len(faults) > _TOLD:
            told += f"; and {len(faults) - _TOLD} more"
        raise RunFailedError(f"the receipts do not hold: {told}. Nothing was changed. Look into it with 'controlplane receipts verify'.")
    if now is not None:
        refuse_backward_clock([receipt for _, receipt in chain], now)
    return chain


def refuse_backward_clock(chain: Sequence[Receipt], now: datetime) -> None:
    """Raise `RefusedError` where the clock is behind the chain: it would revive approvals and leases that are over."""
    seen = behind(chain, now)
    if seen is not None:
        raise RefusedError(
            f"this controller's clock says {stamp_of(now)}, and the newest receipt of the site is of {seen}. Nothing was changed. Set this "
            "controller's clock. If it is right, and the one that ran ahead was wrong: controlplane receipts reset-time --reason TEXT"
        )


def open_of(plan: Plan, chain: tuple[Receipt, ...]) -> tuple[tuple[Receipt, ...], str | None]:
    """Return this plan's open intents and the run that they belong to. Raises `RefusedError` where another plan's are in the way."""
    still = open_intents(chain)
    mine = tuple(receipt for receipt in still if receipt.plan == plan.plan)
    plainly = "with 'controlplane apply' and its plan file"
    undoing = [receipt for receipt in still if receipt.undoes is not None and (receipt in mine or receipt.host in plan.hosts)]
    if undoing:
        told = "; ".join(f"{r.key} on {r.host} since {r.at}" for r in undoing)
        how = way_on(undoing[0], chain, resume=plainly)
        raise RefusedError(f"a rollback is still open: {told}. Nothing was changed. {how}. {if_gone(undoing[0].run)}")
    touched = {receipt.run for receipt in chain if receipt.host in plan.hosts}
    others = [r for r in still if r.plan != plan.plan and (r.host in plan.hosts or (r.capability == WHOLE and r.run in touched))]
    if others:
        told = "; ".join(f"{r.key} on {r.host} since {r.at}" for r in others)
        how = way_on(others[0], chain, resume=plainly)
        raise RefusedError(f"an earlier run is still open: {told}. Nothing was changed. {how}. {if_gone(others[0].run)}")
    return mine, mine[0].run if mine else None


def was_applied(plan: Plan, chain: tuple[Receipt, ...]) -> bool:
    """Say whether the last run of this plan ran to its end, well or not, or was abandoned, and was not taken back."""
    ends = [r for r in chain if r.plan == plan.plan and r.capability == WHOLE and r.phase == "result"]
    if not ends or ends[-1].outcome not in ("done", "failed", "interrupted"):
        return False
    undone = undone_keys(chain)
    return not any(r.key in undone for r in chain if r.run == ends[-1].run)


def refuse_unless_approved(
    plan: Plan, site: SiteView, *, operator: str, approvals: ApprovalStore, chain: Sequence[Receipt], run: str | None, now: datetime
) -> Approval | None:
    """Return the approval that this run takes. Raises `RefusedError` where the site demands one that it has not."""
    approval, told = judge_approval(plan.plan, demanded=site.approval, operator=operator, approvals=approvals, chain=chain, run=run, now=now)
    if told is not None:
        raise RefusedError(f"plan {plan.plan[:19]} refused: {told}. Nothing was changed.")
    return approval


def refuse_unless_timely(
    plan: Plan,
    approval: Approval | None,
    seen: Mapping[str, Evidence | Unreached],
    *,
    run: str | None,
    now: datetime,
    course: Course,
) -> None:
    """Raise `RefusedError` where this controller's clock is behind a host's, by which the approval is over or, as the course says, nothing may begin.

    A run that is resumed, `run`, is covered by the approval that it took. Nothing is put on record: the host's clock may be the wrong one.
    """
    clocks = ahead_of(now, seen)
    told = [(clock, shut) for clock in clocks if (shut := course.shut(clock.says)) is not None]
    again = ""
    if clocks and approval is not None and (run is None or approval.used_by != run) and is_over(approval, clocks[-1].says):
        told.insert(0, (clocks[-1], f"its approval expired at {approval.expires_at}"))
        again = "; where that is this controller's, approve the plan again as well"
    if told:
        still = "" if run is None else f" {without_refused_way(course.go_on(run), run, plan)}"
        raise RefusedError(
            f"plan {plan.plan[:19]} refused: {by_clocks(told, now)}. Nothing was changed. Set the one that is wrong{again}. "
            f"Then run this again.{still}"
        )


def held_by_another(seen: Mapping[str, Evidence | Unreached], *, own: frozenset[str], now: datetime, holder: str | None = None) -> str | None:
    """Return which other runs than those in `own` hold leases of these hosts, and what to do; None where the hosts are free.

    With `holder`, an own run's lease that somebody else took and that lasts is in the way too: the roles would refuse it in the middle of the run.
    """
    told = []
    for host, record in sorted(seen.items()):
        if isinstance(record, Unreached):
            continue
        try:
            lease = lease_of(host, Reader(record), now=now)
        except Unobserved:
            continue  # the roles read the lease itself
        own_run = lease.run in own
        # A unit goes on for whoever holds its run now.
        lasts = not lease.expired or (lease.working is not None and not own_run)
        if lease.held and lasts and not (own_run and holder in (None, lease.holder)):
            told.append(f"{host} is leased to run {lease.run} by {lease.holder} since {lease.taken_at}, until {lease.expires_at}")
    if not told:
        return None
    return f"{'; '.join(told)}. Nothing was changed. Wait for it, or let it expire; if its controller is dead: controlplane lease take HOST"


def refuse_unless_free(seen: Mapping[str, Evidence | Unreached], *, own: frozenset[str], now: datetime, holder: str | None = None) -> None:
    """Raise `RefusedError` where somebody else holds the lease of a host, as `held_by_another` tells it; the roles ask again before each change."""
    held = held_by_another(seen, own=own, now=now, holder=holder)
    if held is not None:
        raise RefusedError(held)


def refuse_unless_good(
    plan: Plan, fresh: Plan, site: SiteView, seen: Mapping[str, Evidence | Unreached], *, resumed: str | None, back: str, anew: str
) -> None:
    """Raise `RefusedError` where the plan no longer fits fresh evidence; a resumed run may do what is left of it and nothing else.

    `back` is the command that takes a resumed run back, `anew` the one that makes such a plan anew.
    """
    if resumed is not None:
        beyond = unplanned(plan, fresh)
        if beyond:
            told = "\n  ".join(beyond)
            raise RefusedError(
                f"run {resumed} can't be resumed, there is more to do now than its plan says:\n  {told}\nNothing was changed. "
                f"Take it back with '{back}', then make a new plan."
            )
        return
    evidence = {host: record for host, record in seen.items() if isinstance(record, Evidence)}
    # What has grown since raises what is needed: the bounds of now must hold as well as those that were approved.
    bounds = plan.model_copy(update={"bounds": plan.bounds + fresh.bounds})
    told = "\n  ".join((*differences(plan, fresh), *broken_bounds(bounds, site.desired.by_name(), evidence)))
    if told:
        raise RefusedError(f"plan {plan.plan[:19]} no longer fits:\n  {told}\nNothing was changed. Make a new one: {anew}")
