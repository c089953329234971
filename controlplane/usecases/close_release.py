"""release close: look once more, and leave the closeout receipt of what runs in an environment.

Rules:
- Only what is proven is closed: on fresh evidence by digest, and by a smoke run after the deployment. UNKNOWN never closes.
- The commit is that of the manifest that was deployed: where its file is gone, or says something else now, nothing is closed.
- Where the release names a pack, its newest run since the release stands has to have passed: in production, as before it was promoted.
- No gap of the release's own loop may be open, and it has to name one; the site's other open gaps and loops are named.
- How the site stood before is what was put on record as the release was begun; without that it is UNKNOWN.
- The files are on disk, with their digest in the signed chain, before it counts as closed. Closed twice it is one receipt more, and no harm; after
  one that was killed the next writes over its files, which no receipt names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controlplane.domain.digest import digest_of
from controlplane.domain.errors import Fault, InputInvalidError, RefusedError, UnknownError
from controlplane.domain.finding import AuditReport, Verdict
from controlplane.domain.receipt import Receipt
from controlplane.domain.releases.around import Stood, attempt_of, open_gaps, open_loops, state_of, stood_before
from controlplane.domain.releases.closeout import PackAround, ReleaseCloseout, actions, packs_around, proofs
from controlplane.domain.releases.gate import pack_fault
from controlplane.domain.releases.history import Deployed, Deployment, Since, deployments
from controlplane.domain.releases.manifest import Manifest
from controlplane.domain.releases.own_gaps import own_gaps
from controlplane.domain.releases.proof import proof_since
from controlplane.domain.releases.values import EnvironmentName, ReleaseSpec
from controlplane.domain.run_key import make_run_key
from controlplane.domain.waves.closeout import Attestation, FileChange
from controlplane.ports.waves import SiteHistory
from controlplane.render.release_page import release_page
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.begin_release import look_around
from controlplane.usecases.judge_hosts import judge_by_two
from controlplane.usecases.record_run import STAMP, Ledger
from controlplane.usecases.release_case import ReleasePorts, ReleaseSite, environment_of, history, ran
from controlplane.usecases.release_way_back import not_undone

ID = "release.close"
# Each is read with its report; a pack that is run each hour makes as many in a week.
_MOST_RUNS = 200


@dataclass(frozen=True)
class ClosePorts:
    """The ports of releases, and the history of the site's files."""

    release: ReleasePorts
    history: SiteHistory


def close_release(
    site: ReleaseSite, stack: str, name: EnvironmentName, ports: ClosePorts, *, attest: str, deferred: tuple[str, ...]
) -> tuple[ReleaseCloseout, str, str]:
    """Return the closeout, its page below the site's folder, and the key of its receipt. Raises `RefusedError`, `UnknownError`: it stays open."""
    if not attest.strip():
        raise InputInvalidError([Fault("--attest", 0, "", "is empty: say what you attest; it stands in the closeout receipt under your name")])
    apply, (spec, _) = ports.release.apply, environment_of(site, stack, name)
    chain = tuple(receipt for _, receipt in sound_chain(apply.receipts, now=apply.clock.now()))
    found = history(site, stack, name, chain, apply)
    current = _settled(found, stack, name)
    manifest = _deployed_manifest(site, current)
    proof = proof_since(chain, found)
    if proof is None or not proof.passed:
        told = "was not proven since it stands there" if proof is None else f"is not proven: see {proof.receipt.key}"
        raise RefusedError(f"{stack} in {name} does not close: {current.manifest_name} {told}. Next: controlplane release smoke {stack} --env {name}")
    packs = _packs(site, spec, found, chain, ports)
    _refuse_open_gaps(site, spec, stack, name)
    report = _look(site, found, ports)
    _refuse_unproven(stack, name, report)
    chain = tuple(receipt for _, receipt in apply.receipts.load())
    now = apply.clock.now()
    attestation = Attestation(by=site.operator, at=now.strftime(STAMP), text=attest)
    attempt = _attempt(current, chain)
    around = _around(found, chain, report, site, ports)
    made = _closeout(site, spec, current, manifest, chain, report, packs, around, ports, attempt=attempt, attestation=attestation, deferred=deferred)
    key = make_run_key(ID, apply.clock.now(), apply.entropy.four_hex())
    ledger = Ledger(apply.receipts, apply.clock, run=key, site=site.view.name, plan="", policy=site.view.policy_digest, operator=site.operator)
    # Before the files: whose key may not sign leaves none that no receipt names.
    ledger.intend(key, host="*", capability=ID, step=f"{stack}/{name}")
    file = ports.release.folder.keep(stack, attempt, "closeout.json", (made.model_dump_json(indent=2) + "\n").encode())
    page = ports.release.folder.keep(stack, attempt, "closeout.md", release_page(made))
    # Each host may have it by another run, of which this settles every one.
    runs = list(dict.fromkeys(one.current.run for one in found.hosts if one.current is not None))
    told_of = {"attempt": attempt, "file": file, "page": page, "manifest": current.manifest, "run": current.run, "runs": runs}
    more = {"head": ports.history.head(), "chain_length": made.chain_length, "chain_head": made.chain_head}
    evidence = digest_of(made.model_dump(mode="json"))
    ledger.close(key, host="*", capability=ID, step=f"{stack}/{name}", outcome="done", evidence=evidence, told=told_of | more)
    return made, page, key


