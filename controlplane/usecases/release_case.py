"""What every verb of releases begins with: the stack, its manifest, and the site as it would be with that release."""

from __future__ import annotations

from dataclasses import dataclass

from controlplane.domain.capabilities import CAPABILITIES, release_deploy
from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.governance import Governance
from controlplane.domain.plan import Plan
from controlplane.domain.releases.bringing import folders
from controlplane.domain.releases.values import Environment, EnvironmentName, ReleaseSpec
from controlplane.domain.releases.wanted import ReleaseWanted
from controlplane.domain.site_view import SiteView
from controlplane.ports.releases import KeptManifest, ReleaseFiles
from controlplane.usecases.apply_plan import ApplyPorts
from controlplane.usecases.make_plan import plan_site

DEPLOY = CAPABILITIES[release_deploy.ID]


@dataclass(frozen=True)
class ReleaseSite:
    """One site with what it says of gates and registers, its releases' files, and who works on it."""

    view: SiteView
    governance: Governance
    files: ReleaseFiles
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
    where = folders(environment, site.view.desired.by_name(), stack=stack, site=site.view.folder)
    texts, digest = site.files.compose(stack, name), site.files.env_digest(stack, name)
    images = dict(site.files.images(stack, name, kept.manifest))
    return {
        host: ReleaseWanted(
            stack=stack,
            environment=name,
            project=environment.project,
            dir=folder,
            manifest=kept.manifest.digest,
            manifest_name=kept.name,
            images=images,
            services=dict(site.files.services(stack, name, folder=folder)),
            compose=texts,
            env_digest=digest,
            wait_s=environment.wait,
            irreversible=kept.manifest.irreversible,
        )
        for host, folder in where.items()
    }


def plan_release(site: ReleaseSite, stack: str, name: EnvironmentName, kept: KeptManifest, *, ports: ApplyPorts) -> tuple[Plan, SiteView]:
    """Return the preview of a deployment, and the site with that release; nothing is changed."""
    view = site.view.releasing(brought(site, stack, name, kept))
    hosts = environment_of(site, stack, name)[1].hosts
    made = plan_site(view, hosts=hosts, capabilities=(DEPLOY,), clock=ports.clock, evidence=ports.evidence, roles=ports.roles)
    return made, view


@dataclass(frozen=True)
class Deployment:
    """What a plan of a release would bring: read from the plan itself."""

    stack: str
    environment: EnvironmentName
    manifest: str
    manifest_name: str


def deployment_of(plan: Plan) -> Deployment | None:
    """Return what a plan brings, None for one that is no release's."""
    found = [step.variables for step in plan.steps if step.capability == release_deploy.ID]
    if not found or len(found) != len(plan.steps):
        return None
    told = {key: str(found[0][f"compose_stack_{key}"]) for key in ("stack", "manifest", "manifest_name")}
    environment: EnvironmentName = "production" if found[0]["compose_stack_environment"] == "production" else "staging"
    return Deployment(environment=environment, **told)
