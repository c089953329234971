"""apply: run exactly what a plan says, leave a receipt for each step, and believe only fresh evidence.

Rules:
- Nothing starts unless the plan still fits (same policy, inventory, roles, facts and change records, bounds held) and the second witness can ask.
- An intent is on the disk before a step starts and its result after it; an intent without a result is resumed by the same plan.
- A resumed run does what is left of its plan and nothing else.
- A step counts as done when the findings that it promised are MET on fresh evidence, whatever Ansible returned.
- A host whose step fails is left alone from there; the other hosts go on.
- A step that fails because another controller went on with the run is not on record as failed: what becomes of it is the other's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from controlplane.domain.approval import Approval, as_told
from controlplane.domain.errors import ControlPlaneError, InterruptedRunError, RefusedError, RunFailedError, UnknownError
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.plan import Plan, Step
from controlplane.domain.receipt import ChangeStatus, Outcome, Receipt
from controlplane.domain.run_key import make_run_key
from controlplane.domain.run_result import RunResult, broken_promises, nothing_done, remaining_drift, unmet_promises
from controlplane.domain.site_view import SiteView
from controlplane.ports.clocks import Clock, Entropy
from controlplane.ports.hosts import EvidenceSource, KnownHosts, Witness
from controlplane.ports.plans import PlanArchive, RunLocks
from controlplane.ports.plays import PlayRunner, RoleContent
from controlplane.ports.receipts import ApprovalStore, ReceiptStore
from controlplane.render.project import render_steps
from controlplane.usecases.apply_guards import (
    open_of,
    refuse_unless_approved,
    refuse_unless_bound,
    refuse_unless_confirmable,
    refuse_unless_free,
    refuse_unless_good,
    refuse_unless_timely,
    sound_chain,
    was_applied,
)
from controlplane.usecases.approval_guard import use_again
from controlplane.usecases.govern_course import Course, Ungoverned
from controlplane.usecases.interrupted_run import BETWEEN_PLAYS, finished_steps, interrupted, open_run, way_back_command, without_refused_way
from controlplane.usecases.judge_hosts import judge_by_two, judge_site
from controlplane.usecases.make_plan import roles_digest
from controlplane.usecases.pin_host_keys import pin_host_key
from controlplane.usecases.plan_again import collect, observe, plan_again, plan_for_host
from controlplane.usecases.record_run import WHOLE, Ledger, change_statuses, nothing_left, with_status
from controlplane.usecases.step_outcome import StepOutcome, downtime_of, failure_of, notes_of, still_holds, what_next

UNGOVERNED = Ungoverned()


@dataclass(frozen=True)
class ApplyPorts:
    """Everything that an apply touches."""

    clock: Clock
    entropy: Entropy
    evidence: EvidenceSource
    runner: PlayRunner
    receipts: ReceiptStore
    approvals: ApprovalStore
    roles: RoleContent
    witness: Witness
    plans: PlanArchive
    locks: RunLocks
    known_hosts: KnownHosts


@dataclass(frozen=True)
class _Attempt:
    """One run of one plan: what it was begun with and what earlier attempts left, by step."""

    plan: Plan
    site: SiteView
    ports: ApplyPorts
    ledger: Ledger
    operator: str
    progress: Callable[[str], None]
    keys: dict[str, str]
    finished: dict[str, Receipt]
    course: Course


@dataclass
class _Come:
    """What has come of the steps so far, `messages` of what failed; `last` is how the last one's host was seen, `left` are hosts not begun."""

    receipts: list[str] = field(default_factory=list)
    changed: list[ChangeStatus] = field(default_factory=list)
    downtime: dict[str, float] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    last: Mapping[str, Evidence | Unreached] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)

    def add_downtime(self, seconds: Mapping[str, float]) -> None:
        """Add what one step's services missed: another step may stop the same ones."""
        for name, missed in seconds.items():
            self.downtime[name] = round(self.downtime.get(name, 0.0) + missed, 3)


class _StoppedError(Exception):
    """The step that runs was interrupted or lost its connection; its receipt stays open."""


def apply_plan(
    plan: Plan, site: SiteView, *, operator: str, ports: ApplyPorts, progress: Callable[[str], None], course: Course = UNGOVERNED
) -> RunResult:
    """Run the plan, or resume it; see the module's rules. `course` is a wave's, where the plan belongs to one.

    Raises `RefusedError`, `UnknownError` and, before the run is on record, `InterruptedRunError`: then nothing was changed. Raises
    `RunFailedError` where the run itself can't go on (no room for a receipt, a key that no longer signs): the message says how to.
    """
    refuse_unless_bound(plan, site, roles_digest(ports.roles), receipts=ports.receipts, anew=course.anew(plan))
    if not plan.steps:
        return nothing_done(plan, "the plan has no steps: nothing to do")
    refuse_unless_confirmable(plan, site)
    with ports.locks.hold(plan.hosts, operator=operator):
        try:
            return _apply(plan, site, operator=operator, ports=ports, progress=progress, course=course)
        except (KeyboardInterrupt, InterruptedRunError, _StoppedError) as stop:
            why = str(stop) if isinstance(stop, _StoppedError) else BETWEEN_PLAYS
            return interrupted(plan, ports.receipts, why, course.go_on)
        except ControlPlaneError as error:
            if isinstance(error, RefusedError | UnknownError) and "Nothing was changed" in str(error):
                raise
            run = open_run(plan, ports.receipts)
            if run is None:
                raise
            raise RunFailedError(f"{error}\n{without_refused_way(course.go_on(run), run, plan)}") from error