def _attempt(current: Deployment, chain: Sequence[Receipt]) -> str:
    """Return the name of this closing: of what is closed and how often it was, so that one that was killed is followed by itself."""
    closed = [one for one in chain if one.capability == ID and one.phase == "result" and (one.told or {}).get("run") == current.run]
    return f"{current.environment}-{attempt_of(current.run)}-{len(closed) + 1}"


def _settled(found: Deployed, stack: str, name: str) -> Deployment:
    if found.current is None or found.unfinished is not None:
        told = found.doubt or found.unfinished or "nothing is deployed by a release"
        raise RefusedError(f"{stack} in {name} does not close: {told}. See: controlplane release status {stack}")
    return found.current


def _deployed_manifest(site: ReleaseSite, current: Deployment) -> Manifest:
    """Return the manifest that was deployed. Raises `RefusedError` where its file is no longer that."""
    try:
        manifest = site.files.manifest(current.stack, current.manifest_name).manifest
        why = (
            None if manifest.digest == current.manifest else f"manifest {current.manifest_name} says something else than what {current.run} deployed"
        )
    except InputInvalidError as error:
        why = f"manifest {current.manifest_name} can't be read: {error}"
    if why is not None:
        raise RefusedError(f"{current.stack} in {current.environment} does not close: {why}. Nothing was changed. Restore it from version control.")
    return manifest


def _packs(site: ReleaseSite, spec: ReleaseSpec, found: Deployed, chain: Sequence[Receipt], ports: ClosePorts) -> tuple[PackAround, ...]:
    """Return the pack's runs around the deployment. Raises `RefusedError` where production's was not run since, or did not pass."""
    pack = spec.promotion.pack
    if pack is None:
        return ()
    runs = ports.release.runs.latest_runs(pack, _MOST_RUNS)
    standing = [one.current for one in found.hosts if one.current is not None]
    since = found.since or max(one.brought for one in standing)
    begun = min(Since(one.begun_seq, one.begun_at) for one in standing)
    around = packs_around(pack, runs, chain, begun=begun, since=since)
    if found.environment == "production":
        newest = next((one for one in runs if one.run == around[1].run), None)
        hosts = [one.host for one in found.hosts]
        told = "was not run" if newest is None else pack_fault(newest, policy=site.view.policy_digest, hosts=hosts)
        if told is not None:
            where = f"{found.stack} in production does not close: pack {pack}"
            said = f"{told} since it stands there" if newest is None else f"has not passed since: {newest.run}: {told}"
            raise RefusedError(f"{where} {said}. Next: controlplane gates run {pack}")
    return around


def _refuse_open_gaps(site: ReleaseSite, spec: ReleaseSpec, stack: str, name: str) -> None:
    """Raise `RefusedError` where a gap of the release's loop is open, `UnknownError` where nobody can say."""
    own = own_gaps(stack, spec.loop, site.governance.checked_registers())
    if own.doubt is not None:
        raise UnknownError(f"{stack} in {name} does not close: {own.doubt}. Next: {own.step}")
    if own.open:
        raise RefusedError(
            f"{stack} in {name} does not close: {', '.join(own.open)} is open in {spec.loop}. Next: controlplane gaps close {own.open[0]}"
        )


