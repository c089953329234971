"""The gate of a promotion, from receipts, files and fresh evidence of staging. Nothing is changed and nothing put on record.

Rule:
- Files with faults shut the gate, and hide no other line of it: what can't be told without them is said to be that.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from controlplane.domain.digest import digest_of
from controlplane.domain.errors import InputInvalidError, RefusedError, UnknownError
from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.gates.run_order import beginnings, newest_run
from controlplane.domain.plan import Plan
from controlplane.domain.readiness import last_ready, void_because
from controlplane.domain.receipt import Receipt, open_intents
from controlplane.domain.releases.gate import GateLine, PromotionCase, promotion_gate
from controlplane.domain.releases.history import Deployed, Deployment
from controlplane.domain.releases.own_gaps import own_gaps
from controlplane.domain.releases.proof import newest_proof, proof_since, unconfirmed
from controlplane.domain.releases.values import EnvironmentName, ReleaseSpec
from controlplane.ports.releases import KeptManifest
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.approval_guard import judge_approval
from controlplane.usecases.judge_hosts import judge_site
from controlplane.usecases.release_case import ReleasePorts, ReleaseSite, brought, demanded_of, environment_of, history, shut, why_unplanned
from controlplane.usecases.release_way_back import take_back_command
from controlplane.usecases.wave_ports import without_end

RECERT = "release.recert"
STAGING: EnvironmentName = "staging"
PRODUCTION: EnvironmentName = "production"


def judge_promotion(
    site: ReleaseSite, stack: str, kept: KeptManifest, plan: Plan | None, ports: ReleasePorts, *, begun: Sequence[Deployment] = ()
) -> tuple[GateLine, ...]:
    """Return every line of the gate for a manifest; `plan` is the one that is to run, None before there is one.

    `begun` is what the run that goes on began already: it is not in its own way, and its hosts are no longer asked whether they are ready for it.

    Raises `InputInvalidError` where the release itself can't be read, `RunFailedError` where the receipts do not hold.
    """
    spec, production = environment_of(site, stack, "production")
    now = ports.apply.clock.now()
    chain = tuple(receipt for _, receipt in sound_chain(ports.apply.receipts, now=now))
    checked = ports.check(stack, "production")
    staged = history(site, stack, "staging", chain, ports.apply)
    mine = {
        one.host: one.since
        if one.current is not None and one.current.manifest == kept.manifest.digest and not one.unsettled and not one.failed
        else None
        for one in staged.hosts
    }
    is_staged = all(mine.values())
    unplanned, unread = (why_unplanned(site, stack, name, kept) for name in (PRODUCTION, STAGING))
    pack = spec.promotion.pack
    runs = ports.runs.latest_runs(pack) if pack is not None else ()
    return promotion_gate(
        PromotionCase(
            stack=stack,
            spec=spec,
            name=kept.name,
            manifest=kept.manifest,
            now=now,
            staged=mine,
            running=_running(site, stack, kept, ports) if is_staged and unread is None else (),
            unlike=_unlike(site, stack, kept) if is_staged and unread is None and unplanned is None else None,
            smoked=newest_proof(chain, stack, "staging"),
            production=_production(_before(history(site, stack, "production", chain, ports.apply), begun), chain),
            refusals=tuple(f"{one.host}: {one.reason}" for one in plan.refusals) if plan is not None else (),
            asked=site.files.smoke_digests(stack, "staging"),
            certified=next((r for r in reversed(chain) if r.capability == RECERT and r.step == stack and r.phase == "result"), None),
            faults=tuple(dict.fromkeys((*checked.faults, *_faults(unplanned)))),
            unchecked=checked.unchecked,
            ready={host: _not_ready(site, host, chain, ports) for host in production.hosts if host not in {one.host for one in begun}},
            gaps=own_gaps(stack, spec.loop, None if site.governance.register_faults else site.governance.registers),
            pack=newest_run(runs, beginnings(chain)),
            policy=site.view.policy_digest,
            shut=shut(spec.promotion.windows, site, now),
            unapproved=_unapproved(site, spec, plan, chain, ports),
            over=staged.unfinished if not any(one.unsettled for one in staged.hosts) else None,
            # Its faults stand in the line 'contract'.
            unplanned=_verdict(unplanned, "") if unplanned is not None else None,
            unread=_verdict(unread, "; ".join(_faults(unread))) if unread is not None else None,
        )
    )


def _faults(error: InputInvalidError | UnknownError | None) -> tuple[str, ...]:
    return tuple(str(fault) for fault in error.faults) if isinstance(error, InputInvalidError) else ()


def _verdict(error: InputInvalidError | UnknownError, told: str) -> tuple[Verdict, str]:
    """Return how a line stands for files with faults, or for what of them can't be told."""
    return (Verdict.DRIFTED, told) if isinstance(error, InputInvalidError) else (Verdict.UNKNOWN, without_end(str(error)).rstrip("."))


