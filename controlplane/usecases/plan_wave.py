"""wave plan, approve: preview a wave's change set within its scope, and bind an approval to it.

Rules:
- Only hosts that the wave changes, that were not carved out and that the failure limit still lets begin, only capabilities that it names: nothing
  outside its scope is ever in its plan.
- A plan that was refused all that is left is shown and not kept with the wave: what waits for its run there goes on waiting. But where it looked, and
  something of an abandoned run's rest is done by now, it is kept, for that is what it shows; before the one that waits, which stays the last.
- What deletes (only by name) is a change set of its own, after the others.
- Where another person has to approve, who made the plan counts as who asked, by the name of their key, whoever holds the wave later. Whose key
  nobody knows makes no plan there.
- An approval is bound to plan, hosts and window, and serves one run; given early, it holds when its window opens and the facts are the same.
- An open run takes another approval where its own no longer holds, and none else: its own covers it to its end.
"""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.approval import Approval, Scope, approve
from controlplane.domain.capabilities import CAPABILITIES
from controlplane.domain.chain import last_reset
from controlplane.domain.errors import Fault, InputInvalidError, RefusedError, RunFailedError
from controlplane.domain.plan import Plan
from controlplane.domain.planning import chosen_capabilities
from controlplane.domain.waves.order import left_alone
from controlplane.domain.waves.record import Planned, WaveRecord, record_of, stamped
from controlplane.domain.waves.trail import settled
from controlplane.domain.waves.values import Wave
from controlplane.domain.windows import next_opening, open_now
from controlplane.usecases.make_plan import plan_site
from controlplane.usecases.settle_wave import caught_up, refuse_closed, refuse_open_runs, state_of
from controlplane.usecases.wave_case import demanded_of, is_covered
from controlplane.usecases.wave_ports import WavePorts, WaveSite, abort_command, close_command, loaded, refuse_other_files, without_end
from controlplane.usecases.wave_rest import rest_of

# The outcome of a plan that found everything as declared.
NOTHING = "nothing to do"
# And of one that was refused whatever it found to do.
REFUSED = "refused"


def plan_wave(name: str, site: WaveSite, ports: WavePorts, *, capabilities: Sequence[str]) -> tuple[Plan, Planned]:
    """Return the preview, kept with the wave. Raises `RefusedError` where the wave changes nothing, or its last run is not closed."""
    wave = site.wave(name)
    held, record = caught_up(name, site, ports)
    refuse_closed(f"wave {name} is not planned", name, record, loaded(ports))
    if wave.mutation != "controlled":
        raise RefusedError(
            f"wave {name} changes no machine (mutation: {wave.mutation}), so it has no plan. Nothing was changed. Next: {close_command(name)}"
        )
    refuse_other_files(f"wave {name} is not planned", name, site, record)
    refuse_open_runs(f"wave {name} is not planned", name, record, loaded(ports))
    asked_by = _who_asks(name, wave, site, ports)
    chosen = chosen_capabilities(_within(name, wave, capabilities))
    stopped = left_alone(wave, record.out)
    hosts = tuple(host for host in record.without_carved(wave.hosts) if host not in stopped)
    if not hosts:
        why = f"no host of wave {name} is begun any more: {next(iter(stopped.values()))}" if stopped else f"every host of wave {name} was carved out"
        raise RefusedError(f"{why}. Nothing was changed. Next: {abort_command(name)}")
    made = plan_site(site.view, hosts=hosts, capabilities=chosen, clock=ports.apply.clock, evidence=ports.apply.evidence, roles=ports.apply.roles)
    file = ports.folder.keep(name, record.attempt, f"plan-{made.plan[7:19]}.json", (made.model_dump_json(indent=2) + "\n").encode())
    ports.apply.plans.keep(made)
    planned = Planned(
        plan=made.plan,
        file=file,
        made_at=made.made_at,
        capabilities=tuple(capability.id for capability in chosen),
        hosts=made.hosts,
        steps=len(made.steps),
        downtime_s=downtime_of(made),
        destructive=tuple(change.target for step in made.steps for change in step.changes if change.destructive),
        outcome=None if made.steps else REFUSED if made.refusals else NOTHING,
        asked_by=asked_by,
    )
    if made.steps or not made.refusals or _settles_rest(record, planned, ports):
        record = _kept(record, planned)
        ports.waves.write(held, state=state_of(record), record=record.plain(), now=ports.apply.clock.now())
    return made, planned


def _kept(record: WaveRecord, planned: Planned) -> WaveRecord:
    """Return the record with a plan. What waits for its run stays the last one where this one was refused all that is left."""
    last, kept = record.last_plan, record.with_plan(planned)
    return kept.with_plan(last) if planned.outcome == REFUSED and last is not None and last.waits else kept


