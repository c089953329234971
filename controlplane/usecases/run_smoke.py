"""release smoke: prove a running stack by its behaviour, and put on record which manifest it was that proved itself.

Rules:
- What is deployed is what the receipts say. Where a deployment is open, or failed and was not taken back, or hosts were given different manifests,
  there is nothing to prove.
- In production a host to which nothing was brought yet is left out: what runs on the others is there to be proven. In staging all of them count.
- Where everything was taken back and what ran before the first release runs again, which no release brought, that is tested: it is on record for no
  manifest, and put into none. Hosts where nothing of it ran are looked at too, and have to have nothing; where no plan tells what ran, that is doubt.
- Evidence is fresh before the tests and again after them: where a service of any host ran another image than the manifest's at either time, was made
  anew meanwhile, or could not be observed, the run proves nothing, whatever its tests say.
- Which tests were run is on record, file by file with its digest; where one was changed meanwhile, the run proves nothing either.
- Only a run in which every test passed is put into the manifest, and only in staging.
- Nothing on a host is changed but by the tests themselves. No value of an environment file is in what is put on record.
- What can be hidden are the values of the files that lie here. Where what runs was given another one, as after a way back, no message of a test is
  kept: it may hold a value that nobody here knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from controlplane.domain.desired import DesiredHost
from controlplane.domain.digest import digest_of
from controlplane.domain.errors import ControlPlaneError, Fault, InputInvalidError, InterruptedRunError, RefusedError, RunFailedError
from controlplane.domain.evidence import Evidence, Reader, Unobserved, Unreached
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.releases.before import Was, before, faults_of_return, went_back_last
from controlplane.domain.releases.hiding import hide, values_of
from controlplane.domain.releases.history import Deployed, Deployment, deployed
from controlplane.domain.releases.running import running_faults, services_of
from controlplane.domain.releases.smoke import SmokeReport, SmokeTest, changed_files
from controlplane.domain.releases.values import Environment, EnvironmentName, ReleaseSpec
from controlplane.domain.run_key import make_run_key
from controlplane.domain.site_view import SiteView
from controlplane.ports.clocks import Clock, Entropy
from controlplane.ports.hosts import EvidenceSource
from controlplane.ports.plans import PlanArchive
from controlplane.ports.receipts import ReceiptStore
from controlplane.ports.releases import ReleaseFiles, SmokeRunner
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.audit import refuse_one_machine_twice
from controlplane.usecases.record_run import STAMP, Ledger

ID = "release.smoke"
_LOOKED_AT = ("identity", "docker_containers")
_NOT_KNOWN = "what ran there before its first release is not on record, so nobody can tell whether it is back"
Seen = Mapping[str, Evidence | Unreached]
Chosen = Sequence[tuple[DesiredHost, InventoryHost]]


@dataclass(frozen=True)
class SmokePorts:
    """Everything that a smoke run touches."""

    clock: Clock
    entropy: Entropy
    evidence: EvidenceSource
    receipts: ReceiptStore
    plans: PlanArchive
    files: ReleaseFiles
    runner: SmokeRunner


@dataclass(frozen=True)
class _Subject:
    """What is to prove itself: the stack's deployment in an environment, the hosts that run it, and the tests (SHA-256 by path).

    `hidden` are the values that are covered in messages; `known` says whether these are the ones that what runs was given. `was` is what each host
    ran before its first release, where that runs again on one of them: nothing is an empty one, and None is what no plan tells.
    """

    deployment: Deployment
    name: EnvironmentName
    environment: Environment
    chosen: Chosen
    hidden: tuple[str, ...]
    files: Mapping[str, str]
    known: bool
    was: Mapping[str, tuple[Was, ...] | None]

    @property
    def asked(self) -> Chosen:
        """Return the hosts on which the tests run: where nothing of it is, there is nothing to ask."""
        return [one for one in self.chosen if self.was.get(one[0].host)] if self.was else self.chosen


def run_smoke(
    stack: str, environment: EnvironmentName, site: SiteView, *, operator: str, ports: SmokePorts, progress: Callable[[str], None]
) -> SmokeReport:
    """Return how the smoke tests of what is deployed ended; `run` of the report is the key of its receipt.

    Raises `InputInvalidError`, and `RefusedError` where nobody can say what is deployed; then nothing was run. Raises `RunFailedError` where a run
    that passed could not be put into its manifest.
    """
    spec = ports.files.spec(stack)
    wanted = _environment(spec, stack, environment, site)
    chosen = _hosts(wanted, stack, environment, site)
    begun = ports.clock.now()
    chain = [receipt for _, receipt in sound_chain(ports.receipts, now=begun)]
    whole = deployed(chain, ports.plans.get, stack=stack, environment=environment, hosts=wanted.hosts)
    was = _unreleased(whole, ports)
    stands = _as_it_was(whole, was) if was else _standing(whole, environment, wanted, ports)
    chosen = [one for one in chosen if one[0].host in stands]
    hidden, files = hidden_values(spec, stack, ports.files, needed=environment), ports.files.smoke_digests(stack, environment)
    known = {one.env_digest for one in stands.values()} == {ports.files.env_digest(stack, environment)}
    subject = _Subject(next(iter(stands.values())), environment, wanted, chosen, hidden, files, known, was)
    key = make_run_key(ID, begun, ports.entropy.four_hex())
    ledger = Ledger(ports.receipts, ports.clock, run=key, site=site.name, plan="", policy=site.policy_digest, operator=operator)
    ledger.intend(key, host="*", capability=ID, step=f"{stack}/{environment}")
    close = partial(ledger.close, key, host="*", capability=ID, step=f"{stack}/{environment}")
    try:
        report, after = _proven(subject, key, begun.strftime(STAMP), ports, progress)
    except ControlPlaneError as error:
        close(outcome="interrupted" if isinstance(error, InterruptedRunError) else "failed", reason=hide(str(error), subject.hidden))
        raise
    close(
        outcome="done" if report.passed else "failed",
        reason=report.why_not,
        evidence=digest_of({host: one.digest() if isinstance(one, Evidence) else one.reason for host, one in after.items()}),
        told=report.model_dump(mode="json", exclude={"run"}),
    )
    if report.passed and environment == "staging" and not was:
        _mark(report, ports.files)
    return report


def hidden_values(spec: ReleaseSpec, stack: str, files: ReleaseFiles, *, needed: EnvironmentName | None) -> tuple[str, ...]:
    """Return every value of the stack's environment files. One that can't be read hides nothing, but for that of the environment that is needed."""
    found: dict[str, None] = {}
    for name in spec.environments:
        try:
            found |= dict.fromkeys(values_of(files.env_text(stack, name)))
        except InputInvalidError:
            if name == needed:
                raise
    return tuple(found)


def _environment(spec: ReleaseSpec, stack: str, name: EnvironmentName, site: SiteView) -> Environment:
    if name not in spec.environments:
        told = f"names no {name}; there are {', '.join(spec.environments)}"
        raise InputInvalidError([Fault(f"{site.folder}/releases/{stack}.yml", 0, "environments", told)])
    return spec.environments[name]


def _hosts(wanted: Environment, stack: str, name: str, site: SiteView) -> Chosen:
    strange = [host for host in wanted.hosts if host not in site.desired.by_name()]
    if strange:
        place = (f"{site.folder}/releases/{stack}.yml", 0, f"environments.{name}.hosts")
        raise InputInvalidError([Fault(*place, f"{host} is not governed by {site.folder}/policy.yml") for host in strange])
    return site.chosen(wanted.hosts)


def _unreleased(whole: Deployed, ports: SmokePorts) -> dict[str, tuple[Was, ...] | None]:
    """Return what each host ran before its first release, where all that was brought to any of them was taken back and one ran something; else
    nothing."""
    if not all(host.is_bare for host in whole.hosts):
        return {}
    was = {host.host: before(last, ports.plans.get) for host in whole.hosts if (last := went_back_last(host)) is not None}
    return was if any(was.values()) else {}


def _as_it_was(whole: Deployed, was: Mapping[str, Sequence[Was] | None]) -> dict[str, Deployment]:
    images = {one.service: one.image for held in was.values() for one in held or () if one.service}
    nothing = {"manifest": "", "manifest_name": "what no release brought", "images": images, "env_digest": None}
    return {host.host: last.model_copy(update=nothing) for host in whole.hosts if host.host in was and (last := went_back_last(host)) is not None}


def _standing(whole: Deployed, environment: EnvironmentName, wanted: Environment, ports: SmokePorts) -> dict[str, Deployment]:
    """Return what is deployed, by host: one manifest. Raises `RefusedError` where nobody can say, or it is no longer what its manifest says."""
    stack = whole.stack
    found = whole.reached if environment == "production" else whole
    verb = "stage" if environment == "staging" else "promote"
    doubt = found.doubt or found.unfinished
    if found.doubt is None and doubt is not None:
        way = f"Take that back, or bring it once more: controlplane release rollback {stack} --env {environment}"
        raise RefusedError(f"{stack} in {environment}: {doubt}. Nothing was run. {way}; which plan it was: controlplane release status {stack}")
    if doubt is not None:
        raise RefusedError(f"{stack} in {environment}: {doubt}. Nothing was run. See what to do: controlplane release status {stack}")
    current = found.current
    if current is None:
        told = f"nothing is deployed by a release on {', '.join(wanted.hosts)}"
        raise RefusedError(f"{stack} in {environment}: {told}. Nothing was run. First: controlplane release {verb} {stack} --manifest NAME")
    if environment == "staging" and ports.files.manifest(stack, current.manifest_name).manifest.digest != current.manifest:
        raise RefusedError(
            f"{stack} in {environment}: manifest {current.manifest_name} says something else than what {current.run} deployed, so this run could not "
            f"be put into it. Nothing was run. Restore it from version control, or deploy it anew: controlplane release stage {stack} --manifest "
            f"{current.manifest_name}"
        )
    return {one.host: one.current for one in found.hosts if one.current is not None}


def _proven(subject: _Subject, key: str, at: str, ports: SmokePorts, progress: Callable[[str], None]) -> tuple[SmokeReport, Seen]:
    """Look, test, and look again."""
    one = subject.deployment
    progress(f"{one.stack} in {one.environment}: what runs, by evidence")
    first = _look(subject, ports)
    refuse_one_machine_twice(first, tuple(first))
    progress(f"{one.stack} in {one.environment}: the smoke tests of manifest {one.manifest_name}")
    tests = ports.runner.run(
        subject.environment.smoke,
        [route for _, route in subject.asked],
        release={"stack": one.stack, "environment": one.environment, "manifest": one.manifest_name},
        hidden=subject.hidden,
        progress=progress,
    )
    after = _look(subject, ports)
    changed = changed_files(subject.files, ports.files.smoke_digests(one.stack, subject.name))
    meanwhile = [f"its tests were changed while they ran: {', '.join(changed)}"] if changed else []
    report = SmokeReport(
        run=key,
        stack=one.stack,
        environment=one.environment,
        manifest=one.manifest,
        manifest_name=one.manifest_name,
        at=at,
        tests=tests if subject.known else tuple(map(_without_message, tests)),
        files=dict(subject.files),
        urls=dict(subject.environment.smoke.urls),
        doubt="; ".join([*_doubts(subject, first, after), *meanwhile]) or None,
    )
    return report, after


def _without_message(test: SmokeTest) -> SmokeTest:
    """Return a test without what it said, which may hold a value that could not be hidden."""
    told = "its message is not kept: what runs was given another environment file than the one that lies here, so its values are not known"
    return test.model_copy(update={"reason": told}) if test.reason else test


def _look(subject: _Subject, ports: SmokePorts) -> Seen:
    seen = ports.evidence.collect([route for _, route in subject.chosen], {desired.host: desired for desired, _ in subject.chosen}, only=_LOOKED_AT)
    return {desired.host: seen.get(desired.host) or Unreached(host=desired.host, reason="it gave no evidence") for desired, _ in subject.chosen}


def _doubts(subject: _Subject, first_seen: Seen, after: Seen) -> list[str]:
    """Return why it was not the manifest's release that was tested, all the time."""
    told = []
    for host in after:
        first, last = (_faults(subject, host, seen[host]) for seen in (first_seen, after))
        told += [f"{host}: {fault}" for fault in first if fault in last]
        told += [f"{host}: before the tests {fault}" for fault in first if fault not in last]
        told += [f"{host}: after the tests {fault}" for fault in last if fault not in first]
        told += [f"{host}: {service} was made anew while it was tested" for service in _made_anew(subject.deployment, first_seen[host], after[host])]
    return told


