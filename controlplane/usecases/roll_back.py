"""rollback: the reverse move of one run, or of one of its steps; newer data is carried back, configuration put back byte for byte.

Rules:
- The steps go back in reverse order; a step whose successors on the same host still stand is refused.
- What a purge deleted can't come back, and neither can the run that retired it: both are refused before anything is changed.
- An interrupted rollback is resumed by asking for it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controlplane.domain.capabilities import CAPABILITIES
from controlplane.domain.errors import Fault, InputInvalidError, RefusedError
from controlplane.domain.evidence import Evidence
from controlplane.domain.plan import Plan, Step
from controlplane.domain.receipt import ChangeStatus, Receipt
from controlplane.domain.run_key import is_run_key, make_run_key
from controlplane.domain.run_result import RunResult, remaining_drift
from controlplane.domain.site_view import SiteView
from controlplane.render.project import render_steps
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.apply_plan import ApplyPorts
from controlplane.usecases.judge_hosts import judge_site
from controlplane.usecases.record_run import WHOLE, Ledger


def roll_back(key: str, site: SiteView, *, operator: str, ports: ApplyPorts, progress: Callable[[str], None]) -> RunResult:
    """Take back the run or step `key`. Raises `InputInvalidError`, `RefusedError`."""
    chain = tuple(receipt for _, receipt in sound_chain(ports.receipts))
    intents = _intents_of(key, chain)
    plan = ports.plans.get(intents[0].plan)
    steps = {step.id: step for step in plan.steps}
    _refuse_unless_undoable(key, intents, chain)
    run = intents[0].run
    ledger = Ledger(ports.receipts, ports.clock, run=run, site=site.name, plan=plan.plan, policy=site.policy_digest, operator=operator)
    receipts: list[str] = []
    changed: list[ChangeStatus] = []
    messages: list[str] = []
    for intent in reversed(intents):
        step = steps[intent.step]
        again = _open_rollback(intent.key, chain)
        undo_key = again or make_run_key(step.capability, ports.clock.now(), ports.entropy.four_hex())
        if again is None:
            ledger.intend(undo_key, host=step.host, capability=step.capability, step=step.id, undoes=intent.key)
        receipts.append(undo_key)
        progress(f"{step.id} {step.capability} | roll back")
        told = _undo_step(step, intent.key, undo_key, site=site, operator=operator, ports=ports, ledger=ledger, progress=progress)
        changed += [ChangeStatus(**change.model_dump(), status="undone" if told is None else "done") for change in step.changes]
        if told is not None:
            messages.append(told)
            return _result(run, plan, receipts, "failed", changed=changed, messages=messages)
    if _all_undone(run, ports, plan) and _is_open(run, chain):
        ledger.close(run, host="*", capability=WHOLE, step="*", outcome="rolled-back", changes=tuple(changed))
    chosen = site.chosen(tuple(sorted({intent.host for intent in intents})))
    seen = ports.evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})
    report = judge_site(site, hosts=tuple(desired.host for desired, _ in chosen), seen=seen, now=ports.clock.now())
    result = _result(run, plan, receipts, "rolled-back", changed=changed, messages=messages)
    # Nothing was promised to be mended: every drift is shown as what remains.
    return result.model_copy(update={"verify": report, "remaining": remaining_drift(plan.model_copy(update={"steps": ()}), report)})


def _undo_step(
    step: Step, key: str, undo_key: str, *, site: SiteView, operator: str, ports: ApplyPorts, ledger: Ledger, progress: Callable[[str], None]
) -> str | None:
    """Return None when the step is undone, else what went wrong and what to do next."""
    routes = [route for _, route in site.chosen((step.host,))]
    project = render_steps([step], keys={step.id: undo_key}, holder=operator, hosts=routes, roles=ports.roles.files(), undoes={step.id: key})
    result = ports.runner.run(project, key=undo_key, host=step.host, playbook="site.yml", progress=progress)
    if result.status in ("interrupted", "unreachable"):
        return f"{step.id}: the rollback {result.status} ({result.message}). Go on with it: controlplane rollback {key}"
    seen = ports.evidence.collect(routes, {desired.host: desired for desired, _ in site.chosen((step.host,))}).get(step.host)
    ledger.close(
        undo_key,
        host=step.host,
        capability=step.capability,
        step=step.id,
        outcome="rolled-back" if result.status == "done" else "failed",
        reason=None if result.status == "done" else result.message,
        changes=tuple(ChangeStatus(**change.model_dump(), status="undone") for change in step.changes) if result.status == "done" else (),
        evidence=seen.digest() if isinstance(seen, Evidence) else None,
        undoes=key,
    )
    if result.status == "done":
        return None
    by_hand = f"/var/lib/controlplane/{key}/undo"
    return f"{step.id}: the rollback failed: {result.message}\nThe undo that lies on the host works without this program: {by_hand}"


def _intents_of(key: str, chain: Sequence[Receipt]) -> tuple[Receipt, ...]:
    """Return the step intents that `key` stands for, oldest first."""
    if not is_run_key(key):
        raise InputInvalidError([Fault("RUN_KEY", 0, "", f"{key!r} is no run key; 'controlplane runs list' shows them")])
    undone = {r.undoes for r in chain if r.phase == "result" and r.outcome == "rolled-back"}
    steps = [r for r in chain if r.phase == "intent" and r.capability != WHOLE and r.undoes is None and key in (r.key, r.run)]
    if not steps:
        raise InputInvalidError([Fault("RUN_KEY", 0, "", f"no run {key} is on record here; 'controlplane runs list' shows them")])
    left = tuple(r for r in steps if r.key not in undone)
    if not left:
        raise RefusedError(f"{key} was rolled back already. Nothing was changed.")
    return left


def _refuse_unless_undoable(key: str, intents: tuple[Receipt, ...], chain: Sequence[Receipt]) -> None:
    final = [intent for intent in intents if CAPABILITIES[intent.capability].only_by_name]
    if final:
        raise RefusedError(f"{final[0].key} deleted data by an approved plan: what is purged can't come back. Nothing was changed.")
    undone = {r.undoes for r in chain if r.phase == "result" and r.outcome == "rolled-back"}
    named = {intent.key for intent in intents}
    first = {intent.host: min(i.seq for i in intents if i.host == intent.host) for intent in intents}
    later = [
        r.key
        for r in chain
        if r.phase == "intent"
        and r.capability != WHOLE
        and r.undoes is None
        and r.key not in named | undone
        and not CAPABILITIES[r.capability].only_by_name
        and r.host in first
        and r.seq > first[r.host]
        and r.key in {x.key for x in chain if x.phase == "result" and x.outcome == "done"}
    ]
    if later:
        raise RefusedError(f"{key} can't go back while later steps stand on it: {', '.join(later)}. Roll those back first. Nothing was changed.")


def _open_rollback(key: str, chain: Sequence[Receipt]) -> str | None:
    closed = {r.key for r in chain if r.phase == "result"}
    return next((r.key for r in chain if r.phase == "intent" and r.undoes == key and r.key not in closed), None)


def _is_open(run: str, chain: Sequence[Receipt]) -> bool:
    return not any(r.key == run and r.phase == "result" for r in chain)


def _all_undone(run: str, ports: ApplyPorts, plan: Plan) -> bool:
    chain = [receipt for _, receipt in ports.receipts.load()]
    undone = {r.undoes for r in chain if r.phase == "result" and r.outcome == "rolled-back"}
    return all(
        r.key in undone for r in chain if r.phase == "intent" and r.run == run and r.undoes is None and r.capability != WHOLE and r.plan == plan.plan
    )


def _result(run: str, plan: Plan, receipts: list[str], outcome: str, *, changed: list[ChangeStatus], messages: list[str]) -> RunResult:
    return RunResult.model_validate(
        {
            "run": run,
            "receipts": tuple(receipts),
            "plan": plan.plan,
            "outcome": outcome,
            "changed": tuple(changed),
            "verify": None,
            "remaining": (),
            "downtime_s": {},
            "messages": tuple(messages),
        }
    )
