"""What a dry run of a release tells: the plan again on fresh evidence, and the gate; what hosts say is ask_release.py's. Nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controlplane.domain.errors import RefusedError
from controlplane.domain.finding import Verdict
from controlplane.domain.plan import Plan
from controlplane.domain.planning import differences
from controlplane.domain.releases.gate import GateLine
from controlplane.domain.releases.values import EnvironmentName
from controlplane.ports.releases import KeptManifest
from controlplane.usecases.hosts_in_wave import hosts_of, wave_line
from controlplane.usecases.judge_promotion import judge_promotion
from controlplane.usecases.release_case import ReleasePorts, ReleaseSite, environment_of, landings, plan_release, planned, stricter


@dataclass(frozen=True)
class Rehearsed:
    """What a release would do: the plan, its gate (of staging: a wave that has its hosts, or nothing), and where each service's data land."""

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
    waves = wave_line(hosts_of(made.steps), ports.waves)
    if name == "production":
        gate = (*judge_promotion(stricter(site, spec), stack, kept, made, ports), waves)
    else:
        gate = () if waves.verdict is Verdict.MET else (waves,)
    return Rehearsed(fresh, gate, landings(site, stack, name, kept))
