"""apply: run exactly what a plan says, leave a receipt for each step, and believe only fresh evidence.

Rules:
- Nothing starts unless the plan still fits: same policy, inventory and roles, same facts, same change records, every bound held.
- An intent is on the disk before a step starts and its result after it; an intent without a result is resumed by the same plan.
- A resumed run does what is left of its plan and nothing else.
- A step counts as done when the findings that it promised are MET on fresh evidence, whatever Ansible returned.
- A host whose step fails is left alone from there; the other hosts go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from controlplane.domain.errors import UnknownError
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.finding import AuditReport
from controlplane.domain.plan import Plan, Step
from controlplane.domain.planning import plan_capabilities
from controlplane.domain.receipt import ChangeStatus, Outcome
from controlplane.domain.run_key import make_run_key
from controlplane.domain.run_result import RunResult, remaining_drift, unmet_promises
from controlplane.domain.site_view import SiteView
from controlplane.ports import ApprovalStore, Clock, Entropy, EvidenceSource, PlanArchive, PlayRunner, ReceiptStore, RoleContent, StepResult, Witness
from controlplane.render.project import render_steps
from controlplane.usecases.apply_guards import (
    open_of,
    refuse_unless_approved,
    refuse_unless_bound,
    refuse_unless_good,
    sound_chain,
    was_done,
)
from controlplane.usecases.judge_hosts import judge_by_two, judge_site
from controlplane.usecases.make_plan import plan_from, roles_digest
from controlplane.usecases.record_run import WHOLE, Ledger, change_statuses


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


@dataclass(frozen=True)
class _Attempt:
    """One run of one plan: what it was begun with and what earlier attempts of it left."""

    plan: Plan
    site: SiteView
    ports: ApplyPorts
    ledger: Ledger
    operator: str
    progress: Callable[[str], None]
    keys: dict[str, str]
    finished: frozenset[str]


def apply_plan(plan: Plan, site: SiteView, *, operator: str, ports: ApplyPorts, progress: Callable[[str], None]) -> RunResult:
    """Run the plan, or resume it; see the module's rules. Raises `RefusedError` or `UnknownError` before anything is changed."""
    refuse_unless_bound(plan, site, roles_digest(ports.roles))
    if not plan.steps:
        return _nothing(plan, "the plan has no steps: nothing to do")
    chain = tuple(receipt for _, receipt in sound_chain(ports.receipts))
    mine, resumed = open_of(plan, chain)
    approval = None if site.approval == "none" else ports.approvals.find(plan.plan)
    refuse_unless_approved(plan, site, operator=operator, approval=approval, run=resumed, now=ports.clock.now())
    seen = _collect(plan, site, ports)
    fresh = _again(plan, site, seen, ports)
    if resumed is None and not fresh.steps and was_done(plan, chain):
        report = judge_site(site, hosts=plan.hosts, seen=seen, now=ports.clock.now())
        return _nothing(plan, "this plan was applied before and nothing is left of it: nothing was changed", report)
    refuse_unless_good(plan, fresh, site, seen, resumed=resumed)
    run = resumed or make_run_key(WHOLE, ports.clock.now(), ports.entropy.four_hex())
    ports.plans.keep(plan)
    if site.approval != "none":
        ports.approvals.use(plan.plan, run)
    ledger = Ledger(ports.receipts, ports.clock, run=run, site=site.name, plan=plan.plan, policy=site.policy_digest, operator=operator)
    if resumed is None:
        ledger.intend(run, host="*", capability=WHOLE, step="*")
    keys = {receipt.step: receipt.key for receipt in mine if receipt.capability != WHOLE}
    finished = frozenset(r.step for r in chain if r.run == run and r.phase == "result" and r.outcome == "done" and r.capability != WHOLE)
    return _run_steps(_Attempt(plan, site, ports, ledger, operator, progress, keys, finished))


