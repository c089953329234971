"""The closeout receipt of a release: its proofs, what was changed by which commits, what was done on machines, gaps and loops, what remains.

Its digest is signed into the chain of receipts, and it names the chain's head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from controlplane.domain.capabilities import release_deploy
from controlplane.domain.coordination import GateRun
from controlplane.domain.finding import Finding, Summary
from controlplane.domain.gates.run_order import beginnings, newest_first
from controlplane.domain.names import AsTuple
from controlplane.domain.receipt import Receipt
from controlplane.domain.releases.around import OpenGap, Stood
from controlplane.domain.releases.history import Deployment, Since
from controlplane.domain.values import Value
from controlplane.domain.waves.closeout import Action, Attestation, FileChange


class Proof(Value):
    """One run that proves something of the release: a smoke run or a recertification."""

    run: str
    what: str
    outcome: str
    at: str


class PackAround(Value):
    """The pack's newest run before the release was brought, or its newest since it stands: `run` is None where none is on record.

    `results` are verdicts by check and host, such as "D235 mint-data".
    """

    pack: str
    when: Literal["before", "after"]
    run: str | None
    at: str | None = None
    passed: bool = False
    results: dict[str, str] = Field(default={})


class ReleaseAction(Action):
    """One thing that was done on a host, and of which manifest; None before that was kept."""

    manifest: str | None = None


class ReleaseCloseout(Value):
    """All of it; the fields are those that a reviewer asks for. `own_gaps` are open in the release's own loop: a release with any is not closed."""

    site: str
    stack: str
    goal: str
    environment: str
    manifest: str
    digest: str
    commit: str
    images: dict[str, str]
    attempt: str
    outcome: Literal["closed"]
    evidence: tuple[Proof, ...]
    # Those that were closed before packs were kept have none.
    packs: Annotated[tuple[PackAround, ...], AsTuple] = ()
    # Likewise.
    before: Stood | None = None
    after: Stood | None = None
    files_changed: tuple[FileChange, ...]
    actions: tuple[ReleaseAction, ...]
    own_loop: str | None
    own_gaps: tuple[str, ...]
    open_gaps: tuple[OpenGap, ...]
    open_loops: tuple[str, ...]
    verify: Summary
    remaining: tuple[Finding, ...]
    not_undone: tuple[str, ...]
    deferred: tuple[str, ...]
    chain_length: int
    chain_head: str | None
    attestation: Attestation


def proofs(chain: Sequence[Receipt], stack: str, manifest: str) -> tuple[Proof, ...]:
    """Return every smoke run and recertification of a manifest (by digest), well ended or not, in their order."""
    found = []
    for one in chain:
        if one.phase != "result" or one.capability not in ("release.smoke", "release.recert") or one.step.partition("/")[0] != stack:
            continue
        if (one.told or {}).get("manifest") == manifest:
            where = one.step.partition("/")[2]
            what = f"smoke in {where}" if where else "recertification"
            found.append(Proof(run=one.key, what=what, outcome=one.outcome or "", at=one.at))
    return tuple(found)


def packs_around(pack: str, runs: Sequence[GateRun], chain: Sequence[Receipt], *, begun: Since, since: Since) -> tuple[PackAround, PackAround]:
    """Return the newest run that ended before a deployment began, and the newest that began since it stands.

    Which came first the receipts say, as they do for the gate; a run that they lack stands where its time puts it.
    """
    began, ended = beginnings(chain), {one.key: one.seq for one in chain if one.phase == "result"}
    ordered = newest_first(runs, began)

    def is_before(run: GateRun) -> bool:
        return ended.get(run.run, begun.seq) < begun.seq if run.run in began else run.at <= begun.at

    def is_after(run: GateRun) -> bool:
        return chain[began[run.run].place].seq > since.seq if run.run in began else run.at >= since.at

    before, after = (next(filter(holds, ordered), None) for holds in (is_before, is_after))
    return _around(pack, "before", before), _around(pack, "after", after)


def _around(pack: str, when: Literal["before", "after"], run: GateRun | None) -> PackAround:
    if run is None:
        return PackAround(pack=pack, when=when, run=None)
    results = {f"{one.check} {one.host}": str(one.verdict) for one in run.results}
    passed = bool(run.results) and all(one.passed for one in run.results)
    return PackAround(pack=pack, when=when, run=run.run, at=run.at, passed=passed, results=results)


def actions(chain: Sequence[Receipt], every: Sequence[Deployment], current: Deployment) -> tuple[ReleaseAction, ...]:
    """Return what was done on hosts for the manifest that stands, and since it stands, in its order: what was brought over it and taken back, too.

    `every` are the deployments of the stack in the environment, in the order of the chain: what a clock says that ran ahead hides none of them.
    """
    first = next(place for place, one in enumerate(every) if one.key == current.key)
    plans = {one.plan: one.manifest_name for place, one in enumerate(every) if one.manifest == current.manifest or place >= first}
    done = [one for one in chain if one.phase == "result" and one.plan in plans and one.capability == release_deploy.ID]
    return tuple(
        ReleaseAction(
            receipt=one.key,
            host=one.host,
            capability=one.capability,
            outcome=one.outcome or "",
            at=one.at,
            downtime_s=one.downtime_s,
            manifest=plans[one.plan],
        )
        for one in done
    )
