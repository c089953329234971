"""What to say of a run that did not come to its end: only what its receipts on the disk show, because it can have been stopped anywhere."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence

from controlplane.domain.capabilities import CAPABILITIES
from controlplane.domain.errors import ControlPlaneError, InputInvalidError, InterruptedRunError, RefusedError, UnknownError
from controlplane.domain.plan import Plan
from controlplane.domain.receipt import Outcome, Receipt, open_intents, undone_keys
from controlplane.domain.releases.bringing import brings
from controlplane.domain.releases.elsewhere import OpenRun
from controlplane.domain.run_result import RunResult
from controlplane.ports.receipts import ReceiptStore
from controlplane.usecases.record_run import WHOLE, with_status
from controlplane.usecases.step_outcome import deletes

# Where a signal came while no step's play ran: nobody asked the hosts to stop what an attempt before this one may have begun.
BETWEEN_PLAYS = "interrupted; what ran from here was stopped first, and what an earlier attempt left working on a host goes on there"


def finished_steps(run: str, chain: Sequence[Receipt]) -> dict[str, Receipt]:
    """Return the results of the run's steps that are done and were not taken back, by step."""
    undone = undone_keys(chain)
    mine = (r for r in chain if r.run == run and r.phase == "result" and r.outcome == "done" and r.step != "*" and r.undoes is None)
    return {receipt.step: receipt for receipt in mine if receipt.key not in undone}


def open_run(plan: Plan, receipts: ReceiptStore) -> str | None:
    """Return the plan's run that is open on the disk, or None."""
    chain = [receipt for _, receipt in receipts.load()]
    return next((receipt.run for receipt in open_intents(chain) if receipt.plan == plan.plan and receipt.undoes is None), None)


def how_to_go_on(run: str, by: str, back: str | None = None) -> str:
    """Return the sentence that ends every message about an open run; `by` is what goes on with it, `back` what takes it back, if not rollback."""
    return f"Run {run} is open. Go on: {by}{_or_back(back or f'controlplane rollback {run}')}"


def _or_back(back: str) -> str:
    return f"; or take it back: {back}"


def without_refused_way(told: str, run: str, plan: Plan) -> str:
    """Return what a course tells of how to go on, without the way back where the run deletes: a rollback of that is refused."""
    is_deleting = any(step.capability in CAPABILITIES and deletes(step.capability, step.changes) for step in plan.steps)
    return told.replace(_or_back(f"controlplane rollback {run}"), "") if is_deleting else told


def way_back_command(run: str, plan: Plan, chain: Sequence[Receipt]) -> str:
    """Return the command that takes a run of a plan back: for a release its own verb, as long as something of the run stands.

    Of a release's run that began nothing, or is back, there is only the record to close: its own verb would take the release before it back.
    Its own verb knows the hosts that its environment has: where those of the run may be others by now, `ends_as` names what tells.
    """
    found, undone = brings(plan), undone_keys(chain)
    steps = (r for r in chain if r.run == run and r.phase == "intent" and r.undoes is None and r.capability != WHOLE)
    if found is None or all(step.key in undone for step in steps):
        return f"controlplane rollback {run}"
    return f"controlplane release rollback {shlex.quote(found.stack)} --env {found.environment}"


def ends_as(run: str, plan: Plan, chain: Sequence[Receipt]) -> str | None:
    """Return the command that says how an open run of a release is ended; None for a run of anything else, one that is closed, or all back.

    What works depends on the hosts that the environment has now: a run that is left on others alone goes neither on nor back before they are named
    again. Who knows but the receipts can't tell.
    """
    found, undone = brings(plan), undone_keys(chain)
    steps = [r for r in chain if r.run == run and r.phase == "intent" and r.undoes is None and r.capability != WHOLE]
    is_open = any(r.run == run for r in open_intents(chain))
    if found is None or not is_open or all(step.key in undone for step in steps):
        return None
    return f"controlplane release status {shlex.quote(found.stack)}"


def named_first(hosts: Iterable[str], plan: Plan) -> str:
    """Return what comes before the way back of a release's run that is closed, in brackets: whether its environment still has these hosts, who knows.

    `release rollback` goes by the hosts that the environment has: with none of the run's it takes another release back, or is refused.
    """
    found, on = brings(plan), ", ".join(dict.fromkeys(hosts))
    return f" (where {found.environment} has {on} no more, name that in releases/{found.stack}.yml again first)" if found is not None else ""