def _look(site: ReleaseSite, found: Deployed, ports: ClosePorts) -> AuditReport:
    apply = ports.release.apply
    plans = {host.host: apply.plans.get(host.current.plan) for host in found.hosts if host.current is not None}
    view = site.view.releasing({host: ran(next(step for step in plan.steps if step.host == host)) for host, plan in plans.items()})
    chosen = view.chosen(tuple(plans))
    seen = apply.evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})
    return judge_by_two(view, hosts=tuple(plans), seen=seen, now=apply.clock.now(), witness=apply.witness)


def _around(found: Deployed, chain: Sequence[Receipt], report: AuditReport, site: ReleaseSite, ports: ClosePorts) -> tuple[Stood, Stood]:
    """Return how the site stood before the first of what stands was begun, and how it stands now."""
    release = ports.release
    every, standing = (
        deployments(chain, release.apply.plans.get, stack=found.stack),
        {one.current.key for one in found.hosts if one.current is not None},
    )
    before = stood_before(chain, every, next(one for one in every if one.key in standing), release.folder.read)
    return before, look_around(site, release, lambda: state_of(found, report))


def _refuse_unproven(stack: str, name: str, report: AuditReport) -> None:
    about = [one for one in report.findings if (one.check, one.surface) == ("D249", f"release:{stack}")]
    wrong = [f"{one.host}: {one.reason}" for one in about if one.verdict is not Verdict.MET]
    if wrong or not about:
        told = f"{stack} in {name} does not close: {'; '.join(wrong) or 'no host could be judged'}. See: controlplane release status {stack}"
        unknown = not about or any(one.verdict is Verdict.UNKNOWN for one in about)
        raise (UnknownError if unknown else RefusedError)(told)


def _closeout(  # noqa: PLR0917 - the whole of what a release came to
    site: ReleaseSite,
    spec: ReleaseSpec,
    current: Deployment,
    manifest: Manifest,
    chain: Sequence[Receipt],
    report: AuditReport,
    packs: tuple[PackAround, ...],
    around: tuple[Stood, Stood],
    ports: ClosePorts,
    *,
    attempt: str,
    attestation: Attestation,
    deferred: tuple[str, ...],
) -> ReleaseCloseout:
    mine = [one for one in deployments(chain, ports.release.apply.plans.get, stack=current.stack) if one.environment == current.environment]
    registers = site.governance.registers
    return ReleaseCloseout(
        site=site.view.name,
        stack=current.stack,
        goal=spec.goal,
        environment=current.environment,
        manifest=current.manifest_name,
        digest=current.manifest,
        commit=manifest.commit,
        images=current.images,
        attempt=attempt,
        outcome="closed",
        evidence=proofs(chain, current.stack, current.manifest),
        packs=packs,
        before=around[0],
        after=around[1],
        files_changed=_files_changed(current, chain, ports.history),
        actions=actions(chain, mine, current),
        own_loop=spec.loop,
        own_gaps=(),
        open_gaps=open_gaps(registers) if registers is not None else (),
        open_loops=open_loops(registers) if registers is not None else (),
        verify=report.summary,
        remaining=tuple(one for one in report.findings if one.verdict in (Verdict.DRIFTED, Verdict.UNKNOWN)),
        not_undone=not_undone(site.files, current.stack, [current]),
        deferred=deferred,
        chain_length=len(chain),
        chain_head=chain[-1].digest() if chain else None,
        attestation=attestation,
    )


def _files_changed(current: Deployment, chain: Sequence[Receipt], history: SiteHistory) -> tuple[FileChange, ...]:
    """Return the commits since the stack was closed last in this environment; of a first release the newest commit alone."""
    earlier = [one for one in chain if one.capability == ID and one.step == f"{current.stack}/{current.environment}" and one.phase == "result"]
    since = (earlier[-1].told or {}).get("head") if earlier else None
    head = history.head()
    if head is None:
        title = "the site is under no version control: what changed in its files is not known"
        return (FileChange(commit=None, title=title, files=()),)
    if since is None:
        title = "the site's files as they were when the stack was closed here for the first time"
        found: tuple[FileChange, ...] = (FileChange(commit=head, title=title, files=()),)
    else:
        found = tuple(FileChange(commit=one.id, title=one.title, files=one.files) for one in history.since(since))
    loose = history.uncommitted()
    return (*found, *((FileChange(commit=None, title="not committed yet", files=loose),) if loose else ()))
