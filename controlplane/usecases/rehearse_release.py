"""What a dry run of a release tells: the plan again on fresh evidence, the gate, and what each host's own Docker says. Nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controlplane.domain.errors import InterruptedRunError, RefusedError
from controlplane.domain.finding import Verdict
from controlplane.domain.plan import Plan, Step
from controlplane.domain.planning import differences
from controlplane.domain.receipt import open_intents
from controlplane.domain.releases.gate import GateLine
from controlplane.domain.releases.values import EnvironmentName
from controlplane.domain.run_key import make_run_key
from controlplane.ports.releases import KeptManifest
from controlplane.render.project import render_steps
from controlplane.usecases.deploy_release import stricter
from controlplane.usecases.judge_promotion import judge_promotion
from controlplane.usecases.release_case import Progress, ReleasePorts, ReleaseSite, environment_of, landings, plan_release, planned
from controlplane.usecases.wave_ports import without_end

# The exit code by which a tool on a host says no.
REFUSED = 4


@dataclass(frozen=True)
class Rehearsed:
    """What a release would do: the plan, its gate (of staging: none), and where each service's data land."""

    plan: Plan
    gate: tuple[GateLine, ...]
    lands: Sequence[Mapping[str, str]]


def rehearse(site: ReleaseSite, stack: str, name: EnvironmentName, of: Plan | KeptManifest, ports: ReleasePorts) -> Rehearsed:
    """Return what a manifest would do, or a plan that was made of one. Raises `RefusedError` where fresh evidence gives another plan."""
    spec, _ = environment_of(site, stack, name)
    kept = planned(site, stack, name, of)[0] if isinstance(of, Plan) else of
    fresh = plan_release(site, stack, name, kept, ports=ports.apply)
    made = of if isinstance(of, Plan) else fresh
    if told := differences(made, fresh):
        listed, verb = "\n  ".join(told), "promote" if name == "production" else f"stage --manifest {kept.name}"
        raise RefusedError(
            f"plan {made.plan[:19]} no longer fits:\n  {listed}\nNothing was changed. Make a new one: controlplane release {verb} {stack} --out FILE"
        )
    gate = judge_promotion(stricter(site, spec), stack, kept, made, ports) if name == "production" else ()
    return Rehearsed(fresh, gate, landings(site, stack, name, kept))


def asked_of_hosts(site: ReleaseSite, plan: Plan, ports: ReleasePorts, *, progress: Progress) -> tuple[GateLine, ...]:
    """Return a line for each host of a plan: whether its Compose reads the files, and the registry gives it the images, as the release needs.

    The role itself answers, in check mode. Raises `InterruptedRunError`.
    """
    # What a run of this plan began is that run's own to go on with, and in nobody's way.
    begun = {one.step: one.key for one in open_intents([receipt for _, receipt in ports.apply.receipts.load()]) if one.plan == plan.plan}
    return tuple(_asked(site, step, begun.get(step.id), ports, progress) for step in plan.steps)


def _asked(site: ReleaseSite, step: Step, begun: str | None, ports: ReleasePorts, progress: Progress) -> GateLine:
    apply = ports.apply
    progress(f"{step.host}: asking its Docker")
    key = begun or make_run_key(step.capability, apply.clock.now(), apply.entropy.four_hex())
    project = render_steps([step], keys={step.id: key}, holder=site.operator, hosts=[site.view.route(step.target)], roles=apply.roles.files())
    result = apply.runner.dry_run(project, key=key, host=step.target, playbook="site.yml", progress=progress)
    if result.status == "interrupted":
        raise InterruptedRunError("Interrupted. Nothing was changed; run the same command again.")
    name, doubts = f"Docker of {step.host}", result.told.get("doubts") or []
    if result.status == "unreachable":
        return GateLine(name=name, verdict=Verdict.UNKNOWN, reason=f"it was not reached: {result.message}")
    if result.status == "failed":
        # What the tool refused is known; of anything else nobody knows what it would have said.
        is_refused = result.told.get("rc") == REFUSED
        return GateLine(name=name, verdict=Verdict.DRIFTED if is_refused else Verdict.UNKNOWN, reason=without_end(result.message))
    if doubts:
        return GateLine(name=name, verdict=Verdict.UNKNOWN, reason="; ".join(str(one) for one in doubts))
    reason = "Compose reads the files, and the images are there or their registry has them"
    return GateLine(name=name, verdict=Verdict.MET, reason=reason)
