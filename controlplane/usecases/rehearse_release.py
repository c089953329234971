"""What a dry run of a release tells: the plan again on fresh evidence, and the gate; what hosts say is ask_release.py's. Nothing is changed.

Rules:
- It refuses what carrying the plan out would refuse, and nothing else. Of a run of the plan that is open what is left may differ by what it did.
- A promotion that would deploy nothing any more, as it is finished, to be proven or to be taken back, is told as that (promotion_state.py).
- Files of production with faults are a line of the gate, and leave nothing to plan; for what a run began already they are the refusal that they are
  for carrying it on. Staging has no gate: there they are a refusal.
- What that run began is in its own way nowhere. Where it began every host, no gate is asked any more: what was begun is ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controlplane.domain.coordination import stamp_of
from controlplane.domain.errors import RefusedError
from controlplane.domain.finding import Verdict
from controlplane.domain.plan import Binds, Plan, seal
from controlplane.domain.planning import differences, unplanned
from controlplane.domain.receipt import Receipt
from controlplane.domain.releases.gate import GateLine
from controlplane.domain.releases.history import deployments
from controlplane.domain.releases.values import EnvironmentName
from controlplane.ports.releases import KeptManifest
from controlplane.usecases.apply_guards import open_of, refuse_unless_bound, refuse_unless_confirmable, sound_chain
from controlplane.usecases.hosts_in_wave import hosts_of, wave_line
from controlplane.usecases.interrupted_run import finished_steps, open_run, way_back_command
from controlplane.usecases.judge_promotion import judge_promotion
from controlplane.usecases.make_plan import roles_digest
from controlplane.usecases.promotion_state import foreseen, reached
from controlplane.usecases.release_case import (
    ReleasePorts,
    ReleaseSite,
    environment_of,
    landings,
    manifest_of,
    plan_release,
    planned,
    stricter,
    why_unplanned,
)


@dataclass(frozen=True)
class Rehearsed:
    """What a release would do: the plan, its gate (of staging: a wave that has its hosts, or nothing), and where each service's data land.

    `finished` are the hosts at which nothing of the plan is to be begun any more. Where `unplanned`, the gate says why nothing can be planned, and
    the plan, which has no step, is none to be kept.
    """

    plan: Plan
    gate: tuple[GateLine, ...]
    lands: Sequence[Mapping[str, str]]
    finished: tuple[str, ...] = ()
    unplanned: bool = False


def rehearse(site: ReleaseSite, stack: str, name: EnvironmentName, of: Plan | KeptManifest, ports: ReleasePorts) -> Rehearsed:
    """Return what a manifest would do, or a plan that was made of one. Raises `RefusedError` where fresh evidence gives another plan."""
    spec, environment = environment_of(site, stack, name)
    at = reached(site, stack, of, ports) if isinstance(of, Plan) and name == "production" else None
    if at is not None and isinstance(of, Plan) and at.next != "deploy":
        nothing = seal(site=of.site, made_at=of.made_at, binds=of.binds, bounds=(), steps=(), refusals=())
        return Rehearsed(nothing, (foreseen(of, stack, at),), (), hosts_of(of.steps))
    if name == "production" and not (at is not None and at.begun) and (faulty := _faulty(site, stack, of)) is not None:
        gate = judge_promotion(stricter(site, spec), stack, faulty, of if isinstance(of, Plan) else None, ports)
        return Rehearsed(_no_plan(site, ports), (*gate, wave_line(environment.hosts, ports.waves)), (), environment.hosts, unplanned=True)
    kept = _kept(site, stack, name, of, ports) if isinstance(of, Plan) else of
    fresh = plan_release(site, stack, name, kept, ports=ports.apply)
    made = of if isinstance(of, Plan) else fresh
    chain = tuple(receipt for _, receipt in ports.apply.receipts.load())
    run = open_run(made, ports.apply.receipts)
    done = finished_steps(run, chain) if run is not None else {}
    begun = tuple(one for one in deployments(chain, ports.apply.plans.get, plan=made.plan) if one.run == run)
    _refuse_unfit(made, fresh, run, chain, anew=f"promote {stack}" if name == "production" else f"stage --manifest {kept.name} {stack}")
    waves = wave_line(hosts_of(step for step in made.steps if step.id not in done), ports.waves)
    if name == "production":
        asked = not begun or set(hosts_of(made.steps)) - {one.host for one in begun}
        gate = (*(judge_promotion(stricter(site, spec), stack, kept, made, ports, begun=begun) if asked else ()), waves)
    else:
        gate = () if waves.verdict is Verdict.MET else (waves,)
    return Rehearsed(fresh, gate, landings(site, stack, name, kept, made), hosts_of(step for step in made.steps if step.id in done))


def _faulty(site: ReleaseSite, stack: str, of: Plan | KeptManifest) -> KeptManifest | None:
    """Return the manifest of which nothing can be planned, as production's files have faults; None where it can be."""
    kept = manifest_of(site, stack, "production", of) if isinstance(of, Plan) else of
    return kept if why_unplanned(site, stack, "production", kept) is not None else None


def _no_plan(site: ReleaseSite, ports: ReleasePorts) -> Plan:
    view, apply = site.view, ports.apply
    binds = Binds(policy=view.policy_digest, inventory=view.inventory_digest(), roles=roles_digest(apply.roles), facts={}, evidence={})
    return seal(site=view.name, made_at=stamp_of(apply.clock.now()), binds=binds, bounds=(), steps=(), refusals=())


def _kept(site: ReleaseSite, stack: str, name: EnvironmentName, plan: Plan, ports: ReleasePorts) -> KeptManifest:
    """Return the manifest that a plan brings. Raises `RefusedError` where carrying the plan out would refuse it before it looks at a host."""
    kept, view = planned(site, stack, name, plan)
    apply = ports.apply
    refuse_unless_bound(plan, view, roles_digest(apply.roles), receipts=apply.receipts)
    refuse_unless_confirmable(plan, view)
    open_of(plan, tuple(receipt for _, receipt in sound_chain(apply.receipts, now=apply.clock.now())))
    return kept


def _refuse_unfit(made: Plan, fresh: Plan, run: str | None, chain: tuple[Receipt, ...], *, anew: str) -> None:
    """Raise `RefusedError` where a plan no longer fits; of the run of it that is open where there is more to do now than it says."""
    told = "\n  ".join(differences(made, fresh) if run is None else unplanned(made, fresh))
    if told and run is not None:
        raise RefusedError(
            f"run {run} can't be gone on with, there is more to do now than its plan says:\n  {told}\nNothing was changed. "
            f"Take it back with '{way_back_command(run, made, chain)}', then make a new plan."
        )
    if told:
        raise RefusedError(
            f"plan {made.plan[:19]} no longer fits:\n  {told}\nNothing was changed. Make a new one: controlplane release {anew} --out FILE"
        )