def refuse_unseen(plan: Plan, site: SiteView, *, operator: str, ports: ApplyPorts) -> None:
    """Raise `RefusedError` where `apply_plan` would refuse the plan before it looks at a host: who looks first, for minutes, asks this before."""
    refuse_unless_bound(plan, site, roles_digest(ports.roles), receipts=ports.receipts)
    refuse_unless_confirmable(plan, site)
    now = ports.clock.now()
    chain = tuple(receipt for _, receipt in sound_chain(ports.receipts, now=now))
    _, resumed = open_of(plan, chain)
    # Of one that was applied the look says whether anything is left to approve.
    if resumed is not None or not was_applied(plan, chain):
        refuse_unless_approved(plan, site, operator=operator, approvals=ports.approvals, chain=chain, run=resumed, now=now)


def _apply(plan: Plan, site: SiteView, *, operator: str, ports: ApplyPorts, progress: Callable[[str], None], course: Course) -> RunResult:
    chain = tuple(receipt for _, receipt in sound_chain(ports.receipts, now=ports.clock.now()))
    mine, resumed = open_of(plan, chain)
    applied = resumed is None and was_applied(plan, chain)

    def demand_approval() -> Approval | None:
        return refuse_unless_approved(plan, site, operator=operator, approvals=ports.approvals, chain=chain, run=resumed, now=ports.clock.now())

    approval = None if applied else demand_approval()
    seen = collect(plan, site, ports, resumed)
    refuse_unless_free(seen, own=frozenset(receipt.key for receipt in mine), now=ports.clock.now(), holder=operator)
    fresh = plan_again(plan, site, seen, ports)
    if applied:
        if not fresh.steps and (all(refusal in plan.refusals for refusal in fresh.refusals) or nothing_left(plan, seen)):
            report = judge_site(site, hosts=plan.hosts, seen=seen, now=ports.clock.now())
            unpinned = [fault for step in plan.steps if (fault := pin_host_key(step, site, seen, ports.known_hosts)) is not None]
            return nothing_done(plan, "this plan was applied before and nothing is left of it: nothing was changed", report, unpinned)
        approval = demand_approval()
    refuse_unless_timely(plan, approval, seen, run=resumed, now=ports.clock.now(), course=course)
    refuse_unless_good(plan, fresh, site, seen, resumed=resumed, back=way_back_command(resumed or "", plan, chain), anew=course.anew(plan))
    run = resumed or make_run_key(WHOLE, ports.clock.now(), ports.entropy.four_hex())
    ledger = Ledger(ports.receipts, ports.clock, run=run, site=site.name, plan=plan.plan, policy=site.policy_digest, operator=operator)
    ports.plans.keep(plan)
    if resumed is None:
        course.begin()
        _begin(plan, site, ports, ledger, approval=approval)
    elif approval is not None:
        use_again(approval, chain, ledger, approvals=ports.approvals, entropy=ports.entropy)
    keys = {receipt.step: receipt.key for receipt in mine if receipt.capability != WHOLE}
    return _run_steps(_Attempt(plan, site, ports, ledger, operator, progress, keys, finished_steps(run, chain), course))


def _begin(plan: Plan, site: SiteView, ports: ApplyPorts, ledger: Ledger, *, approval: Approval | None) -> None:
    """Put the run on record. The intent comes before the approval's use, so that a run killed in between keeps its approval."""
    ledger.intend(ledger.run, host="*", capability=WHOLE, step="*", told=as_told(approval))
    if site.approval == "none":
        return
    try:
        ports.approvals.use(plan.plan, ledger.run)
    except RefusedError as error:
        ledger.close(ledger.run, host="*", capability=WHOLE, step="*", outcome="refused", reason=str(error))
        raise


