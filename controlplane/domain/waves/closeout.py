"""The closeout receipt of a wave: evidence, what was changed and by which commits, what was done on machines, gaps and loops, verdict, what remains.

Its digest is signed into the chain of receipts, and it anchors the chain's head: what it says of earlier receipts can't be altered unseen.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from controlplane.domain.digest import digest_of
from controlplane.domain.finding import Finding, Summary
from controlplane.domain.receipt import Receipt
from controlplane.domain.registers import Registers
from controlplane.domain.registers.closing import Recommendation
from controlplane.domain.values import Value
from controlplane.domain.waves.changed import since_opening
from controlplane.domain.waves.record import Carved, GateJudged, Looked, PackRan, Planned, WaveRecord
from controlplane.domain.waves.values import Output, Wave


class FileChange(Value):
    """One commit that changed files of the site while the wave was open; `commit` is None for what is not committed."""

    commit: str | None
    title: str
    files: tuple[str, ...]


class Action(Value):
    """One thing that was done on a host, with its receipt."""

    receipt: str
    host: str
    capability: str
    outcome: str
    at: str
    downtime_s: dict[str, float]


class GapImpact(Value):
    """One gap of the wave: how it stands, and whether its closing is recommended, by which runs or against which objections."""

    gap: str
    status: str
    recommended: bool
    runs: tuple[str, ...]
    objections: tuple[str, ...]


class LoopImpact(Value):
    """One loop that the wave's gaps are in, and which gaps are still open in it."""

    loop: str
    status: str
    open_gaps: tuple[str, ...]


class Attestation(Value):
    """Who closes the wave, and what they attest."""

    by: str
    at: str
    text: str


class Closeout(Value):
    """All of it; the fields are those that a reviewer asks for."""

    site: str
    wave: str
    goal: str
    attempt: str
    outcome: str
    opened_by: str
    opened_at: str
    evidence: tuple[PackRan, ...]
    preflight: Looked | None
    post: Looked | None
    gates: tuple[GateJudged, ...]
    files_changed: tuple[FileChange, ...]
    plans: tuple[Planned, ...]
    actions: tuple[Action, ...]
    gaps: tuple[GapImpact, ...]
    loops: tuple[LoopImpact, ...]
    verify: Summary
    remaining: tuple[Finding, ...]
    carved: tuple[Carved, ...]
    deferred: tuple[str, ...]
    outputs: dict[str, str]
    chain_length: int
    chain_head: str | None
    attestation: Attestation


def is_closeout(content: bytes, said: Receipt) -> bool:
    """Say whether a file is the closeout that this receipt holds, whatever fields closeouts have had since."""
    try:
        return digest_of(json.loads(content)) == said.evidence
    except ValueError:
        return False


def actions_of(name: str, chain: Sequence[Receipt], record: WaveRecord, *, hosts: Collection[str]) -> tuple[Action, ...]:
    """Return everything that was done on the wave's hosts while it was open, in its order: by its plans, taken back, or beside it (a reboot).

    What was done beside it on a host that was carved out by then is no concern of the wave's.
    """
    mine = {one.plan for one in record.plans}
    meanwhile = {place for place, _ in since_opening(chain, wave=name, attempt=record.attempt, opened_at=record.opened_at)}
    places = {one.key: place for place, one in enumerate(chain)}

    def was_out(place: int, one: Receipt) -> bool:
        carved = next((held for held in record.carved if held.host == one.host), None)
        # What these receipts lack stands by its time.
        return carved is not None and (places[carved.receipt] < place if carved.receipt in places else carved.at < one.at)

    def belongs(place: int, one: Receipt) -> bool:
        beside = place in meanwhile and one.host in hosts and not one.capability.startswith("wave.")
        return one.plan in mine or (beside and not was_out(place, one))

    done = [one for place, one in enumerate(chain) if one.phase == "result" and one.host != "*" and belongs(place, one)]
    return tuple(
        Action(receipt=one.key, host=one.host, capability=one.capability, outcome=one.outcome or "", at=one.at, downtime_s=one.downtime_s)
        for one in done
    )


def gap_impacts(registers: Registers, recommendations: Sequence[Recommendation]) -> tuple[GapImpact, ...]:
    """Return how the wave's gaps stand."""
    found = []
    for one in recommendations:
        held = registers.gaps.get(one.gap)
        status = held.status if held is not None else "missing"
        told = one.objections + tuple(f"{name}: no check judges it" for name in (*one.unjudged, *one.unstated))
        runs = held.closed.runs if held is not None and held.closed is not None else one.runs
        found.append(GapImpact(gap=one.gap, status=status, recommended=status == "open" and one.closable, runs=runs, objections=told))
    return tuple(found)


def loop_impacts(registers: Registers, gaps: Sequence[str]) -> tuple[LoopImpact, ...]:
    """Return how the loops stand that these gaps are in."""
    names = dict.fromkeys(loop for gap in gaps if gap in registers.gaps for loop in registers.gaps[gap].loops)
    return tuple(
        LoopImpact(
            loop=name,
            status=registers.loops[name].status,
            open_gaps=tuple(gap for gap, held in registers.gaps.items() if held.is_open and name in held.loops),
        )
        for name in names
        if name in registers.loops
    )


def missing_outputs(wave: Wave, closeout: Closeout, *, unverified: Sequence[Receipt] = ()) -> tuple[str, ...]:
    """Return what the wave has to leave behind and did not; `unverified` are the steps after which its pack was not run."""
    changed = [one for one in closeout.plans if one.run is not None]
    there: dict[Output, bool] = {
        "preflight": closeout.preflight is not None,
        "plan": bool(closeout.plans) or not wave.hosts,
        "receipts": bool(closeout.actions) or not changed,
        "post": closeout.post is not None,
        "pack": bool(closeout.evidence) and not unverified,
        "gaps": not wave.gaps or bool(closeout.gaps),
        "last-runs": "last-runs" in closeout.outputs,
        "linkage": "linkage" in closeout.outputs,
        "promotion": "promotion" in closeout.outputs,
    }
    lacks = {"pack": f" (it was not run after {', '.join(f'{one.step} {one.key}' for one in unverified)})" if unverified else ""}
    return tuple(f"{name}{lacks.get(name, '')}" for name in wave.outputs if not there[name])