def _settles_rest(record: WaveRecord, planned: Planned, ports: WavePorts) -> bool:
    """Say whether a plan shows that something which an abandoned run of the wave left undone is done."""
    chain, plan_of = loaded(ports), ports.apply.plans.get
    try:
        return rest_of(record, chain, plan_of) != rest_of(record.with_plan(planned), chain, plan_of)
    except RunFailedError:
        # A plan is gone: closing names the file.
        return False


def downtime_of(made: Plan) -> dict[str, int | None]:
    """Return the seconds that each service misses at most over all steps of a plan, None where of one of them that is not known."""
    downtime: dict[str, int | None] = {}
    for step in made.steps:
        for service in step.downtime.services:
            before, more = downtime.get(service, 0), step.downtime.estimate_s
            downtime[service] = None if before is None or more is None else before + more
    return downtime


def _who_asks(name: str, wave: Wave, site: WaveSite, ports: WavePorts) -> str | None:
    """Return whose key the planner's is, where another person has to approve: approvers are known by their keys, so is who may not be the only one.

    Raises `RefusedError` where nobody knows it: whoever planned could approve by another key of theirs.
    """
    if demanded_of(wave, site) != "other":
        return None
    asked_by = ports.apply.approvals.signs_as()
    if asked_by is None:
        raise RefusedError(
            f"wave {name} is not planned: another person than who plans it has to approve, and whose key yours is can't be told. Nothing was "
            f"changed. Name a signing_key in site.yml that the allowed signers name, then: controlplane wave plan {name}"
        )
    return asked_by


def approve_wave(name: str, site: WaveSite, ports: WavePorts) -> tuple[Approval, Planned]:
    """Sign the wave's last plan for the window that is open, or for the next one. Raises `RefusedError`, also where its run needs no other."""
    wave = site.wave(name)
    held = ports.waves.find(name)
    if held is None or held.ended_at is not None:
        raise RefusedError(f"wave {name} is not open. Nothing was changed. Open it: controlplane wave open {name}")
    chain = loaded(ports)
    record = settled(record_of(held.record), chain)
    refuse_closed(f"the plan of wave {name} is not approved", name, record, chain)
    refuse_other_files(f"the plan of wave {name} is not approved", name, site, record)
    planned = record.last_plan
    if planned is None or not (planned.waits or planned.is_open):
        raise RefusedError(f"wave {name} has no plan that did not run yet. Nothing was changed. Make one: controlplane wave plan {name}")
    now = ports.apply.clock.now()
    if planned.is_open and is_covered(name, wave, site, ports, planned=planned, now=now):
        raise RefusedError(
            f"run {planned.run} of wave {name} is open and needs no other approval. Nothing was changed. Go on with it: controlplane wave run {name}"
        )
    windows = wave.windows or site.view.windows
    opening = open_now(windows, timezone=site.view.timezone, now=now) or next_opening(windows, timezone=site.view.timezone, now=now)
    opens, closes = stamped(opening)
    scope = Scope(wave=name, hosts=planned.hosts, opens_at=opens, closes_at=closes)
    made = approve(planned.plan, approver=site.operator, requester=planned.asked_by or held.holder, now=now, scope=scope, reset=last_reset(chain))
    made = ports.apply.approvals.add(made)
    bound = planned.model_copy(update={"approved": True, "opens": opens, "closes": closes})
    try:
        ports.waves.write(held, state=state_of(record), record=record.with_plan(bound).plain(), now=now)
    except RefusedError as lost:
        raise RefusedError(
            f"{without_end(str(lost))} The approval of plan {planned.plan[7:19]} is on file and serves that plan alone. "
            f"Look at what the wave plans now, and approve that: controlplane wave status {name}"
        ) from None
    return made, bound


def _within(name: str, wave: Wave, capabilities: Sequence[str]) -> tuple[str, ...]:
    strange = [one for one in capabilities if one not in wave.capabilities]
    if strange:
        known = ", ".join(wave.capabilities)
        raise InputInvalidError([Fault("--capability", 0, "", f"{one} is not in the scope of {name}; it may use {known}") for one in strange])
    if capabilities:
        return tuple(capabilities)
    plain = tuple(one for one in wave.capabilities if not CAPABILITIES[one].only_by_name)
    if not plain:
        alone = ", ".join(wave.capabilities)
        raise InputInvalidError([Fault("--capability", 0, "", f"{alone} delete data, so each has a plan of its own: name it")])
    return plain
