"""runs abandon: close an open run whose machine is gone for good, so that it stands in nobody's way any more.

Rules:
- Only a run that nothing else can end: as long as the hosts of its open steps can be observed, it is resumed or taken back.
- Nothing is changed, and nothing is said to be done: what state the machine was left in, nobody knows.
- The steps count as begun. Should the machine come back, what stood before them goes back only after them.
- A kill leaves the run open or closed; asked for again, it closes the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controlplane.domain.errors import Fault, InputInvalidError, RefusedError
from controlplane.domain.evidence import Unreached
from controlplane.domain.plan import Plan
from controlplane.domain.receipt import Receipt, open_intents
from controlplane.domain.run_key import is_run_key
from controlplane.domain.site_view import SiteView
from controlplane.domain.values import Value
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.apply_plan import ApplyPorts
from controlplane.usecases.record_run import WHOLE, Ledger


class Abandoned(Value):
    """What was closed: the run, its receipts, and why each of the hosts that it waited for could not be observed."""

    run: str
    receipts: tuple[str, ...]
    unreached: dict[str, str]


def abandon_run(key: str, site: SiteView, *, operator: str, reason: str, ports: ApplyPorts, progress: Callable[[str], None]) -> Abandoned:
    """Close the run `key`, or the one that step `key` belongs to. Raises `InputInvalidError`, and `RefusedError` where its hosts can be observed."""
    if not reason.strip():
        raise InputInvalidError([Fault("--reason", 0, "", "is empty: say what became of the machine; it stands in the receipts under your name")])
    whole = _whole(key, [receipt for _, receipt in ports.receipts.load()])
    plan = ports.plans.get(whole.plan)
    with ports.locks.hold(plan.hosts, operator=operator):
        chain = [receipt for _, receipt in sound_chain(ports.receipts, now=ports.clock.now())]
        left = _open(whole.run, chain)
        if not left:
            raise RefusedError(f"run {whole.run} is not open. Nothing was changed. What became of it: controlplane runs show {whole.run}")
        progress("asking its hosts")
        unreached = _unreached(plan, left, site, ports)
        ledger = Ledger(ports.receipts, ports.clock, run=whole.run, site=site.name, plan=plan.plan, policy=site.policy_digest, operator=operator)
        gone = "; ".join(f"{name}: {why}" for name, why in sorted(unreached.items()))
        for intent in left:
            ledger.close(
                intent.key,
                host=intent.host,
                capability=intent.capability,
                step=intent.step,
                outcome="interrupted",
                reason=f"abandoned: {reason.strip()} Not reached: {gone}. What state it was left in is not known.",
                undoes=intent.undoes,
            )
    return Abandoned(run=whole.run, receipts=tuple(intent.key for intent in left), unreached=unreached)


def _whole(key: str, chain: Sequence[Receipt]) -> Receipt:
    """Return the intent of the run that `key`, of itself or of one of its steps, belongs to."""
    if not is_run_key(key):
        raise InputInvalidError([Fault("RUN_KEY", 0, "", f"{key!r} is no run key; 'controlplane runs list' shows them")])
    run = next((one.run for one in chain if key in (one.key, one.run) and one.plan), None)
    whole = next((one for one in chain if one.run == run and one.capability == WHOLE and one.phase == "intent"), None)
    if whole is None:
        raise InputInvalidError([Fault("RUN_KEY", 0, "", f"no run {key} of a plan is on record here; 'controlplane runs list' shows them")])
    return whole


def _open(run: str, chain: Sequence[Receipt]) -> tuple[Receipt, ...]:
    """Return what is open of the run, the whole of it last: a kill in between leaves it to be asked for again."""
    mine = [one for one in open_intents(chain) if one.run == run]
    return tuple(sorted(mine, key=lambda one: one.capability == WHOLE))


def _unreached(plan: Plan, left: Sequence[Receipt], site: SiteView, ports: ApplyPorts) -> dict[str, str]:
    """Return the hosts that the run waits for, each with why it can't be observed, as a resumed run would observe it.

    Raises `RefusedError` where they can be: then the run can go on, or back.
    """
    waited = {one.host for one in left if one.capability != WHOLE}
    desired, routes = site.desired.by_name(), site.inventory.by_name()
    asked = sorted(waited or plan.hosts)
    known = [name for name in asked if name in routes]
    seen = ports.evidence.collect([routes[name] for name in known], {name: desired[name] for name in known if name in desired})
    found = {name: "the inventory does not name it any more" for name in asked if name not in routes}
    found |= {name: record.reason for name in known if isinstance(record := seen[name], Unreached)}
    answers = [name for name in asked if name not in found]
    # Of a run whose steps have all ended one host that can't be verified is enough to keep it open.
    if answers and (waited or not found):
        run, undone = left[-1].run, next((one.undoes for one in left if one.undoes is not None), None)
        on = f"controlplane rollback {undone}" if undone else f"controlplane apply with the plan file; or take it back: controlplane rollback {run}"
        raise RefusedError(f"run {run} is not abandoned: {', '.join(answers)} can be reached. Nothing was changed. Go on: {on}")
    return found