def staged_manifest(site: ReleaseSite, stack: str, ports: ReleasePorts) -> KeptManifest:
    """Return the manifest that staging was given last. Raises `RefusedError` where nothing was staged, or its hosts disagree."""
    chain = tuple(receipt for _, receipt in sound_chain(ports.apply.receipts))
    staged = history(site, stack, "staging", chain, ports.apply)
    if staged.current is None:
        told = staged.doubt or "nothing was staged yet"
        raise RefusedError(
            f"{stack} has nothing to promote: {told}. Nothing was changed. Stage one: controlplane release stage {stack} --manifest NAME"
        )
    return site.files.manifest(stack, staged.current.manifest_name)


def _running(site: ReleaseSite, stack: str, kept: KeptManifest, ports: ReleasePorts) -> Sequence[Finding]:
    """Return what D249 says of staging on fresh evidence."""
    view = site.view.releasing(brought(site, stack, "staging", kept))
    hosts = environment_of(site, stack, "staging")[1].hosts
    chosen = view.chosen(hosts)
    seen = ports.apply.evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})
    report = judge_site(view, hosts=hosts, seen=seen, now=ports.apply.clock.now())
    return [finding for finding in report.findings if (finding.check, finding.surface) == ("D249", f"release:{stack}")]


def _unlike(site: ReleaseSite, stack: str, kept: KeptManifest) -> dict[str, tuple[str, str | None]]:
    """Return the services that production would run by another digest than staging, by the files of both: with production's and staging's."""
    there, here = _digests(site, stack, "staging", kept), _digests(site, stack, "production", kept)
    return {service: (digest, there.get(service)) for service, digest in here.items() if there.get(service) != digest}


def _digests(site: ReleaseSite, stack: str, name: EnvironmentName, kept: KeptManifest) -> dict[str, str]:
    every = brought(site, stack, name, kept).values()
    return {service: image.rpartition("@")[2] for wanted in every for service, image in wanted.images.items()}


def _not_ready(site: ReleaseSite, host: str, chain: Sequence[Receipt], ports: ReleasePorts) -> str | None:
    receipt = last_ready(chain, host)
    if receipt is None:
        return "it was never judged"
    ((_, route),) = site.view.chosen((host,))
    way = digest_of(route.model_dump(mode="json"))
    return void_because(receipt, chain, policy=site.view.policy_digest, route=way, now=ports.apply.clock.now())


def _production(whole: Deployed, chain: Sequence[Receipt]) -> str | None:
    """Return why production is not settled: what was brought there has to be proven, or found wanting, before something else follows.

    A host that the environment got since has nothing to be proven. What is on record as failed is settled by no smoke run, which asks one witness.
    """
    found = whole.reached
    if found.doubt is not None:
        return found.doubt
    failed = next((one.failed for one in found.hosts if one.failed is not None), None)
    if failed is not None:
        return f"the deployment of {failed.manifest_name} failed there and was not taken back"
    if (stands := unconfirmed(found, chain)) is not None:
        stack = shlex.quote(found.stack)
        told = f"{stands.manifest_name} stands there by run {stands.run}, which is on record as failed, and was not closed since"
        back = f"take it back: {take_back_command(whole, chain)}"
        return f'{told}: {back}; or, where it is as it has to be, close it: controlplane release close {stack} --env production --attest "..."'
    if found.current is not None and proof_since(chain, found) is None:
        told = f"{found.current.manifest_name} was brought there and no smoke run met it since"
        return f"{told}: controlplane release smoke {found.stack} --env production"
    return None


def _before(found: Deployed, begun: Sequence[Deployment]) -> Deployed:
    """Return what was deployed but for what was begun."""
    keys = {one.key for one in begun}
    hosts = (host.model_copy(update={"deployments": tuple(one for one in host.deployments if one.key not in keys)}) for host in found.hosts)
    return found.model_copy(update={"hosts": tuple(hosts)})


def _unapproved(site: ReleaseSite, spec: ReleaseSpec, plan: Plan | None, chain: Sequence[Receipt], ports: ReleasePorts) -> str | None:
    demanded = demanded_of(site, spec)
    if demanded == "none":
        return None
    if plan is None or not plan.steps:
        return "there is no plan yet that could be approved"
    # One that ended used its approval up, and so does the act judge it: brought anew the plan is approved anew.
    run = next((r.run for r in open_intents(chain) if r.plan == plan.plan), None)
    _, told = judge_approval(
        plan.plan, demanded=demanded, operator=site.operator, approvals=ports.apply.approvals, chain=chain, run=run, now=ports.apply.clock.now()
    )
    return told
