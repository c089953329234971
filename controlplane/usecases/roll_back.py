"""rollback: the reverse move of one run, or of one of its steps; newer data is carried back, configuration put back byte for byte.

Rules:
- The steps go back in reverse order; a step whose successors on the same host still stand is refused. On a deployment only those stand that changed
  what its way back would change.
- What a purge deleted can't come back, and neither can the run that retired it: both are refused before anything is changed. A purge that
  failed half-way deleted too, and then only the host's own evidence tells.
- A host that another run holds, that could not be observed, or that the policy no longer governs, stops it before the rollback is on record.
- So does a host of a wave that goes on and changes machines, unless what goes back is a run of that wave; it is asked before each step once more.
- What it cost and how the data fared is on record as the roles told it; what of that is not proven is said.
- An interrupted rollback is resumed by asking for it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from controlplane.domain.errors import ControlPlaneError, InterruptedRunError, RefusedError, RunFailedError, UnknownError
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.finding import AuditReport
from controlplane.domain.plan import Plan, Step
from controlplane.domain.receipt import ChangeStatus, Outcome, Receipt, open_intents, undone_keys
from controlplane.domain.releases.bringing import brings
from controlplane.domain.run_key import make_run_key
from controlplane.domain.run_result import RunResult, remaining_drift
from controlplane.domain.site_view import SiteView
from controlplane.domain.told_proof import unproven_back
from controlplane.render.project import render_steps
from controlplane.usecases.apply_guards import held_by_another, sound_chain
from controlplane.usecases.apply_plan import ApplyPorts
from controlplane.usecases.hosts_in_wave import Attempts, hosts_of, refuse_in_wave, why_in_wave
from controlplane.usecases.interrupted_run import BETWEEN_PLAYS, ends_as, if_gone, open_run, way_back_command
from controlplane.usecases.judge_hosts import judge_site
from controlplane.usecases.never_begun import never_begun
from controlplane.usecases.record_run import WHOLE, Ledger, with_status
from controlplane.usecases.rollback_guards import (
    begun_to_purge,
    beside,
    blind_to,
    intents_of,
    open_rollback,
    refuse_led_steps,
    refuse_ungoverned,
    refuse_unless_undoable,
)
from controlplane.usecases.step_outcome import downtime_of


class _StoppedError(Exception):
    """The step that goes back was interrupted or lost its connection; its receipt stays open."""


@dataclass(frozen=True)
class _Undoing:
    """One rollback: the steps that go back, in the order in which they ran, and what undoing them needs."""

    key: str
    plan: Plan
    intents: tuple[Receipt, ...]
    site: SiteView
    ports: ApplyPorts
    ledger: Ledger
    operator: str
    progress: Callable[[str], None]
    planned: SiteView
    others: Attempts


def roll_back(
    key: str,
    site: SiteView,
    *,
    operator: str,
    ports: ApplyPorts,
    progress: Callable[[str], None],
    planned: SiteView | None = None,
    waves: Attempts = lambda: (),
) -> RunResult:
    """Take back the run or step `key`; `planned` is the site as the plan had it, where what is wanted is no part of the policy.

    Without `planned` it was asked for by its key alone: then what another verb leads is refused. `waves` asks the store for every attempt at a wave;
    whoever does not give it keeps off the hosts of waves by itself.

    Raises `InputInvalidError`, `RefusedError`, `UnknownError`; `RunFailedError` where a receipt can't be written any more.
    """
    hosts = {intent.host for intent in intents_of(key, _chain(ports))}
    with ports.locks.hold(tuple(hosts), operator=operator):
        chain = tuple(receipt for _, receipt in sound_chain(ports.receipts, now=ports.clock.now()))
        intents = intents_of(key, chain)
        if planned is None:
            refuse_led_steps(key, intents, chain, ports.plans.get)
        refuse_unless_undoable(key, intents, chain, ports.plans.get)
        refuse_ungoverned(key, intents, site)
        whole = next(r for r in chain if key in (r.key, r.run))
        plan = ports.plans.get(whole.plan)
        others = beside(plan, waves)
        refuse_in_wave(_hosts(plan, intents), others, what=f"{key} does not go back, it is no run of that wave")
        ledger = Ledger(ports.receipts, ports.clock, run=whole.run, site=site.name, plan=plan.plan, policy=site.policy_digest, operator=operator)
        undoing = _Undoing(key, plan, intents, site, ports, ledger, operator, progress, planned or site, others)
        try:
            in_the_way = _in_the_way(undoing, chain)
            if in_the_way is None:
                return _run(undoing)
        except (KeyboardInterrupt, InterruptedRunError, _StoppedError) as stop:
            return _stopped(undoing, str(stop) if isinstance(stop, _StoppedError) else BETWEEN_PLAYS)
        except ControlPlaneError as error:
            raise RunFailedError(f"{error}\n{_how_to_go_on(undoing)}") from error
        raise in_the_way


def _hosts(plan: Plan, intents: Sequence[Receipt]) -> tuple[str, ...]:
    return hosts_of(step for step in plan.steps if any((step.id, step.host) == (intent.step, intent.host) for intent in intents))


def _in_the_way(undoing: _Undoing, chain: tuple[Receipt, ...]) -> RefusedError | UnknownError | None:
    """Return what keeps the rollback from being begun, or gone on with, as its hosts show now; None where nothing does."""
    seen = _look(undoing)
    blind = blind_to(undoing.plan, undoing.intents, seen)
    if blind:
        told = "; ".join(f"{host}: {why}" for host, why in sorted(blind.items()))
        is_open = any(intent.run == undoing.ledger.run for intent in open_intents(chain))
        gone = f" {if_gone(undoing.ledger.run)}" if is_open else ""
        return UnknownError(
            f"{undoing.key} does not go back, {len(blind)} of {len(seen)} hosts could not be observed: {told}. Nothing was changed. "
            f"Restore the connection, then run this again.{gone}"
        )
    held = _held_by_another(undoing, chain, seen) or begun_to_purge(undoing.intents, seen)
    return None if held is None else RefusedError(held)


def _held_by_another(undoing: _Undoing, chain: tuple[Receipt, ...], seen: Mapping[str, Evidence | Unreached]) -> str | None:
    """Return who else holds a host of the rollback; the leases of the steps that go back and of their begun rollbacks are its own."""
    keys = {intent.key for intent in undoing.intents}
    own = keys | {again for key in keys if (again := open_rollback(key, chain)) is not None}
    return held_by_another(seen, own=frozenset(own), now=undoing.ports.clock.now())


def _look(undoing: _Undoing) -> Mapping[str, Evidence | Unreached]:
    """Return fresh evidence of the hosts whose steps go back."""
    if not undoing.intents:
        return {}
    chosen = undoing.site.chosen(tuple(sorted({intent.host for intent in undoing.intents})))
    return undoing.ports.evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})


def _chain(ports: ApplyPorts) -> tuple[Receipt, ...]:
    return tuple(receipt for _, receipt in ports.receipts.load())


def _how_to_go_on(undoing: _Undoing) -> str:
    is_release = brings(undoing.plan) is not None
    again = way_back_command(undoing.ledger.run, undoing.plan, _chain(undoing.ports)) if is_release else f"controlplane rollback {undoing.key}"
    return f"What went back stays back. Go on with the rest: {again}"


def _run(undoing: _Undoing) -> RunResult:
    ports, site, steps = undoing.ports, undoing.site, {step.id: step for step in undoing.plan.steps}
    chain = _chain(ports)
    for intent in reversed(undoing.intents):
        step = steps[intent.step]
        again = open_rollback(intent.key, chain)
        undo_key = again or make_run_key(step.capability, ports.clock.now(), ports.entropy.four_hex())
        if again is None:
            undoing.ledger.intend(undo_key, host=step.host, capability=step.capability, step=step.id, undoes=intent.key)
        _stop_for_a_wave(undoing, step, None if again else undo_key, intent.key)
        undoing.progress(f"{step.id} {step.capability} | roll back")
        if never_begun(step, intent, chain, plan=undoing.plan, site=undoing.planned, ports=ports):
            undoing.ledger.close(
                undo_key,
                host=step.host,
                capability=step.capability,
                step=step.id,
                outcome="rolled-back",
                reason="nothing of the run is on the host: there was nothing to undo",
                changes=with_status(step, "undone"),
                undoes=intent.key,
            )
            continue
        failure = _undo_step(undoing, step, intent.key, undo_key)
        if failure is not None:
            return _result(undoing, "failed", messages=(failure, _how_to_go_on(undoing)))
    _close_whole(undoing)
    seen = _look(undoing)
    report = judge_site(site, hosts=tuple(sorted(seen)), seen=seen, now=ports.clock.now()) if seen else None
    return _result(undoing, "rolled-back", report=report)


def _stop_for_a_wave(undoing: _Undoing, step: Step, begun: str | None, key: str) -> None:
    """Raise `_StoppedError` where a wave has the step's host by now; `begun` is the rollback's intent, where this attempt wrote it.

    The wave found that intent, or is found here.
    """
    held = why_in_wave(hosts_of((step,)), undoing.others)
    if held is None:
        return
    if begun is not None:
        # Left open it would keep the wave off the host, and wait for the wave itself.
        undoing.ledger.close(begun, host=step.host, capability=step.capability, step=step.id, outcome="refused", reason=held, undoes=key)
    raise _StoppedError(f"{step.id} | roll back was not begun: {held}")


def _close_whole(undoing: _Undoing) -> None:
    """Close the run that is still open once all of its steps are back."""
    run, chain = undoing.ledger.run, _chain(undoing.ports)
    undone = undone_keys(chain)
    left = [r for r in chain if r.phase == "intent" and r.run == run and r.undoes is None and r.capability != WHOLE and r.key not in undone]
    if not left and not any(r.key == run and r.phase == "result" for r in chain):
        undoing.ledger.close(run, host="*", capability=WHOLE, step="*", outcome="rolled-back", changes=_changed(undoing))


def _undo_step(undoing: _Undoing, step: Step, key: str, undo_key: str) -> str | None:
    """Return None when the step is undone, else what went wrong and what to do next."""
    site, ports = undoing.site, undoing.ports
    routes = [route for _, route in site.chosen((step.host,))]
    project = render_steps(
        [step],
        keys={step.id: undo_key},
        holder=undoing.operator,
        hosts=[site.route(step.target)],
        roles=ports.roles.files(),
        undoes={step.id: key},
    )
    result = ports.runner.run(project, key=undo_key, host=step.target, playbook="site.yml", progress=undoing.progress)
    if result.status == "interrupted":
        raise _StoppedError(f"{step.id} | roll back: {result.message or 'interrupted; what ran was stopped first'}")
    if result.status == "unreachable":
        raise _StoppedError(f"{step.id} | roll back: the connection to {step.target} was lost: {result.message}; long work goes on there by itself")
    seen = ports.evidence.collect(routes, {desired.host: desired for desired, _ in site.chosen((step.host,))}).get(step.host)
    done = result.status == "done"
    undoing.ledger.close(
        undo_key,
        host=step.host,
        capability=step.capability,
        step=step.id,
        outcome="rolled-back" if done else "failed",
        reason=None if done else result.message,
        changes=with_status(step, "undone") if done else (),
        evidence=seen.digest() if isinstance(seen, Evidence) else None,
        downtime_s=downtime_of(result),
        undoes=key,
        told=result.told.get("told"),
    )
    if done:
        return None
    by_hand = f"/var/lib/controlplane/{key}/undo"
    return f"{step.id}: the rollback failed: {result.message}\nThe undo that lies on the host works without this program: {by_hand}"


def _changed(undoing: _Undoing) -> tuple[ChangeStatus, ...]:
    """Return the change records of the steps, in the order in which they go back, as the receipts on the disk have them."""
    chain = _chain(undoing.ports)
    undone, steps = undone_keys(chain), {step.id: step for step in undoing.plan.steps}
    results = {receipt.key: receipt for receipt in chain if receipt.phase == "result"}
    changed: list[ChangeStatus] = []
    for intent in reversed(undoing.intents):
        result = results.get(intent.key)
        if intent.key in undone:
            changed += with_status(steps[intent.step], "undone")
        else:
            changed += result.changes if result is not None and result.changes else with_status(steps[intent.step], "not-done")
    return tuple(changed)


def _stopped(undoing: _Undoing, why: str) -> RunResult:
    undone = undone_keys(_chain(undoing.ports))
    back = sum(intent.key in undone for intent in undoing.intents)
    if back == len(undoing.intents):
        key = undoing.ledger.run if open_run(undoing.plan, undoing.ports.receipts) else None
        # A release may have hosts left that went not back with these.
        ends = ends_as(key, undoing.plan, _chain(undoing.ports)) if key else None
        tail = f"Close the run: controlplane rollback {key}" if key else "Nothing is left to do. See the host: controlplane verify"
        tail = tail if ends is None else f"Run {key} is open on other hosts. How it goes on, or back: {ends}"
        return _result(undoing, "interrupted", messages=(f"{why.rstrip('.')}; all {back} steps are back.", tail))
    return _result(undoing, "interrupted", messages=(f"{why.rstrip('.')}; {back} of {len(undoing.intents)} steps are back.", _how_to_go_on(undoing)))


def _result(undoing: _Undoing, outcome: Outcome, *, report: AuditReport | None = None, messages: tuple[str, ...] = ()) -> RunResult:
    keys = {intent.key for intent in undoing.intents}
    chain = _chain(undoing.ports)
    mine = [r for r in chain if r.undoes in keys]
    downtime: dict[str, float] = {}
    for name, seconds in (missed for r in mine for missed in r.downtime_s.items()):
        downtime[name] = round(downtime.get(name, 0.0) + seconds, 3)
    return RunResult(
        run=undoing.ledger.run,
        receipts=tuple(r.key for r in mine if r.phase == "intent"),
        plan=undoing.plan.plan,
        outcome=outcome,
        changed=_changed(undoing),
        verify=report,
        # Nothing was promised to be mended: every drift is shown as what remains.
        remaining=remaining_drift(undoing.plan.model_copy(update={"steps": ()}), report),
        downtime_s=downtime,
        messages=(*unproven_back(chain, keys), *messages),
    )