def _run_steps(attempt: _Attempt) -> RunResult:
    ports = attempt.ports
    came = _Come()
    lost: set[str] = set()
    for step in attempt.course.ordered(attempt.plan.steps):
        earlier = attempt.finished.get(step.id)
        if earlier is not None:
            came.receipts.append(earlier.key)
            came.changed += earlier.changes
            came.add_downtime(earlier.downtime_s)
            continue
        given_up = attempt.course.give_up(step, lost) if step.host not in lost | came.left else None
        if given_up is not None:
            came.messages.append(f"{step.host} was left alone: {given_up}")
            came.left.add(step.host)
        if step.host in lost | came.left:
            came.changed += with_status(step, "not-done")
            continue
        waits = attempt.course.pause(step, attempt.ledger.run)
        if waits is not None:
            raise _StoppedError(f"{step.id} {step.capability} was not begun: {waits}")
        key = attempt.keys.get(step.id)
        if key is None:
            key = make_run_key(step.capability, ports.clock.now(), ports.entropy.four_hex())
            attempt.ledger.intend(key, host=step.host, capability=step.capability, step=step.id)
        came.receipts.append(key)
        attempt.progress(f"{step.id} {step.capability}")
        outcome = _run_step(attempt, step, key)
        came.changed += outcome.changes
        came.notes += outcome.notes
        came.add_downtime(outcome.downtime_s)
        came.last = outcome.seen if still_holds(step, outcome) else {}
        if outcome.failure is not None:
            came.messages.append(outcome.failure)
            lost.add(step.host)
        attempt.course.after(step, outcome.failure)
    return _finish(attempt, came)


def _run_step(attempt: _Attempt, step: Step, key: str) -> StepOutcome:
    """Run one step and close its receipt."""
    plan, ports, site = attempt.plan, attempt.ports, attempt.site
    project = render_steps([step], keys={step.id: key}, holder=attempt.operator, hosts=[site.route(step.target)], roles=ports.roles.files())
    result = ports.runner.run(project, key=key, host=step.target, playbook="site.yml", progress=attempt.progress)
    downtime = downtime_of(result)
    if result.status == "interrupted":
        raise _StoppedError(f"{step.id} {step.capability}: {result.message or 'interrupted; what ran was stopped first'}")
    if result.status == "unreachable":
        raise _StoppedError(
            f"{step.id} {step.capability}: the connection to {step.target} was lost: {result.message}; long work goes on there by itself"
        )
    seen = observe(site, (step.host,), ports)
    host_evidence = seen.get(step.host)
    if step.target == step.host and isinstance(host_evidence, Unreached):
        # Neither done nor failed is known: its receipt stays open, and so does the approval for who goes on.
        raise _StoppedError(f"{step.id} {step.capability}: {step.host} was not reached to see what became of it: {host_evidence.reason}")
    report = judge_site(site, hosts=(step.host,), seen=seen, now=ports.clock.now())
    statuses = change_statuses(step, plan, plan_for_host(plan, step.host, site, seen, ports.clock.now()), host_evidence)
    reason = failure_of(result, statuses, unmet_promises(step, report.findings)) or pin_host_key(step, site, seen, ports.known_hosts)
    if reason is not None and (gone := attempt.course.taken_over()) is not None:
        raise _StoppedError(f"{step.id} {step.capability} is no longer led from here: {gone} Here it ended so: {reason}")
    attempt.ledger.close(
        key,
        host=step.host,
        capability=step.capability,
        step=step.id,
        outcome="done" if reason is None else "failed",
        reason=reason,
        changes=statuses,
        evidence=host_evidence.digest() if isinstance(host_evidence, Evidence) else None,
        downtime_s=downtime,
        told=result.told.get("told"),
    )
    failure = None if reason is None else f"{step.id} {step.capability} failed: {reason}\n{what_next(step, key)}"
    return StepOutcome(failure, statuses, downtime, seen, notes_of(step, result))


def _finish(attempt: _Attempt, came: _Come) -> RunResult:
    """Judge all hosts, and close the run. Of what was looked at after the last step nothing was changed since, so it isn't looked at again."""
    plan, ports, site = attempt.plan, attempt.ports, attempt.site
    attempt.progress("verify by two witnesses")
    seen = {**observe(site, tuple(host for host in plan.hosts if host not in came.last), ports), **came.last}
    away = [f"{host} ({held.reason})" for host in plan.hosts if isinstance(held := seen.get(host), Unreached)]
    if away and not came.messages:
        raise _StoppedError(f"all steps ended well, and {', '.join(away)} was not reached to be verified")
    report = judge_by_two(site, hosts=plan.hosts, seen=seen, now=ports.clock.now(), witness=ports.witness)
    messages = came.messages or broken_promises(plan, report)
    outcome: Outcome = "failed" if messages else "done"
    attempt.ledger.close(
        attempt.ledger.run,
        host="*",
        capability=WHOLE,
        step="*",
        outcome=outcome,
        changes=tuple(came.changed),
        downtime_s=came.downtime,
        reason="; ".join(messages) or None,
    )
    return RunResult(
        run=attempt.ledger.run,
        receipts=(*came.receipts, attempt.ledger.run),
        plan=plan.plan,
        outcome=outcome,
        changed=tuple(came.changed),
        verify=report,
        remaining=remaining_drift(plan, report),
        downtime_s=came.downtime,
        messages=(*came.notes, *messages),
    )
