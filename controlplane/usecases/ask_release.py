"""What each host's own Docker says of a release before anything is changed: whether it would take it, and whether what runs could come back.

Rules:
- The role itself answers, in check mode: what it would refuse it refuses here, in the same words.
- What a host did not tell is UNKNOWN. A first release is one before which the receipts know of none and nothing of the project runs; it is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from controlplane.domain.errors import InterruptedRunError
from controlplane.domain.finding import Verdict
from controlplane.domain.plan import Plan, Step
from controlplane.domain.receipt import open_intents
from controlplane.domain.releases.bringing import brings
from controlplane.domain.releases.gate import GateLine
from controlplane.domain.releases.history import Deployment, OnHost
from controlplane.domain.run_key import make_run_key
from controlplane.ports.plays import StepResult
from controlplane.render.project import render_steps
from controlplane.usecases.release_case import Progress, ReleasePorts, ReleaseSite, history
from controlplane.usecases.wave_ports import without_end

# The exit code by which a tool on a host says no.
REFUSED = 4


class Asked(NamedTuple):
    """What one host said: whether its Docker would take the release, and whether there is a way back."""

    docker: GateLine
    way_back: GateLine


def asked_of_hosts(site: ReleaseSite, plan: Plan, ports: ReleasePorts, *, progress: Progress, besides: Sequence[str] = ()) -> tuple[Asked, ...]:
    """Return what each host of a plan says, but for those of `besides`. Raises `InterruptedRunError`."""
    chain = [receipt for _, receipt in ports.apply.receipts.load()]
    # What a run of this plan began is that run's own to go on with, and in nobody's way.
    begun = {one.step: one.key for one in open_intents(chain) if one.plan == plan.plan}
    found = brings(plan)
    hosts = {one.host: one for one in history(site, found.stack, found.environment, chain, ports.apply).hosts} if found is not None else {}
    steps = [step for step in plan.steps if step.host not in besides]
    return tuple(_asked(site, step, begun.get(step.id), _stands(hosts.get(step.host)), ports, progress) for step in steps)


def dry_result(
    site: ReleaseSite, step: Step, key: str, ports: ReleasePorts, progress: Progress, *, undoes: Mapping[str, str] | None = None
) -> StepResult:
    """Return what a host says to a step, or to its way back, in check mode. Raises `InterruptedRunError`."""
    apply = ports.apply
    progress(f"{step.host}: asking its Docker")
    route = [site.view.route(step.target)]
    project = render_steps([step], keys={step.id: key}, holder=site.operator, hosts=route, roles=apply.roles.files(), undoes=undoes)
    result = apply.runner.dry_run(project, key=key, host=step.target, playbook="site.yml", progress=progress)
    if result.status == "interrupted":
        raise InterruptedRunError("Interrupted. Nothing was changed; run the same command again.")
    return result


def verdict_of(result: StepResult) -> tuple[Verdict, str] | None:
    """Return what a host said that speaks against it, None where nothing does. What the tool refused is known; of anything else nobody knows."""
    doubts = result.told.get("doubts") or []
    if result.status == "unreachable":
        return Verdict.UNKNOWN, f"it was not reached: {result.message}"
    if result.status == "failed":
        return Verdict.DRIFTED if result.told.get("rc") == REFUSED else Verdict.UNKNOWN, without_end(result.message)
    return (Verdict.UNKNOWN, "; ".join(str(one) for one in doubts)) if doubts else None


def _stands(host: OnHost | None) -> Deployment | None:
    return host.current if host is not None else None


def _asked(  # noqa: PLR0917 - one question's whole surroundings
    site: ReleaseSite, step: Step, begun: str | None, before: Deployment | None, ports: ReleasePorts, progress: Progress
) -> Asked:
    key = begun or make_run_key(step.capability, ports.apply.clock.now(), ports.apply.entropy.four_hex())
    result = dry_result(site, step, key, ports, progress)
    reason = "Compose reads the files, and the images are there or their registry has them"
    verdict, told = verdict_of(result) or (Verdict.MET, reason)
    docker = GateLine(name=f"Docker of {step.host}", verdict=verdict, reason=told)
    return Asked(docker, _way_back(step.host, result, before))


def _way_back(host: str, result: StepResult, before: Deployment | None) -> GateLine:
    name, said = f"way back of {host}", (result.told.get("told") or {}).get("back")
    if result.status != "done" or said is None:
        # Who refuses the release does not come to that question; where that is its answer, it is a no.
        verdict, why = verdict_of(result) or (Verdict.UNKNOWN, "it did not say")
        return GateLine(name=name, verdict=verdict if result.status == "failed" else Verdict.UNKNOWN, reason=f"it was not told: {why}")
    to = before.manifest_name if before is not None else None
    if said["against"]:
        step = f"bring back what is missing on {host}; or take down what is to be given up: docker compose down (never with --volumes)"
        return GateLine(name=name, verdict=Verdict.DRIFTED, reason=f"what runs could not be brought back: {'; '.join(said['against'])}", next=step)
    if said["doubts"]:
        return GateLine(name=name, verdict=Verdict.UNKNOWN, reason="; ".join(said["doubts"]))
    return GateLine(name=name, verdict=Verdict.MET, reason=_there(to, said))


def _there(to: str | None, said: Mapping[str, Any]) -> str:
    services = said["services"]
    if not services:
        first = "this is the first release there: going back takes it down, its volumes stay"
        return first if to is None else f"nothing of {to} runs there now: going back takes the new one down, its volumes stay"
    pulled = sorted(name for name, where in services.items() if where == "registry")
    images = f"the images are there but for {', '.join(pulled)}, which the registry has by digest" if pulled else "its images are there"
    return f"to {to if to is not None else 'what runs there now, which no release brought'}: {images}, and Compose reads its files"
