"""wave close: look once more by two witnesses, ask the exit gates, and leave the closeout receipt.

Rules:
- UNKNOWN never closes, a host that could not be observed does not, and neither does a run that is still open, of the wave or beside it.
- Where a run was abandoned, what it left on hosts that are not carved out is planned and done first.
- A host that was carved out keeps no other from closing: it remains. Where all of them were, nothing was brought about, and the wave is aborted.
- The receipt is on disk, with its digest in the signed chain, before the wave counts as closed; a kill in between is made good by the same command.
- A run or a rollback of the wave that came behind what its closeout holds makes that closing count for nothing: all of it is asked once more.
- Gaps are recommended for closing, never closed here.
"""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.digest import digest_of, digest_of_bytes
from controlplane.domain.errors import Fault, InputInvalidError, RefusedError, RunFailedError
from controlplane.domain.finding import Verdict
from controlplane.domain.receipt import Receipt
from controlplane.domain.registers.closing import recommend
from controlplane.domain.waves.closeout import (
    Attestation,
    Closeout,
    FileChange,
    actions_of,
    gap_impacts,
    is_closeout,
    loop_impacts,
    missing_outputs,
)
from controlplane.domain.waves.gates import judge_gates
from controlplane.domain.waves.record import GateJudged, WaveRecord
from controlplane.domain.waves.trail import closings_of, standing_closing
from controlplane.domain.waves.values import Wave
from controlplane.domain.waves.verified import unverified
from controlplane.render.closeout_page import closeout_page
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.close_wave_unchanged import refuse_changed_governing
from controlplane.usecases.closeout_outputs import outputs_of
from controlplane.usecases.look_at_wave import Look, look_at, pack_ran, refuse_unreached
from controlplane.usecases.open_wave import refuse_shut
from controlplane.usecases.read_registers import Record, resting
from controlplane.usecases.record_run import STAMP
from controlplane.usecases.settle_wave import caught_up, refuse_open_beside, refuse_open_runs
from controlplane.usecases.wave_case import case_of
from controlplane.usecases.wave_ports import WavePorts, WaveSite, abort_command, begin_entry, close_command, loaded, refuse_other_files
from controlplane.usecases.wave_rest import rest_of


def close_wave(name: str, site: WaveSite, ports: WavePorts, *, attest: str, deferred: tuple[str, ...]) -> tuple[Closeout, str, str]:
    """Close a wave; return its closeout, the file of it, and the key of its receipt. Raises `RefusedError`, `UnknownError`: then it stays open."""
    wave = site.wave(name)
    if not attest.strip():
        raise InputInvalidError([Fault("--attest", 0, "", "is empty: say what you attest; it stands in the closeout receipt under your name")])
    chain = [receipt for _, receipt in sound_chain(ports.apply.receipts, now=ports.apply.clock.now())]
    held, record = caught_up(name, site, ports)
    said = standing_closing(name, record, chain)
    if said is not None:
        made, page = _said_before(said, ports)
        ports.waves.write(held, state="closed", record=record.plain(), now=ports.apply.clock.now(), ended=True)
        return made, page, said.key
    refuse_other_files(f"wave {name} does not close, it stays open", name, site, record)
    refuse_changed_governing(name, wave, site, record)
    _refuse_other_policy(name, record, site, ports)
    refuse_open_runs(f"wave {name} does not close, it stays open", name, record, chain)
    if wave.hosts and not record.without_carved(wave.hosts):
        raise RefusedError(
            f"wave {name} does not close: every host that it was to change was carved out ({', '.join(wave.hosts)}). It stays open. "
            f"Next: {abort_command(name)}"
        )
    refuse_open_beside(name, wave, record, chain, ports)
    _refuse_half_done(name, wave, record, chain, ports)
    before = len(chain)
    look = look_at(name, wave, site, ports, attempt=record.attempt, what="post", out=record.out)
    packs = (*record.packs, *((pack_ran(look.pack, "*"),) if look.pack is not None else ()))
    judged = judge_gates(wave, "exit", case_of(name, wave, record, site, ports, look=look))
    record = record.model_copy(update={"packs": packs, "post": look.looked, "exit": judged})
    held = ports.waves.write(held, state=held.state, record=record.plain(), now=ports.apply.clock.now())
    refuse_unreached(f"wave {name} does not close, it stays open", look, record.without_carved(wave.seen), close_command(name))
    refuse_shut(f"wave {name} does not close", judged, f"It stays open. Then: {close_command(name)}")
    chain = list(loaded(ports))
    _refuse_changed_meanwhile(name, wave, record, chain[before:])
    attestation = Attestation(by=site.operator, at=ports.apply.clock.now().strftime(STAMP), text=attest)
    made = _closeout(name, wave, record, site, ports, look=look, judged=judged, chain=chain, attestation=attestation, deferred=deferred)
    skipped = unverified(chain, plans=[one.plan for one in record.plans], packs=record.packs) if wave.pack is not None else ()
    missing = missing_outputs(wave, made, unverified=skipped)
    if missing:
        past = f" Nothing makes up for a run of the pack between two steps: end this attempt ({abort_command(name)}), and open the wave anew."
        why = f"wave {name} does not close: it has to leave behind {', '.join(missing)}, and did not. It stays open."
        raise RefusedError(f"{why}{past if skipped and 'pack' in wave.outputs else ''}")
    file_name, page_name = _names(len(closings_of(name, record.attempt, chain)))
    file = ports.folder.keep(name, record.attempt, file_name, (made.model_dump_json(indent=2) + "\n").encode())
    shown = closeout_page(made)
    page = ports.folder.keep(name, record.attempt, page_name, shown)
    files = {"file": file, "page": page, "page_digest": digest_of_bytes(shown)}
    told = {"attempt": record.attempt, **files, "chain_length": made.chain_length, "chain_head": made.chain_head}
    key = begin_entry("close", name, site, ports).close(evidence=digest_of(made.model_dump(mode="json")), told=told)
    if standing_closing(name, record, loaded(ports)) is None:
        raise RefusedError(
            f"wave {name} does not close: a run or a rollback of it began or ended while {key} was signed, and its closeout does not hold that. It "
            f"stays open. Look again when that has ended: {close_command(name)}"
        )
    ports.waves.write(held, state="closed", record=record.plain(), now=ports.apply.clock.now(), ended=True)
    return made, page, key