def _run_steps(attempt: _Attempt) -> RunResult:
    plan, ports = attempt.plan, attempt.ports
    receipts: list[str] = []
    changed: list[ChangeStatus] = []
    downtime: dict[str, float] = {}
    messages: list[str] = []
    lost: set[str] = set()
    for step in plan.steps:
        if step.id in attempt.finished or step.host in lost:
            changed += [ChangeStatus(**c.model_dump(), status="done" if step.id in attempt.finished else "not-done") for c in step.changes]
            continue
        key = attempt.keys.get(step.id)
        if key is None:
            key = make_run_key(step.capability, ports.clock.now(), ports.entropy.four_hex())
            attempt.ledger.intend(key, host=step.host, capability=step.capability, step=step.id)
        receipts.append(key)
        attempt.progress(f"{step.id} {step.capability}")
        outcome, statuses, told = _run_step(attempt, step, key)
        changed += statuses
        messages += told.messages
        downtime.update(told.downtime_s)
        if outcome == "interrupted":
            rest = plan.steps[plan.steps.index(step) + 1 :]
            changed += [ChangeStatus(**c.model_dump(), status="not-done") for later in rest for c in later.changes]
            return _result(attempt, "interrupted", receipts=receipts, report=None, changed=changed, downtime=downtime, messages=messages)
        if outcome == "failed":
            lost.add(step.host)
    return _finish(attempt, receipts, changed, downtime, messages, failed=bool(lost))


@dataclass(frozen=True)
class _Told:
    messages: tuple[str, ...]
    downtime_s: dict[str, float]


def _run_step(attempt: _Attempt, step: Step, key: str) -> tuple[Outcome, tuple[ChangeStatus, ...], _Told]:
    plan, ports, site = attempt.plan, attempt.ports, attempt.site
    routes = [route for _, route in site.chosen((step.host,))]
    project = render_steps([step], keys={step.id: key}, holder=attempt.operator, hosts=routes, roles=ports.roles.files())
    result = ports.runner.run(project, key=key, host=step.host, playbook="site.yml", progress=attempt.progress)
    downtime = _downtime(result)
    if result.status in ("interrupted", "unreachable"):
        why = "was interrupted" if result.status == "interrupted" else f"lost its connection: {result.message}"
        message = f"{step.id} {step.capability} {why}. Its receipt {key} is open; 'controlplane apply' with the same plan file resumes it."
        return "interrupted", change_statuses(step, None), _Told((message,), downtime)
    seen = ports.evidence.collect(routes, {desired.host: desired for desired, _ in site.chosen((step.host,))})
    fresh = _plan_for_host(plan, step.host, site, seen, ports.clock.now())
    report = judge_site(site, hosts=(step.host,), seen=seen, now=ports.clock.now())
    statuses = change_statuses(step, fresh)
    unmet = unmet_promises(step, report.findings)
    reason = None if result.status == "done" else result.message
    if reason is None and unmet:
        reason = "; ".join(f"{f.check} {f.surface} is still {f.verdict}: {f.reason}" for f in unmet)
    host_evidence = seen.get(step.host)
    outcome: Outcome = "done" if reason is None else "failed"
    attempt.ledger.close(
        key,
        host=step.host,
        capability=step.capability,
        step=step.id,
        outcome=outcome,
        reason=reason,
        changes=statuses,
        evidence=host_evidence.digest() if isinstance(host_evidence, Evidence) else None,
        downtime_s=downtime,
    )
    if reason is None:
        return "done", statuses, _Told((), downtime)
    message = (
        f"{step.id} {step.capability} failed: {reason}\n"
        f"The other steps of {step.host} were left out. See what is left with 'controlplane plan --host {step.host}'; "
        f"take the step back with 'controlplane rollback {key}'."
    )
    return "failed", statuses, _Told((message,), downtime)


