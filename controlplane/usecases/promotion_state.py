"""How far the promotion of a plan is, and so what the same command does next. The act and its dry run both ask here, so that they say the same.

Rules:
- What a plan's own run brought is settled by the first smoke run after it that came to a verdict: passed, the plan is finished for good, and only
  a rollback that is asked for takes it back, however a later smoke run ends; else it goes back.
- A host that failed and was then brought by the same run is no host that failed.
- A run that ended as failed goes back, whatever a smoke run found since, which asks one witness alone; but for one that was closed, by both.
- One that was abandoned was judged by no two witnesses: they are asked here, before it is proven, and before it is called finished, until it is
  closed. Contradicted it goes back; where it is proven all the same, that is for a person to say.
- Whatever goes back is what stands: a plan over which another release was brought takes nothing back.
- It is judged by the hosts that production still has: what was taken out of it for good keeps nothing from its end.
- What was brought and is not proven yet goes on with its proof, also where its services do not run well: that is for the proof to say.
- What runs by other digests or files than the plan's was changed by somebody else, and comes through the gate again.
- What can't be observed is neither: nothing is begun on it. That holds for each of two witnesses: only one that says otherwise takes anything back.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from controlplane.domain.errors import RefusedError, UnknownError
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.plan import Plan
from controlplane.domain.receipt import Receipt
from controlplane.domain.releases.bare import Bare, bare
from controlplane.domain.releases.gate import GateLine
from controlplane.domain.releases.history import Deployment, deployments
from controlplane.domain.releases.proof import Proof, first_proof, is_abandoned, is_unconfirmed, proof_since
from controlplane.usecases.hosts_in_wave import hosts_of, in_wave
from controlplane.usecases.interrupted_run import finished_steps, open_run
from controlplane.usecases.judge_hosts import judge_by_two_told, judge_site
from controlplane.usecases.release_case import ReleasePorts, ReleaseSite, environment_of, history
from controlplane.usecases.release_way_back import take_back_command, wanted_by

Next = Literal["deploy", "prove", "back", "nothing"]
_CONTAINERS = "docker_containers"


class Reached(NamedTuple):
    """What the command does next: `deploy` (begin, go on, or bring it anew), `prove`, take it `back`, or `nothing`, as it is finished.

    `why` is why it goes back, or how what is to be proven runs where that is not well; `proof` is the one that settles it, None before there is one.
    `run` is the plan's run that is open, `own` what its last run began. `back` is the command that takes back what stands, where it is finished.
    """

    next: Next
    own: tuple[Deployment, ...] = ()
    run: str | None = None
    why: str = ""
    proof: Proof | None = None
    back: str = ""

    @property
    def begun(self) -> tuple[Deployment, ...]:
        """Return what an earlier attempt of the run that goes on began."""
        return tuple(one for one in self.own if one.run == self.run)


def reached(site: ReleaseSite, stack: str, plan: Plan, ports: ReleasePorts) -> Reached:
    """Return how far a promotion is.

    Raises `RefusedError` where it was taken back, or would go back from under another release; `UnknownError` where what it brought can't be
    observed, or is proven and not confirmed.
    """
    at = _reached(site, stack, plan, ports)
    over = _over(site, stack, at.own, ports) if at.next == "back" else None
    if over is not None:
        raise RefusedError(
            f"plan {plan.plan[:19]} brought {at.own[0].manifest_name}, over which {over.manifest_name} was brought to {over.host} by run {over.run}: "
            f"it takes nothing back any more. Nothing was changed. What stands, and what is next: controlplane release status {shlex.quote(stack)}"
        )
    return at


def _over(site: ReleaseSite, stack: str, own: Sequence[Deployment], ports: ReleasePorts) -> Deployment | None:
    """Return a deployment that another run brought over these, and that was not taken back."""
    begun = {one.host: one.begun_seq for one in own}
    found = history(site, stack, "production", loaded(ports), ports.apply)
    later = (one for host in found.hosts for one in host.deployments if one.host in begun and one.begun_seq > begun[one.host])
    return next((one for one in later if one.run != own[0].run and one.state != "undone"), None)


def _reached(site: ReleaseSite, stack: str, plan: Plan, ports: ReleasePorts) -> Reached:
    chain = loaded(ports)
    own, run = own_of(site, stack, plan, ports), open_run(plan, ports.apply.receipts)
    states = {one.state for one in own if not _is_mended(one, own)}
    if states == {"undone"}:
        raise RefusedError(f"plan {plan.plan[:19]} was carried out and taken back. Nothing was changed. {_after_return(site, stack, chain, ports)}")
    if states & {"returning", "undone"}:
        return Reached("back", own, run, "its way back goes on")
    if "failed" in states:
        if run is None:
            return Reached("back", own, run, "its deployment failed")
        if (kept_off := in_wave(left_of(plan, ports), ports.waves())) is not None:
            # A host that failed would be tried once more: it may not, so what does not work goes back.
            return Reached("back", own, run, f"its deployment failed, and {kept_off.told}")
    if run is not None or not own:
        return Reached("deploy", own, run)
    if is_unconfirmed(own[0].run, chain):
        return Reached("back", own, run, "its deployment failed")
    return _settled(site, stack, own, proof_of(stack, own, chain), ports)


def _is_mended(one: Deployment, own: Sequence[Deployment]) -> bool:
    """Say whether a later attempt of the same run brought what failed on that host. Once that went back, what failed has to go back as well."""
    return one.state == "failed" and any(later.host == one.host and later.begun_seq > one.begun_seq and later.state == "done" for later in own)


def _settled(site: ReleaseSite, stack: str, own: tuple[Deployment, ...], proof: Proof | None, ports: ReleasePorts) -> Reached:
    """Return what is next of a deployment that is done on all of its hosts."""
    stands = _stands(site, stack, own, ports)
    is_proven = proof is not None and proof.passed
    if stands.otherwise:
        return Reached("deploy", own, proof=proof if is_proven else None)
    chain = loaded(ports)
    abandoned = f"its run {own[0].run} was abandoned"
    by = take_back_command(history(site, stack, "production", chain, ports.apply), chain)
    back = f"or take it back: {by}"
    if is_proven and (doubt := "; ".join(filter(None, (stands.doubt, stands.unasked)))):
        # A closing asks the same two witnesses, and refuses as long as they do not agree.
        raise UnknownError(
            f"{own[0].manifest_name} is proven by its smoke tests, and {abandoned}: {doubt}. Nothing was changed. See why the second witness does "
            f"not agree, then run this again; {back}"
        )
    if is_proven:
        return Reached("nothing", own, why=stands.unwell, proof=proof, back=by)
    if stands.unseen:
        told = f"{own[0].manifest_name} was brought by this plan and is not proven: {stands.unseen}"
        raise UnknownError(f"{told}. Nothing was changed. Run this again then.")
    if proof is not None:
        return Reached("back", own, why=not_proven(proof.receipt.key), proof=proof)
    if stands.unasked:
        told = f"{own[0].manifest_name} was brought by this plan and is not proven, and {abandoned}: {stands.unasked}"
        raise UnknownError(f"{told}. Nothing was changed. See why it could not be asked, then run this again; {back}")
    if stands.doubt:
        return Reached("back", own, why=f"its run was abandoned, and {stands.doubt}")
    return Reached("prove", own, why=stands.unwell)


def own_of(site: ReleaseSite, stack: str, plan: Plan, ports: ReleasePorts) -> tuple[Deployment, ...]:
    """Return what the last run of a plan of this stack began on hosts that production still has."""
    hosts = environment_of(site, stack, "production")[1].hosts
    mine = [one for one in deployments(loaded(ports), ports.apply.plans.get, stack=stack, plan=plan.plan) if one.environment == "production"]
    return tuple(one for one in mine if one.run == mine[-1].run and one.host in hosts)


def proof_of(stack: str, own: Sequence[Deployment], chain: Sequence[Receipt]) -> Proof | None:
    """Return the first proof of a deployment since all of it was brought, None where there is none."""
    since = max((one.brought for one in own), default=None)
    return first_proof(chain, stack, "production", since=since.seq, manifest=own[0].manifest) if since is not None else None


def not_proven(run: str) -> str:
    """Return why a release goes back whose smoke run did not pass."""
    return f"its behaviour is not proven, see {run}"


def finished(plan: Plan, stack: str, at: Reached) -> tuple[str, ...]:
    """Return what there is to say of a plan that is finished."""
    name = shlex.quote(stack)
    proof = f", see {at.proof.receipt.key}" if at.proof is not None else ""
    told = f"plan {plan.plan[:19]} was carried out and {at.own[0].manifest_name} proven{proof}. Nothing was changed. "
    way = f"Where a later smoke run fails, the way back is: {at.back} --dry-run"
    return (told + way, *([f"It does not run well now: {at.why}. See: controlplane release status {name}"] if at.why else []))


def foreseen(plan: Plan, stack: str, at: Reached) -> GateLine:
    """Return the line by which a dry run tells what the same command would do where it deploys nothing."""
    name, again = at.own[0].manifest_name, f"controlplane release promote {shlex.quote(stack)} --plan FILE"
    if at.next == "nothing":
        return GateLine(name="plan", verdict=Verdict.MET, reason=" ".join(finished(plan, stack, at)))
    if at.next == "back":
        return GateLine(name="way back", verdict=Verdict.DRIFTED, reason=f"{name} would be taken back by itself: {at.why}", next=again)
    if at.why:
        told = f"{name} is not proven and does not run well, so its smoke tests would not prove it, and it would be taken back by itself: {at.why}"
        return GateLine(name="way back", verdict=Verdict.DRIFTED, reason=told, next=again)
    told = f"{name} was brought and is not proven yet: its smoke tests would run, and where they do not all pass it would be taken back by itself"
    return GateLine(name="proof", verdict=Verdict.UNKNOWN, reason=told, next=again)


def left_of(plan: Plan, ports: ReleasePorts) -> tuple[str, ...]:
    """Return the hosts that are still to be changed."""
    run = open_run(plan, ports.apply.receipts)
    done = finished_steps(run, loaded(ports)) if run is not None else {}
    return hosts_of(step for step in plan.steps if step.id not in done)


def loaded(ports: ReleasePorts) -> tuple[Receipt, ...]:
    """Return the receipts as they are now."""
    return tuple(receipt for _, receipt in ports.apply.receipts.load())


def _after_return(site: ReleaseSite, stack: str, chain: Sequence[Receipt], ports: ReleasePorts) -> str:
    """Return what comes after a plan that was taken back: what runs again has to be proven, which the way back may have been stopped before."""
    name = shlex.quote(stack)
    found = history(site, stack, "production", chain, ports.apply)
    stands = found.reached
    proof = proof_since(chain, stands)
    anew = f"Make a new one: controlplane release promote {name} --out FILE"
    if (again := bare(found, chain, ports.apply.plans.get)) is not None:
        return f"{_after_all(name, again)}{anew}"
    if stands.current is None or stands.unfinished is not None or (proof is not None and proof.passed):
        return anew
    told = "no smoke run met it since" if proof is None else f"its smoke run {proof.receipt.key} did not pass"
    runs = f"{stands.current.manifest_name}, which runs again, is not proven: {told}"
    # No smoke run meets a host on which nothing stands any more.
    by = "smoke" if set(found.went_back) <= {one.host for one in stands.hosts} else "rollback"
    prove = f"controlplane release {by} {name} --env production{f' --to {stands.current.manifest_name}' if by == 'rollback' else ''}"
    return f"{runs}. Prove it: {prove}. {anew}"


def _after_all(name: str, again: Bare) -> str:
    if again.doubt is not None:
        told = f"What no release brought, which runs again, is not proven: {again.doubt}"
        return f"{told}. Prove it: controlplane release smoke {name} --env production. "
    return "" if again.is_proven else f"Whether anything of it is left, where nothing ran before: controlplane release status {name}. "


class _Stands(NamedTuple):
    """What runs by other digests or files than were brought, what by these but not well, and what is not known: each empty for nothing.

    Of a run that was abandoned `doubt` is what the second witness contradicts, and `unasked` what else the two do not confirm.
    """

    otherwise: str = ""
    unwell: str = ""
    unseen: str = ""
    doubt: str = ""
    unasked: str = ""


def _stands(site: ReleaseSite, stack: str, own: Sequence[Deployment], ports: ReleasePorts) -> _Stands:
    """Return how what was brought runs.

    It is judged by what was brought, not by the site's files, which may say something else by now.
    """
    strange = sorted({one.host for one in own} - set(site.view.desired.by_name()))
    if strange:
        return _Stands(unseen=f"{', '.join(strange)} is not governed by {site.view.folder}/policy.yml any more")
    hosts = tuple(dict.fromkeys(one.host for one in own))
    view = site.view.releasing({one.host: wanted_by(one, ports) for one in own})
    chosen = view.chosen(hosts)
    seen = ports.apply.evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})

    def of_it(findings: Sequence[Finding]) -> list[Finding]:
        return [one for one in findings if (one.check, one.surface) == ("D249", f"release:{stack}")]

    def judged(by: Mapping[str, Evidence | Unreached]) -> list[Finding]:
        return of_it(judge_site(view, hosts=hosts, seen=by, now=ports.apply.clock.now()).findings)

    were_well = judged({host: _as_if_well(one) for host, one in seen.items()})
    silent = [f"{host} was not judged" for host in hosts if host not in {one.host for one in were_well}]
    unseen = [f"{one.host}: {one.reason}" for one in were_well if one.verdict is Verdict.UNKNOWN]
    doubts: list[str] = []
    unasked: list[str] = []
    if is_abandoned(own[0].run, loaded(ports)):
        report, otherwise = judge_by_two_told(view, hosts=hosts, seen=seen, now=ports.apply.clock.now(), witness=ports.apply.witness)
        for one in of_it(report.findings):
            if one.verdict is Verdict.UNKNOWN:
                (doubts if one in otherwise else unasked).append(f"{one.host}: {one.reason}")
    return _Stands(_told(were_well), _told(judged(seen)), "; ".join([*unseen, *silent]), "; ".join(doubts), "; ".join(unasked))


def _told(findings: Sequence[Finding]) -> str:
    return "; ".join(f"{one.host}: {one.reason}" for one in findings if one.verdict is Verdict.DRIFTED)


def _as_if_well(one: Evidence | Unreached) -> Evidence | Unreached:
    """Return evidence in which every container that is there runs, healthy: what is judged by it are digests and files alone."""
    record = None if isinstance(one, Unreached) else one.probes.get(_CONTAINERS)
    if isinstance(one, Unreached) or record is None or not isinstance(record.data, list):
        return one
    rows = [{**row, "running": True, "state": "running", "health": "healthy"} for row in record.data]
    return one.model_copy(update={"probes": {**one.probes, _CONTAINERS: record.model_copy(update={"data": rows})}})