def _faults(subject: _Subject, host: str, one: Evidence | Unreached) -> tuple[str, ...]:
    if isinstance(one, Unreached):
        return (f"it was not reached: {one.reason}",)
    try:
        containers, project = Reader(one).containers, subject.deployment.project
        if subject.was:
            was = subject.was[host]
            return (_NOT_KNOWN,) if was is None else faults_of_return(project, was, containers)
        return running_faults(project, subject.deployment.images, containers)
    except Unobserved as doubt:
        return (f"what runs was not observed: {doubt}",)


def _made_anew(deployment: Deployment, first_seen: Evidence | Unreached, after: Evidence | Unreached) -> list[str]:
    """Return the services whose containers are not those that were there before the tests; where they were not seen that is told already."""
    if isinstance(first_seen, Unreached) or isinstance(after, Unreached):
        return []
    try:
        first, last = (services_of(deployment.project, Reader(one).containers) for one in (first_seen, after))
    except Unobserved:
        return []
    both = [service for service in deployment.images if first.get(service) and last.get(service)]
    return [service for service in both if {one["id"] for one in first[service]} != {one["id"] for one in last[service]}]


def _mark(report: SmokeReport, files: ReleaseFiles) -> None:
    try:
        files.mark_tested(report.stack, report.manifest_name, report.run)
    except ControlPlaneError as error:
        raise RunFailedError(
            f"The run passed and is on record as {report.run}, but it could not be put into manifest {report.manifest_name}: {error}\n"
            f"Mend that, then run it again: controlplane release smoke {report.stack} --env {report.environment}"
        ) from error