def _finish(
    attempt: _Attempt, receipts: list[str], changed: list[ChangeStatus], downtime: dict[str, float], messages: list[str], *, failed: bool
) -> RunResult:
    plan, ports, site = attempt.plan, attempt.ports, attempt.site
    attempt.progress("verify by two witnesses")
    seen = _observe(plan, site, ports)
    report = judge_by_two(site, hosts=plan.hosts, seen=seen, now=ports.clock.now(), witness=ports.witness)
    unmet = [finding for step in plan.steps for finding in unmet_promises(step, report.findings)]
    if unmet and not failed:
        messages += [f"{f.check} {f.surface} on {f.host} was promised and is {f.verdict}: {f.reason}" for f in unmet]
    outcome: Outcome = "failed" if failed or unmet else "done"
    attempt.ledger.close(
        attempt.ledger.run,
        host="*",
        capability=WHOLE,
        step="*",
        outcome=outcome,
        changes=tuple(changed),
        downtime_s=downtime,
        reason="; ".join(messages) or None,
    )
    return _result(attempt, outcome, receipts=[*receipts, attempt.ledger.run], report=report, changed=changed, downtime=downtime, messages=messages)


def _result(
    attempt: _Attempt,
    outcome: Outcome,
    *,
    receipts: list[str],
    report: AuditReport | None,
    changed: list[ChangeStatus],
    downtime: dict[str, float],
    messages: list[str],
) -> RunResult:
    return RunResult(
        run=attempt.ledger.run,
        receipts=tuple(receipts),
        plan=attempt.plan.plan,
        outcome=outcome,
        changed=tuple(changed),
        verify=report,
        remaining=remaining_drift(attempt.plan, report),
        downtime_s=downtime,
        messages=tuple(messages),
    )


def _nothing(plan: Plan, message: str, report: AuditReport | None = None) -> RunResult:
    remaining = remaining_drift(plan, report)
    return RunResult(
        run=None, receipts=(), plan=plan.plan, outcome="done", changed=(), verify=report, remaining=remaining, downtime_s={}, messages=(message,)
    )


def _downtime(result: StepResult) -> dict[str, float]:
    told = result.told.get("downtime_s")
    return {str(name): float(seconds) for name, seconds in told.items()} if isinstance(told, dict) else {}


def _observe(plan: Plan, site: SiteView, ports: ApplyPorts) -> Mapping[str, Evidence | Unreached]:
    chosen = site.chosen(plan.hosts)
    return ports.evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})


def _collect(plan: Plan, site: SiteView, ports: ApplyPorts) -> Mapping[str, Evidence | Unreached]:
    seen = _observe(plan, site, ports)
    blind = {host: blank for host, blank in seen.items() if isinstance(blank, Unreached)}
    if blind:
        told = "; ".join(f"{host}: {blank.reason}" for host, blank in sorted(blind.items()))
        raise UnknownError(
            f"plan {plan.plan[:19]} was not started, {len(blind)} of {len(plan.hosts)} hosts could not be observed: {told}. Nothing was changed."
        )
    return seen


def _again(plan: Plan, site: SiteView, seen: Mapping[str, Evidence | Unreached], ports: ApplyPorts) -> Plan:
    return plan_from(
        site,
        hosts=plan.hosts,
        seen=seen,
        capabilities=plan_capabilities(plan),
        now=ports.clock.now(),
        roles=plan.binds.roles,
        as_of=_made_at(plan),
    )


def _plan_for_host(plan: Plan, host: str, site: SiteView, seen: Mapping[str, Evidence | Unreached], now: datetime) -> Plan | None:
    if not isinstance(seen.get(host), Evidence):
        return None
    return plan_from(site, hosts=(host,), seen=seen, capabilities=plan_capabilities(plan), now=now, roles=plan.binds.roles, as_of=_made_at(plan))


def _made_at(plan: Plan) -> datetime:
    return datetime.fromisoformat(plan.made_at.replace("Z", "+00:00"))