def abandon_command(run: str) -> str:
    """Return the command that closes a run whose machine is gone for good."""
    return f'controlplane runs abandon {run} --reason "..."'


def named_again(run: OpenRun, stack: str, environment: str) -> str:
    """Return what there is to do with a release's run whose hosts its environment has not all any more, without a full stop."""
    hosts = ", ".join(run.away or run.strange)
    told = f"run {run.run} is open {'on' if run.away else 'and was to come to'} {hosts}, no host of {environment} any more"
    return f"{told}: name {hosts} in releases/{stack}.yml again, then run this again; gone for good: {abandon_command(run.run)}"


def if_gone(run: str) -> str:
    """Return the half sentence for who meets an open run whose machine will not come back."""
    return f"A machine is gone for good? {abandon_command(run)}"


def interrupted(plan: Plan, receipts: ReceiptStore, why: str, go_on: Callable[[str], str]) -> RunResult:
    """Return the result of a stopped apply; `go_on` says how its run is gone on with.

    Raises `InterruptedRunError` where no run of the plan is open.
    """
    run = open_run(plan, receipts)
    chain = [receipt for _, receipt in receipts.load()]
    if run is None:
        ends = [receipt for receipt in chain if receipt.plan == plan.plan and receipt.phase == "result" and receipt.step == "*"]
        if not ends:
            raise InterruptedRunError("Interrupted before the run began. Nothing was changed; run the same command again.")
        last = ends[-1]
        raise InterruptedRunError(f"Interrupted; no run of this plan is open, {last.run} is recorded as {last.outcome}. Next: controlplane runs list")
    done = len(finished_steps(run, chain))
    how = without_refused_way(go_on(run), run, plan)
    return _as_recorded(plan, run, chain, outcome="interrupted", messages=(f"{why.rstrip('.')}; {done} of {len(plan.steps)} steps are done.", how))


def ended_early(plan: Plan, receipts: ReceiptStore, error: ControlPlaneError) -> RunResult:
    """Return the result of an apply that ended in an error: of a run that it left open, what the receipts show, as far as they can be read."""
    outcome = outcome_of(error)
    if outcome == "refused":
        return not_begun(plan.plan, error)
    try:
        run = open_run(plan, receipts)
        chain = [receipt for _, receipt in receipts.load()]
    except ControlPlaneError:
        return not_begun(plan.plan, error)
    return not_begun(plan.plan, error) if run is None else _as_recorded(plan, run, chain, outcome=outcome, messages=(str(error),))


def not_begun(plan: str, error: ControlPlaneError) -> RunResult:
    """Return the result of what ended in an error and left no run open that is known; without a plan's digest of one that is not known either."""
    told = (str(error),)
    outcome = outcome_of(error)
    return RunResult(run=None, receipts=(), plan=plan, outcome=outcome, changed=(), verify=None, remaining=(), downtime_s={}, messages=told)


def outcome_of(error: ControlPlaneError) -> Outcome:
    """Return the outcome that an error stands for. What could not be observed was not begun either: the exit code says which of the two it is."""
    if isinstance(error, InterruptedRunError):
        return "interrupted"
    return "refused" if isinstance(error, RefusedError | UnknownError | InputInvalidError) else "failed"


def _as_recorded(plan: Plan, run: str, chain: Sequence[Receipt], *, outcome: Outcome, messages: tuple[str, ...]) -> RunResult:
    """Return what the receipts show of a run that is open."""
    finished = finished_steps(run, chain)
    keys = [r.key for r in chain if r.run == run and r.phase == "intent" and r.undoes is None]
    changed = [change for step in plan.steps for change in (finished[step.id].changes if step.id in finished else with_status(step, "not-done"))]
    downtime = {name: seconds for receipt in finished.values() for name, seconds in receipt.downtime_s.items()}
    return RunResult(
        run=run,
        receipts=tuple(keys),
        plan=plan.plan,
        outcome=outcome,
        changed=tuple(changed),
        verify=None,
        remaining=(),
        downtime_s=downtime,
        messages=messages,
    )
