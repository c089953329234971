"""wave close: look once more by two witnesses, ask the exit gates, and leave the closeout receipt.

Rules:
- UNKNOWN never closes, and neither does a run that is still open. A host that was carved out keeps no other from closing: it remains.
- The receipt is on disk, with its digest in the signed chain, before the wave counts as closed.
- Gaps are recommended for closing, never closed here.
"""

from __future__ import annotations

from controlplane.domain.digest import digest_of
from controlplane.domain.errors import RefusedError
from controlplane.domain.finding import Verdict
from controlplane.domain.receipt import Receipt, open_intents
from controlplane.domain.registers.closing import recommend
from controlplane.domain.waves.closeout import (
    Attestation,
    Closeout,
    FileChange,
    actions_of,
    gap_impacts,
    loop_impacts,
    missing_outputs,
)
from controlplane.domain.waves.gates import judge_gates
from controlplane.domain.waves.record import GateJudged, WaveRecord
from controlplane.domain.waves.values import Wave
from controlplane.render.closeout_page import closeout_page
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.gate_standings import standings
from controlplane.usecases.look_at_wave import Look, case_of, look_at, pack_ran
from controlplane.usecases.open_wave import refuse_shut
from controlplane.usecases.read_registers import Record, resting
from controlplane.usecases.record_run import STAMP
from controlplane.usecases.wave_ports import WavePorts, WaveSite, held_wave, put_on_record


def close_wave(name: str, site: WaveSite, ports: WavePorts, *, attest: str, deferred: tuple[str, ...]) -> tuple[Closeout, str, str]:
    """Close a wave; return its closeout, the file of it, and the key of its receipt. Raises `RefusedError`, `UnknownError`: then it stays open."""
    wave = site.wave(name)
    held, record = held_wave(name, ports, site.operator)
    chain = [receipt for _, receipt in sound_chain(ports.apply.receipts, now=ports.apply.clock.now())]
    _refuse_open_runs(name, record, chain)
    look = look_at(name, wave, site, ports, attempt=record.attempt, what="post")
    packs = (*record.packs, *((pack_ran(look.pack, "*"),) if look.pack is not None else ()))
    judged = judge_gates(wave, "exit", case_of(wave, record, site, ports, look=look))
    record = record.model_copy(update={"packs": packs, "post": look.looked})
    held = ports.waves.write(held, state=held.state, record=record.plain(), now=ports.apply.clock.now())
    refuse_shut(f"wave {name} does not close", judged)
    chain = [receipt for _, receipt in sound_chain(ports.apply.receipts, now=ports.apply.clock.now())]
    attestation = Attestation(by=site.operator, at=ports.apply.clock.now().strftime(STAMP), text=attest)
    made = _closeout(name, wave, record, site, ports, look=look, judged=judged, chain=chain, attestation=attestation, deferred=deferred)
    missing = missing_outputs(wave, made)
    if missing:
        raise RefusedError(f"wave {name} does not close: it has to leave behind {', '.join(missing)}, and did not. It stays open.")
    file = ports.folder.keep(name, record.attempt, "closeout.json", (made.model_dump_json(indent=2) + "\n").encode())
    page = ports.folder.keep(name, record.attempt, "closeout.md", closeout_page(made))
    key = put_on_record(
        "close",
        name,
        site,
        ports,
        evidence=digest_of(made.model_dump(mode="json")),
        told={"attempt": record.attempt, "file": file, "page": page, "chain_length": made.chain_length, "chain_head": made.chain_head},
    )
    ports.waves.write(held, state="closed", record=record.plain(), now=ports.apply.clock.now(), ended=True)
    return made, page, key


def _refuse_open_runs(name: str, record: WaveRecord, chain: list[Receipt]) -> None:
    mine = {one.plan for one in record.plans}
    still = [receipt for receipt in open_intents(chain) if receipt.plan in mine]
    if still:
        raise RefusedError(
            f"wave {name} does not close: run {still[0].run} is not closed. It stays open. Go on: controlplane wave run {name}; or take it back: "
            f"controlplane rollback {still[0].run}"
        )


def _closeout(
    name: str,
    wave: Wave,
    record: WaveRecord,
    site: WaveSite,
    ports: WavePorts,
    *,
    look: Look,
    judged: tuple[GateJudged, ...],
    chain: list[Receipt],
    attestation: Attestation,
    deferred: tuple[str, ...],
) -> Closeout:
    registers = site.governance.checked_registers()
    governed = [desired.host for desired in site.view.desired.hosts]
    record_of_gates = Record(reports=ports.gates.reports, receipts=ports.apply.receipts, clock=ports.apply.clock)
    rests = resting(site.governance, record_of_gates, governed=governed, sound=True)
    asked = [recommend(gap, rests) for gap in wave.gaps]
    commits = [FileChange(commit=one.id, title=one.title, files=one.files) for one in ports.history.since(record.head)]
    loose = ports.history.uncommitted()
    if loose:
        commits.append(FileChange(commit=None, title="not committed yet", files=loose))
    remaining = tuple(one for one in look.findings if one.verdict in (Verdict.DRIFTED, Verdict.UNKNOWN))
    return Closeout(
        site=site.view.name,
        wave=name,
        goal=wave.goal,
        attempt=record.attempt,
        outcome="closed with hosts carved out" if record.carved else "closed",
        opened_by=record.opened_by,
        evidence=record.packs,
        preflight=record.preflight,
        post=record.post,
        gates=(*record.entry, *judged),
        files_changed=tuple(commits),
        plans=record.plans,
        actions=actions_of(chain, record),
        gaps=gap_impacts(registers, asked),
        loops=loop_impacts(registers, wave.gaps),
        verify=look.looked.summary,
        remaining=remaining,
        carved=record.carved,
        deferred=deferred,
        outputs=_outputs(wave, site, ports),
        chain_length=len(chain),
        chain_head=chain[-1].digest() if chain else None,
        attestation=attestation,
    )


def _outputs(wave: Wave, site: WaveSite, ports: WavePorts) -> dict[str, str]:
    """Return what a wave of governance has to say: its last runs, the linkage, and promote or hold."""
    found: dict[str, str] = {}
    if "last-runs" in wave.outputs and wave.pack is not None:
        wanted = site.view.gates.promotion.runs
        found["last-runs"] = ", ".join(run.run for run in ports.gates.runs.latest_runs(wave.pack, wanted)) or "none"
    if "linkage" in wave.outputs:
        broken = site.governance.broken
        found["linkage"] = (
            "; ".join(f"{rule.id}: {rule.message}" for rule in broken) if broken else "complete: every finding leads to gaps and a loop"
        )
    if "promotion" in wave.outputs:
        checks = dict.fromkeys(check for gate in wave.exit if gate.kind == "promotable" for check in gate.checks)
        stand = standings(
            site.view, checks=list(checks), hosts=list(wave.seen), runs=ports.gates.runs, checkers=ports.gates.checkers, now=ports.apply.clock.now()
        )
        told = [f"{one.check} on {one.host}: {one.proposes or ('enforced' if one.mode == 'enforce' else 'hold')}" for one in stand]
        fields = [f"gates.yml modes.{one.check}.{one.host}: report -> enforce" for one in stand if one.proposes == "promote"]
        found["promotion"] = "; ".join([*told, *fields]) or "nothing to promote"
    return found
