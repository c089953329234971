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
from controlplane.domain.names import AsTuple
from controlplane.domain.receipt import Receipt
from controlplane.domain.registers import Registers
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


class OpenGap(Value):
    """A gap of the site that is open when the release is closed, with its loops."""

    gap: str
    title: str
    loops: tuple[str, ...]


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
    files_changed: tuple[FileChange, ...]
    actions: tuple[Action, ...]
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


def packs_around(pack: str, runs: Sequence[GateRun], *, begun_at: str, since: str) -> tuple[PackAround, PackAround]:
    """Return the newest run before a deployment began, and the newest since it stands; `runs` come newest first."""
    before = next((one for one in runs if one.at <= begun_at), None)
    after = next((one for one in runs if one.at >= since), None)
    return _around(pack, "before", before), _around(pack, "after", after)


def _around(pack: str, when: Literal["before", "after"], run: GateRun | None) -> PackAround:
    if run is None:
        return PackAround(pack=pack, when=when, run=None)
    results = {f"{one.check} {one.host}": str(one.verdict) for one in run.results}
    passed = bool(run.results) and all(one.passed for one in run.results)
    return PackAround(pack=pack, when=when, run=run.run, at=run.at, passed=passed, results=results)


def actions(chain: Sequence[Receipt], plans: Sequence[str]) -> tuple[Action, ...]:
    """Return what these plans did on hosts, and what was taken back of it, in its order."""
    done = [one for one in chain if one.phase == "result" and one.plan in plans and one.capability == release_deploy.ID]
    return tuple(
        Action(receipt=one.key, host=one.host, capability=one.capability, outcome=one.outcome or "", at=one.at, downtime_s=one.downtime_s)
        for one in done
    )


def open_gaps(registers: Registers) -> tuple[OpenGap, ...]:
    """Return the site's open gaps."""
    return tuple(OpenGap(gap=name, title=gap.title, loops=gap.loops) for name, gap in registers.gaps.items() if gap.is_open)