def _names(before: int) -> tuple[str, str]:
    """Return the names of a closeout and of its page; `before` counts the closings that came to nothing: their receipts name theirs."""
    more = f"-{before + 1}" if before else ""
    return f"closeout{more}.json", f"closeout{more}.md"


def _refuse_other_policy(name: str, record: WaveRecord, site: WaveSite, ports: WavePorts) -> None:
    """Raise `RefusedError` where the policy is no longer the one that the last run's plan was bound to: its exit would be judged by another."""
    ran = [one for one in record.plans if one.run is not None]
    if record.files is None or not ran or ports.apply.plans.get(ran[-1].plan).binds.policy == site.view.policy_digest:
        return
    raise RefusedError(
        f"wave {name} does not close: the policy changed since plan {ran[-1].plan[:19]}, which its last run carried out, was made. It stays open. "
        f"Take that back, and change it after the wave; or end this attempt ({abort_command(name)}), and open the wave anew"
    )


def _refuse_changed_meanwhile(name: str, wave: Wave, record: WaveRecord, since: Sequence[Receipt]) -> None:
    """Raise `RefusedError` where the receipts since the look say that somebody is at work on a host of the wave, or was: it was not that any more.

    A run of the wave's own that has begun no step yet counts as well; what is done on a host that was carved out does not.
    """
    mine, plans = record.without_carved(wave.seen), {one.plan for one in record.plans}
    late = [one for one in since if one.host in mine or (one.host not in record.out and one.plan in plans)]
    late = [one for one in late if not one.capability.startswith("wave.")]
    if late:
        raise RefusedError(
            f"wave {name} does not close: {late[0].key} ({late[0].capability} on {late[0].host}, {late[0].operator}) began or ended while its hosts "
            f"were looked at. It stays open. Look again when that has ended: {close_command(name)}"
        )


def _refuse_half_done(name: str, wave: Wave, record: WaveRecord, chain: Sequence[Receipt], ports: WavePorts) -> None:
    """Raise `RefusedError` where a run was abandoned, and a host that is still part of the wave has steps of it that are not done."""
    rest = rest_of(record, chain, ports.apply.plans.get)
    if rest is not None:
        raise RefusedError(
            f"wave {name} does not close: run {rest.run} was abandoned, and on {', '.join(rest.hosts)} not all of its steps are done. It stays open. "
            f"Next: {rest.way_on(name, wave, record)}{rest.or_end(name, wave, record)}"
        )


def _said_before(said: Receipt, ports: WavePorts) -> tuple[Closeout, str]:
    """Return the closeout that a receipt names, whose wave a kill kept open. Raises `RunFailedError` where it is another one now."""
    told = said.told or {}
    content = ports.folder.read(told["file"])
    if not is_closeout(content, said):
        raise RunFailedError(f"{told['file']} is not what {said.key} says. Nothing was changed. Restore it from a copy, then close the wave again.")
    return Closeout.model_validate_json(content), str(told["page"])


def _closeout(
    name: str,
    wave: Wave,
    record: WaveRecord,
    site: WaveSite,
    ports: WavePorts,
    *,
    look: Look,
    judged: tuple[GateJudged, ...],
    chain: Sequence[Receipt],
    attestation: Attestation,
    deferred: tuple[str, ...],
) -> Closeout:
    registers = site.governance.checked_registers()
    on_site = [desired.host for desired in site.view.desired.hosts]
    on_record = Record(reports=ports.gates.reports, receipts=ports.apply.receipts, clock=ports.apply.clock)
    rests = resting(site.governance, on_record, governed=on_site, sound=True)
    asked = [recommend(gap, rests) for gap in wave.gaps]
    return Closeout(
        site=site.view.name,
        wave=name,
        goal=wave.goal,
        attempt=record.attempt,
        outcome="closed with hosts carved out" if record.carved else "closed",
        opened_by=record.opened_by,
        opened_at=record.opened_at,
        evidence=record.packs,
        preflight=record.preflight,
        post=record.post,
        gates=(*record.entry, *judged),
        files_changed=_files_changed(record, ports),
        plans=record.plans,
        actions=actions_of(name, chain, record, hosts=wave.seen),
        gaps=gap_impacts(registers, asked),
        loops=loop_impacts(registers, wave.gaps),
        verify=look.looked.summary,
        remaining=tuple(one for one in look.findings if one.verdict in (Verdict.DRIFTED, Verdict.UNKNOWN)),
        carved=record.carved,
        deferred=deferred,
        outputs=outputs_of(wave, site, ports, look),
        chain_length=len(chain),
        chain_head=chain[-1].digest() if chain else None,
        attestation=attestation,
    )


def _files_changed(record: WaveRecord, ports: WavePorts) -> tuple[FileChange, ...]:
    if record.head is None:
        title = "the site was under no version control when the wave opened: what changed in its files is not known"
        return (FileChange(commit=None, title=title, files=()),)
    commits = [FileChange(commit=one.id, title=one.title, files=one.files) for one in ports.history.since(record.head)]
    loose = ports.history.uncommitted()
    return (*commits, *((FileChange(commit=None, title="not committed yet", files=loose),) if loose else ()))
