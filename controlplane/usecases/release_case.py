"""What every verb of releases begins with: the stack, its manifest, and the site as it would be with that release."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from controlplane.domain.capabilities import CAPABILITIES, release_deploy
from controlplane.domain.capabilities.release_data import landing
from controlplane.domain.errors import Fault, InputInvalidError, RefusedError, UnknownError
from controlplane.domain.examination import Examination
from controlplane.domain.governance import Governance
from controlplane.domain.plan import Plan, Step
from controlplane.domain.receipt import Receipt
from controlplane.domain.releases.bringing import brings
from controlplane.domain.releases.compose_view import ComposeView, ServiceView
from controlplane.domain.releases.history import Deployed, deployed
from controlplane.domain.releases.places import Kept, names_of, unnamed_on_boot
from controlplane.domain.releases.smoke import SmokeReport
from controlplane.domain.releases.values import Environment, EnvironmentName, ReleaseSpec
from controlplane.domain.releases.wanted import ComposeText, ReleaseWanted, ServiceWanted
from controlplane.domain.site_view import SiteView
from controlplane.domain.windows import Window, why_shut
from controlplane.ports.gates import GateRunStore
from controlplane.ports.releases import KeptManifest, ReleaseFiles, ReleaseLeases
from controlplane.ports.waves import WaveFolder
from controlplane.usecases.apply_plan import ApplyPorts
from controlplane.usecases.govern_course import Ungoverned
from controlplane.usecases.hosts_in_wave import Attempts, hosts_of, why_in_wave
from controlplane.usecases.interrupted_run import how_to_go_on
from controlplane.usecases.make_plan import plan_site

DEPLOY = CAPABILITIES[release_deploy.ID]
_UNNAMED = ", on the boot disk, and named nowhere in the policy: D236 will call it drift"
Progress = Callable[[str], None]


class Prover(Protocol):
    """Runs the smoke tests of what is deployed, on record."""

    def __call__(self, stack: str, environment: EnvironmentName, *, progress: Progress) -> SmokeReport:
        """Return how they ended. Raises `RefusedError`, `RunFailedError`."""
        ...


class Checked(NamedTuple):
    """What the check of a stack found, and what of it could not be checked (None: nothing)."""

    faults: tuple[str, ...]
    unchecked: str | None


@dataclass(frozen=True)
class ReleasePorts:
    """Everything that a deployment touches: the ports of applying, gate runs, leases of stacks, the proof by behaviour, and the check of files.

    `waves` asks the store for every attempt at a wave, `authority` examines whether the site is governed, `folder` keeps what a release leaves.
    """

    apply: ApplyPorts
    runs: GateRunStore
    leases: ReleaseLeases
    waves: Attempts
    prove: Prover
    check: Callable[[str, EnvironmentName], Checked]
    authority: Callable[[], Examination]
    folder: WaveFolder


@dataclass(frozen=True)
class ReleaseSite:
    """One site with what it says of gates and registers, its releases' files, and who works on it.

    `views` gives by host what an environment's compose files would do there; it raises `InputInvalidError`, `UnknownError`.
    """

    view: SiteView
    governance: Governance
    files: ReleaseFiles
    views: Callable[[str, EnvironmentName], Mapping[str, ComposeView]]
    operator: str


def environment_of(site: ReleaseSite, stack: str, name: EnvironmentName) -> tuple[ReleaseSpec, Environment]:
    """Return a stack and one of its environments. Raises `InputInvalidError` where there is none."""
    spec = site.files.spec(stack)
    found = spec.environments.get(name)
    if found is None:
        known = ", ".join(spec.environments)
        raise InputInvalidError([Fault(f"{site.view.folder}/releases/{stack}.yml", 0, "environments", f"there is no {name}; there is {known}")])
    return spec, found


def brought(site: ReleaseSite, stack: str, name: EnvironmentName, kept: KeptManifest) -> dict[str, ReleaseWanted]:
    """Return what each host of an environment is to run by a manifest. Raises `InputInvalidError` with every fault of the files."""
    _, environment = environment_of(site, stack, name)
    views, texts, digest = site.views(stack, name), site.files.compose(stack, name), site.files.env_digest(stack, name)
    return {
        host: ReleaseWanted(
            stack=stack,
            environment=name,
            project=environment.project,
            dir=view.dir,
            manifest=kept.manifest.digest,
            manifest_name=kept.name,
            images={one.name: one.image or kept.manifest.images[one.name] for one in view.services},
            services={one.name: _service(one) for one in view.services},
            compose=texts,
            env_digest=digest,
            wait_s=environment.wait,
            irreversible=kept.manifest.irreversible,
        )
        for host, view in views.items()
    }


def _service(view: ServiceView) -> ServiceWanted:
    binds, volumes = {bind.source: bind.target for bind in view.binds}, {volume.name: volume.target for volume in view.volumes}
    return ServiceWanted(
        stop_s=view.stop_s,
        binds=binds,
        volumes=volumes,
        reads=view.reads,
        named={bind.named: bind.source for bind in view.binds if bind.named is not None},
        container=view.container,
        stops_with=view.stops_with,
    )


def plan_release(site: ReleaseSite, stack: str, name: EnvironmentName, kept: KeptManifest, *, ports: ApplyPorts) -> Plan:
    """Return the preview of a deployment; nothing is changed."""
    view = site.view.releasing(brought(site, stack, name, kept))
    hosts = environment_of(site, stack, name)[1].hosts
    return plan_site(view, hosts=hosts, capabilities=(DEPLOY,), clock=ports.clock, evidence=ports.evidence, roles=ports.roles)


def landings(site: ReleaseSite, stack: str, name: EnvironmentName, kept: KeptManifest, plan: Plan) -> list[dict[str, str]]:
    """Return where each service's data land: host, service, the path inside, and the folder of the host or the volume with what holds it.

    `plan` is the preview, by which volumes that are on the host already are known; what the policy names nowhere is told as that.
    """
    found: list[dict[str, str]] = []
    hosts = site.view.desired.by_name()
    seen = {step.host: dict(step.variables.get("compose_stack_volumes", {})) for step in plan.steps}
    for host, wanted in brought(site, stack, name, kept).items():
        desired = hosts[host]
        root = desired.docker.data_root or "Docker's root"
        places = seen.get(host, {})
        for service, one in sorted(wanted.services.items()):
            names = names_of(wanted.project, service, one.container)
            rows = [(inside, source, Kept(names, inside, source, None, source in one.reads)) for source, inside in sorted(one.binds.items())]
            rows += [
                (
                    inside,
                    landing(volume, places) if volume in places else f"volume {volume} in {root}",
                    Kept(names, inside, places.get(volume), volume, volume in one.reads),
                )
                for volume, inside in sorted(one.volumes.items())
            ]
            for inside, lands, mount in rows:
                told = f"{lands}{_UNNAMED}" if unnamed_on_boot(mount, desired) else lands
                found.append({"host": host, "service": service, "path": inside, "lands": told})
    return found


def planned(site: ReleaseSite, stack: str, name: EnvironmentName, plan: Plan) -> tuple[KeptManifest, SiteView]:
    """Return the manifest that a plan brings and the site with that release, as the files say it now. Raises `InputInvalidError`, `RefusedError`."""
    kept = manifest_of(site, stack, name, plan)
    return kept, site.view.releasing(brought(site, stack, name, kept))


def why_unplanned(site: ReleaseSite, stack: str, name: EnvironmentName, kept: KeptManifest) -> InputInvalidError | UnknownError | None:
    """Return why nothing can be planned of a manifest: every fault of an environment's files, or what of them can't be told; None where it can be."""
    try:
        brought(site, stack, name, kept)
    except (InputInvalidError, UnknownError) as error:
        return error
    return None


def manifest_of(site: ReleaseSite, stack: str, name: EnvironmentName, plan: Plan) -> KeptManifest:
    """Return the manifest that a plan brings; the files of the environment may have faults. Raises `InputInvalidError`, `RefusedError`."""
    if plan.refusals:
        told = "; ".join(f"{one.host}: {one.reason}" for one in plan.refusals)
        raise RefusedError(f"plan {plan.plan[:19]} leaves a part of the release out: {told}. Nothing was changed. Mend that, then plan again.")
    if not plan.steps:
        told = f"{stack} runs that already in {name}, or is to be finished: controlplane release status {stack}"
        raise RefusedError(f"plan {plan.plan[:19]} has no steps: {told}. Nothing was changed.")
    found = brings(plan)
    if found is None or (found.stack, found.environment) != (stack, name):
        told = f"brings {found.stack} to {found.environment}" if found is not None else "is of no release"
        raise InputInvalidError([Fault("--plan", 0, "", f"plan {plan.plan[:19]} {told}, not {stack} to {name}")])
    strange = sorted({step.host for step in plan.steps} - set(environment_of(site, stack, name)[1].hosts))
    if strange:
        raise RefusedError(
            f"plan {plan.plan[:19]} brings {stack} to {', '.join(strange)}, no host of {name} any more. Nothing was changed. To go on with it, name "
            f"{', '.join(strange)} in releases/{stack}.yml again; without that, see what there is to take back: controlplane release status {stack}"
        )
    kept = site.files.manifest(stack, found.manifest_name)
    if kept.manifest.digest != found.manifest:
        raise RefusedError(f"manifest {kept.name} changed since plan {plan.plan[:19]} was made. Nothing was changed. Make a new one.")
    return kept


def history(site: ReleaseSite, stack: str, name: EnvironmentName, chain: Sequence[Receipt], ports: ApplyPorts) -> Deployed:
    """Return what was deployed in an environment. Raises `RunFailedError` where a plan is gone."""
    hosts = environment_of(site, stack, name)[1].hosts
    return deployed(chain, ports.plans.get, stack=stack, environment=name, hosts=hosts)


def ran(step: Step) -> ReleaseWanted:
    """Return what a step of an earlier plan brought, as far as what runs is judged by it."""
    said = step.variables
    return ReleaseWanted(
        stack=said["compose_stack_stack"],
        environment=said["compose_stack_environment"],
        project=said["compose_stack_project"],
        dir=said["compose_stack_dir"],
        manifest=said["compose_stack_manifest"],
        manifest_name=said["compose_stack_manifest_name"],
        images=said["compose_stack_images"],
        services={},
        compose=tuple(ComposeText.model_validate(one) for one in said["compose_stack_files"]),
        env_digest=said["compose_stack_env_digest"],
        wait_s=said["compose_stack_wait_s"],
    )


def demanded_of(site: ReleaseSite, spec: ReleaseSpec) -> Literal["none", "self", "other"]:
    """Return whose approval a promotion takes: what the release asks, or the site where that asks more."""
    return max(spec.promotion.approval or "none", site.view.approval, key=("none", "self", "other").index)


def stricter(site: ReleaseSite, spec: ReleaseSpec) -> ReleaseSite:
    """Return the site with the approval that the release demands, where it demands more."""
    return replace(site, view=site.view.model_copy(update={"approval": demanded_of(site, spec)}))


def shut(windows: Sequence[Window], site: ReleaseSite, now: datetime) -> str | None:
    """Return why none of a release's windows is open, or of the site's where it names none; None where one is or there are none."""
    return why_shut(windows or site.view.windows, timezone=site.view.timezone, now=now)


class Led(Protocol):
    """What a verb holds of its stack as long as it works."""

    def lost(self) -> str | None:
        """Return why nothing more may be begun, None where it may."""
        ...

    def taken_over(self) -> str | None:
        """Return who has it now, where that is somebody else."""
        ...


class ReleaseCourse(Ungoverned):
    """The course of a deployment: host after host in the environment's order, each only while `held` is ours, none of `waves` has the host, and
    `waits` gives no reason against it.

    `command` goes on with it, `back` gives the command that takes a run of it back, `begins` is told the run before each host is, `shuts` says why
    nothing may begin at a time.
    """

    def __init__(  # noqa: PLR0917 - one run's whole surroundings
        self, command: str, hosts: Sequence[str], held: Led, waves: Attempts, waits: Callable[[Step], str | None], back: Callable[[str], str]
    ) -> None:
        self._command, self._hosts, self._held, self._waves, self._waits, self._back = command, tuple(hosts), held, waves, waits, back
        self.begins: Callable[[str], None] = lambda _run: None
        self.shuts: Callable[[datetime], str | None] = lambda _at: None

    def ordered(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """Return the steps in the order of the environment's hosts."""
        return tuple(sorted(steps, key=lambda step: self._hosts.index(step.host)))

    def go_on(self, run: str) -> str:
        """Name the verb that ran it."""
        return how_to_go_on(run, f"'{self._command}'", self._back(run))

    def shut(self, at: datetime) -> str | None:
        """Ask the windows of the verb, where it has any."""
        return self.shuts(at)

    def pause(self, step: Step, run: str) -> str | None:
        """Say whether it has to wait; where it need not, it begins now."""
        told = self._held.lost() or why_in_wave(hosts_of((step,)), self._waves) or self._waits(step)
        if told is None:
            self.begins(run)
        return told

    def taken_over(self) -> str | None:
        """Ask who leads it: what failed because another went on with it is theirs to record."""
        return self._held.taken_over()

    def give_up(self, step: Step, failed: object) -> str | None:  # noqa: ARG002 - the protocol's signature
        """Bring nothing to a further host once one failed."""
        return "another host failed" if failed else None
