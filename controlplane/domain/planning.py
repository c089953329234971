"""Make a plan from desired state and evidence, and hold a plan against a second look.

Rules:
- Pure: the same inputs give the same steps, so `apply` can make the plan again and compare.
- A capability that only runs by name is never in the same plan as another one.
- A host that was not reached gets a refusal, never an empty plan that looks like "nothing to do".
- A host that the second witness can't ask gets no step: none could ever be confirmed.
- A step whose bounds do not hold by the very evidence that it was planned by is a refusal: apply would only say "make a new plan", without end.
  The room that it needs counts together with that of the steps before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType

from controlplane.domain.bounds import Taken, shortfall
from controlplane.domain.capabilities import CAPABILITIES, Capability, docker_hygiene, release_deploy, vm_provision
from controlplane.domain.capabilities.proposal import Draft, Outlook, Proposal, without
from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.evidence import Evidence, Reader, Unobserved, Unreached
from controlplane.domain.facts import facts_difference, facts_digest, facts_parts
from controlplane.domain.plan import Binds, Bound, Change, Plan, Refusal, Step, seal


def chosen_capabilities(names: Sequence[str]) -> tuple[Capability, ...]:
    """Return the capabilities of a plan in the order of their steps; without names, all that need no name and are led by no other verb."""
    unknown = sorted(set(names) - CAPABILITIES.keys())
    led = [CAPABILITIES[name] for name in dict.fromkeys(names) if name in CAPABILITIES and CAPABILITIES[name].led_by]
    if led:
        raise InputInvalidError([Fault("--capability", 0, "", f"{one.id} has gates of its own: see controlplane {one.led_by} --help") for one in led])
    if unknown:
        known = ", ".join(name for name, one in CAPABILITIES.items() if one.led_by is None)
        raise InputInvalidError([Fault("--capability", 0, "", f"there is no {name}; there are {known}") for name in unknown])
    chosen = tuple(c for c in CAPABILITIES.values() if c.id in names or (not names and not c.only_by_name and c.led_by is None))
    if len(chosen) > 1 and any(c.only_by_name for c in chosen):
        alone = ", ".join(c.id for c in chosen if c.only_by_name)
        raise InputInvalidError([Fault("--capability", 0, "", f"{alone} deletes data, so it has a plan of its own: leave the others out")])
    return chosen


def make_plan(
    *,
    site: str,
    now: datetime,
    as_of: datetime | None = None,
    hosts: Sequence[DesiredHost],
    evidence: Mapping[str, Evidence | Unreached],
    policy: str,
    inventory: str,
    roles: str,
    capabilities: Sequence[Capability],
    retention: timedelta,
    unconfirmed: Mapping[str, str] = MappingProxyType({}),
) -> Plan:
    """Return the sealed plan. `evidence` holds, for each host, its evidence or the reason why there is none; `unconfirmed` says, of hosts that
    the second witness can't ask, why.

    `as_of` is the time by which retention is judged: that of the plan with which this one will be compared.
    """
    steps: list[Step] = []
    bounds: list[Bound] = []
    refusals: list[Refusal] = []
    facts: dict[str, str] = {}
    parts: dict[str, dict[str, str]] = {}
    provenance: dict[str, str] = {}
    for desired in sorted(hosts, key=lambda host: host.host):
        seen = evidence.get(desired.host, Unreached(host=desired.host, reason="it was not asked"))
        if isinstance(seen, Unreached):
            refusals += [Refusal(host=desired.host, capability=c.id, reason=f"the host could not be observed: {seen.reason}") for c in capabilities]
            continue
        facts[desired.host], parts[desired.host] = facts_digest(seen), facts_parts(seen)
        provenance[desired.host] = seen.digest()
        outlook, number, reader, taken = Outlook(now=as_of or now, retention=retention), 0, Reader(seen), Taken()
        unborn = _is_unborn(desired, seen, reader)
        if unborn and not any(capability.id == vm_provision.ID for capability in capabilities):
            refusals += [
                Refusal(host=desired.host, capability=c.id, reason=f"the machine is not there yet: {vm_provision.ID} has to run first")
                for c in capabilities
            ]
            continue
        for capability in CAPABILITIES.values():
            if unborn and capability.id != vm_provision.ID:
                continue
            # A step that this plan does not hold takes nothing.
            room = taken if capability in capabilities else Taken()
            proposal = _allowed(capability.propose(desired, reader, outlook), capability, (desired, reader, room), unconfirmed.get(desired.host))
            outlook = proposal.outlook or outlook
            if capability not in capabilities:
                # Later steps may lean on what is there and on steps before, never on one that this plan does not hold.
                if capability.mounts or proposal.outlook is not None:
                    outlook = without(outlook, capability)
                continue
            refusals += [Refusal(host=desired.host, capability=capability.id, reason=reason) for reason in proposal.refusals]
            for draft in proposal.drafts:
                number += 10
                steps.append(_step(desired.host, number, capability, draft))
                bounds += draft.bounds
            outlook = replace(outlook, mended=outlook.mended.union(*(draft.mends for draft in proposal.drafts)))
        if any(_deletes_images(step) for step in steps if step.host == desired.host):
            facts[desired.host], parts[desired.host] = facts_digest(seen, images=True), facts_parts(seen, images=True)
    return seal(
        site=site,
        made_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        binds=Binds(policy=policy, inventory=inventory, roles=roles, facts=facts, evidence=provenance, fact_parts=parts),
        bounds=tuple(bounds),
        steps=tuple(steps),
        refusals=tuple(refusals),
    )


def _deletes_images(step: Step) -> bool:
    return step.capability == docker_hygiene.ID and any(item["kind"] == "image" for item in step.variables["docker_hygiene_items"])


def _is_unborn(desired: DesiredHost, seen: Evidence, reader: Reader) -> bool:
    """Say whether the hypervisor shows that the machine is not there, or not finished: then nothing else can be done with it."""
    if desired.machine is None or desired.machine.hypervisor is None or seen.reached:
        return False
    try:
        machine = reader.machine
    except Unobserved:
        return False
    return not machine["exists"] or machine["made"] is False


def _allowed(proposal: Proposal, capability: Capability, on: tuple[DesiredHost, Reader, Taken], unconfirmed: str | None) -> Proposal:
    """Return the proposal with a refusal in place of each draft that could not be confirmed, or whose bounds do not hold.

    What the others take is noted, and their bounds say what there has to be for all steps so far.
    """
    desired, reader, taken = on
    kept: list[Draft] = []
    told: list[str] = []
    for draft in proposal.drafts:
        if unconfirmed is not None:
            told.append(f"what it promises could not be confirmed afterwards: {unconfirmed}, then plan again")
            continue
        bounded = replace(draft, bounds=(*taken.beside(draft.room), *draft.bounds))
        short = _short(bounded, desired, reader)
        if short is not None:
            told.append(short)
            continue
        taken.take(draft.room)
        kept.append(bounded)
    if not told:
        return replace(proposal, drafts=tuple(kept))
    return Proposal(
        drafts=tuple(kept),
        refusals=(*proposal.refusals, *dict.fromkeys(told)),
        # Nothing may lean on what a refused step would have brought.
        outlook=without(proposal.outlook, capability) if proposal.outlook is not None else None,
    )


def _short(draft: Draft, desired: DesiredHost, reader: Reader) -> str | None:
    """Return what the draft lacks and what to do about it, None where each of its bounds holds."""
    short: list[str] = []
    for bound in draft.bounds:
        try:
            short += filter(None, [shortfall(bound, desired, reader)])
        except Unobserved as doubt:
            # Doubt is told in the words that give `plan` the exit code of UNKNOWN.
            told = f"could not be observed: {bound.what}, at least {bound.at_least} needed: {doubt}"
            return f"{told}. Apply what this plan mounts, or restore it, then plan again"
    return f"{'; '.join(short)}. {draft.if_short}" if short else None


def _step(host: str, number: int, capability: Capability, draft: Draft) -> Step:
    return Step(
        id=f"{host}/{number:03d}",
        host=host,
        capability=capability.id,
        role=capability.role,
        mends=draft.mends,
        changes=draft.changes,
        downtime=draft.downtime,
        undo=draft.undo,
        variables=draft.variables,
        runs_on=draft.runs_on,
    )


def plan_capabilities(plan: Plan) -> tuple[Capability, ...]:
    """Return the capabilities with which a fresh plan has to be made to be comparable with this one."""
    named = {step.capability for step in plan.steps} | {refusal.capability for refusal in plan.refusals}
    by_name = tuple(CAPABILITIES[name] for name in CAPABILITIES if name in named and CAPABILITIES[name].only_by_name)
    return by_name or tuple(CAPABILITIES[name] for name in CAPABILITIES if name in named)


def differences(plan: Plan, fresh: Plan) -> tuple[str, ...]:
    """Return what differs between the plan and the one made from fresh evidence; empty means that it is still good."""
    told = [
        f"{host}: its facts changed since the plan was made ({', '.join(_changed_facts(plan, fresh, host)) or 'all'})"
        for host in plan.hosts
        if plan.binds.facts.get(host) != fresh.binds.facts.get(host)
    ]
    before, after = ({step.id: _settled(step).changes for step in made.steps} for made in (plan, fresh))
    known = {step.id: (step.host, step.capability) for step in plan.steps}
    for step_id in sorted(before.keys() | after.keys()):
        if step_id not in after:
            told.append(f"{step_id}: is no longer to be done{_refused_now(plan, fresh, *known[step_id])}")
        elif step_id not in before:
            told.append(f"{step_id}: would have to be done too")
        elif before[step_id] != after[step_id]:
            told.append(f"{step_id}: would change something else now")
    # What a step does is in its variables; a plan file whose records say one thing and whose variables another is not run.
    orders = {step.id: _order(step) for step in fresh.steps}
    told += [f"{step.id}: its role would be told something else now" for step in plan.steps if step.id in orders and orders[step.id] != _order(step)]
    return tuple(told)


def _changed_facts(plan: Plan, fresh: Plan, host: str) -> tuple[str, ...]:
    before, after = plan.binds.fact_parts.get(host), fresh.binds.fact_parts.get(host)
    return facts_difference(before, after) if before and after else ()


def _refused_now(plan: Plan, fresh: Plan, host: str, capability: str) -> str:
    reasons = [r.reason for r in fresh.refusals if r not in plan.refusals and (r.host, r.capability) == (host, capability)]
    return f", it would be refused: {'; '.join(reasons)}" if reasons else ""


def _settled(step: Step) -> Step:
    """Return the step without what varies by itself. A plan file may name what there is not."""
    return CAPABILITIES[step.capability].settled(step) if step.capability in CAPABILITIES else step


def _order(step: Step) -> tuple[object, ...]:
    return (step.host, step.runs_on, step.capability, step.role, _settled(step).variables)


def unplanned(plan: Plan, fresh: Plan) -> tuple[str, ...]:
    """Return what a resumed run would do beyond its plan; empty means that everything left to do was approved.

    What the plan refused and what could be done by now is no part of the run: a step before it may be what cleared the doubt.
    Nor is what a capability that only runs by name would do by now and the plan does not name: its role is told by name what to delete, and the rest,
    such as a timer that was stopped meanwhile, is for the next plan. A run that deleted does not go back, so nothing keeps it from its end.
    """
    running = {(step.host, step.capability) for step in plan.steps}
    approved = {(step.host, _wanted(step, change)) for step in plan.steps for change in step.changes}
    return tuple(
        f"{step.id}: {change.kind} {change.target}"
        for step in fresh.steps
        for change in step.changes
        if (step.host, step.capability) in running
        and (step.host, _wanted(step, change)) not in approved
        and not CAPABILITIES[step.capability].only_by_name
    )


def _wanted(step: Step, change: Change) -> str:
    """Return a change as a resumed run has to have it: of a release by what it shall be, since containers that are half replaced are what it left."""
    return (change.model_copy(update={"before": None}) if step.capability == release_deploy.ID else change).model_dump_json()
