"""runs abandon: close an open run whose machine is gone for good, so that it stands in nobody's way any more.

Rules:
- Only a run that nothing else can end: as long as the hosts of its open steps answer, it is resumed, or that step is taken back.
- One that deleted, so that it does not go back, is such a run also where another version of this program made it, so that it does not go on.
- Gone is a host to which no connection comes about, or that the inventory no longer names. One that answers otherwise than it should is not.
- Nothing is changed, and nothing is said to be done: what state the machine was left in, nobody knows.
- The steps count as begun. Should the machine come back, what stood before them goes back only after them.
- A kill leaves the run open or closed; asked for again, it closes the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from controlplane.domain.capabilities import CAPABILITIES
from controlplane.domain.errors import Fault, InputInvalidError, RefusedError
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.plan import Plan
from controlplane.domain.receipt import Receipt, open_intents
from controlplane.domain.releases.bringing import made_by
from controlplane.domain.run_key import is_run_key
from controlplane.domain.run_list import way_back
from controlplane.domain.site_view import SiteView
from controlplane.domain.values import Value
from controlplane.domain.waves.trail import is_left_unbegun
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.apply_plan import ApplyPorts
from controlplane.usecases.make_plan import roles_digest
from controlplane.usecases.record_run import WHOLE, Ledger
from controlplane.usecases.step_outcome import deletes

_OF_ANOTHER = "another version of this program made its plan, so nothing goes on with it"
_UNNAMED = "the inventory does not name it any more"
_Seen = Mapping[str, Evidence | Unreached]


class Abandoned(Value):
    """What was closed: the run, its receipts, why each of its hosts that are gone could not be observed, and what to do should one come back.

    `rest` is what goes on with the rest of it on hosts that are not gone.
    """

    run: str
    receipts: tuple[str, ...]
    unreached: dict[str, str]
    should_it_come_back: str | None
    rest: str | None = None

    def told(self) -> tuple[str, ...]:
        """Return a sentence of each host, without its full stop."""
        return (*_told(self.unreached), *([] if self.rest is None else [f"{_OF_ANOTHER}; what is left of it: {self.rest}"]))


def abandon_run(key: str, site: SiteView, *, operator: str, reason: str, ports: ApplyPorts, progress: Callable[[str], None]) -> Abandoned:
    """Close the run `key`, or the one that step `key` belongs to.

    Raises `InputInvalidError`, and `RefusedError` where nothing of it is open, or its hosts are not gone.
    """
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
        gone = _gone(plan, left, chain, site, ports)
        ledger = Ledger(ports.receipts, ports.clock, run=whole.run, site=site.name, plan=plan.plan, policy=site.policy_digest, operator=operator)
        for intent in left:
            ledger.close(
                intent.key,
                host=intent.host,
                capability=intent.capability,
                step=intent.step,
                outcome="interrupted",
                reason=f"abandoned: {_ended(reason.strip())} {'; '.join(_told(gone)) or _OF_ANOTHER}. What state it was left in is not known.",
                undoes=intent.undoes,
                told={"unreached": {host: why for host, why in gone.items() if intent.capability == WHOLE or intent.host == host}},
            )
        back = way_back(whole, [receipt for _, receipt in ports.receipts.load()])
    keys = tuple(intent.key for intent in left)
    if not gone:
        return Abandoned(run=whole.run, receipts=keys, unreached=gone, should_it_come_back=None, rest=made_by(plan))
    return Abandoned(run=whole.run, receipts=keys, unreached=gone, should_it_come_back=back)


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _told(gone: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{host} was not {'asked' if why == _UNNAMED else 'reached'}: {why.rstrip('.')}" for host, why in sorted(gone.items()))


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


def _gone(plan: Plan, left: Sequence[Receipt], chain: Sequence[Receipt], site: SiteView, ports: ApplyPorts) -> dict[str, str]:
    """Return the hosts of the run that are gone, each with why it can't be observed, as a resumed run would observe it; none where it ends otherwise.

    Raises `RefusedError` where the run can go on, or back, all the same.
    """
    seen = _observed(plan, site, ports)
    steps = [one for one in left if one.capability != WHOLE]
    targets = {step.id: step.target for step in plan.steps}
    alone = {one.host for one in steps} - {one.host for one in steps if targets.get(one.step) != one.host}
    gone = {host: why for host in plan.hosts if (why := _why_gone(seen.get(host), by_itself=host in alone)) is not None}
    answering = [one for one in steps if one.host not in gone]
    if gone and all(_deletes(one) for one in answering):
        # Of a run whose steps have all ended one host that can't be verified is enough to keep it open. What deletes does not go back.
        return gone
    if not gone and all(_deletes(one) for one in steps) and _is_stuck(plan, left[0].run, chain, ports):
        return gone
    waited = {one.host for one in answering} or set(plan.hosts)
    told = ", ".join(_how_it_is(host, seen.get(host)) for host in sorted(waited))
    closed = sorted({one.step for one in chain if one.run == left[0].run and one.outcome == "interrupted" and one.capability != WHOLE})
    before = f" {', '.join(closed)} of it was closed as interrupted before." if closed else ""
    raise RefusedError(f"run {left[0].run} is not abandoned: {told}.{before} Nothing was changed. {_go_on(left[0].run, answering, gone, chain)}")


def _is_stuck(plan: Plan, run: str, chain: Sequence[Receipt], ports: ApplyPorts) -> bool:
    """Say whether the run deleted, or may have, and was made by other roles than this program's: it goes neither back nor on."""
    begun = {one.step for one in chain if one.run == run and one.phase == "intent"}
    has_deleted = any(step.id in begun and deletes(step.capability, step.changes) for step in plan.steps)
    return has_deleted and plan.binds.roles != roles_digest(ports.roles)


def _observed(plan: Plan, site: SiteView, ports: ApplyPorts) -> _Seen:
    desired, routes = site.desired.by_name(), site.inventory.by_name()
    known = [name for name in plan.hosts if name in routes]
    return ports.evidence.collect([routes[name] for name in known], {name: desired[name] for name in known if name in desired})


def _why_gone(record: Evidence | Unreached | None, *, by_itself: bool) -> str | None:
    """Return why a host counts as gone, None where it does not; `by_itself`: of what is open there its hypervisor's answer ends nothing."""
    if record is None:
        return _UNNAMED
    if not record.unconnected:
        return None
    if isinstance(record, Unreached):
        return record.reason
    return "its hypervisor answers, it does not" if by_itself else None


def _how_it_is(host: str, record: Evidence | Unreached | None) -> str:
    if isinstance(record, Unreached):
        return f"{host} is not known to be gone ({record.reason.rstrip('.')})"
    return f"{host} can be reached" if record is None or record.reached else f"the hypervisor of {host} answers"


def _deletes(intent: Receipt) -> bool:
    return intent.undoes is None and CAPABILITIES[intent.capability].only_by_name


def _go_on(run: str, answering: Sequence[Receipt], gone: Mapping[str, str], chain: Sequence[Receipt]) -> str:
    """Return what goes on with a run that is not abandoned."""
    if is_left_unbegun(run, chain):
        return f"Its wave has ended, and it has begun no step. Close it: controlplane rollback {run}"
    first = next((one for one in answering if one.undoes is not None), None) or next((one for one in answering if not _deletes(one)), None)
    if first is not None and CAPABILITIES[first.capability].led_by:
        then = f", for {first.host}; then abandon the run" if gone else ""
        return f"Go on as this says: controlplane release status{then}"
    if gone and first is not None:
        # A run with a host that is gone is neither resumed nor taken back as a whole.
        return f"Take back what is open on {first.host}, then abandon the run: controlplane rollback {first.undoes or first.key}"
    if first is not None and first.undoes is not None:
        return f"Go on: controlplane rollback {first.undoes}"
    or_back = "" if answering and first is None else f"; or take it back: controlplane rollback {run}"
    return f"Go on: controlplane apply with the plan file{or_back}"
