"""gaps close: close a gap on its evidence, or as accepted for a reason.

Rules:
- A gap is closed on runs whose findings are MET, for every finding that it serves and every check that its criteria name. What no check judges
  takes the word of who closes it. The program recommends; a person closes.
- Closing the last open gap of a finding closes the finding: else the two would contradict each other.
- All of it is put together before the first receipt, which says what the register is going to say: where a kill came between the writing and the
  last receipt, the same call puts on record what was done.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.domain.errors import ControlPlaneError, RefusedError
from controlplane.domain.receipt import Receipt
from controlplane.domain.registers import Registers
from controlplane.domain.registers.closing import Recommendation, recommend
from controlplane.domain.registers.criteria import stated
from controlplane.domain.run_key import make_run_key
from controlplane.domain.site import SiteContent
from controlplane.ports.clocks import Entropy
from controlplane.ports.registers import Entry, RegisterStore
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.edit_registers import STAMP, Edited, refuse_unknown, refuse_worse, with_edits
from controlplane.usecases.read_registers import Record, resting
from controlplane.usecases.record_run import Ledger

ID = "gaps.close"


@dataclass(frozen=True)
class ClosingPorts:
    """Everything that the closing of a gap touches."""

    registers: RegisterStore
    record: Record
    entropy: Entropy


@dataclass(frozen=True)
class Word:
    """What the person says who closes a gap: runs to rest on, why findings that no check judges are mended, which criteria are met and how that was
    shown, or why the gap may stay."""

    by: str
    runs: tuple[str, ...] = ()
    attest: str | None = None
    met: tuple[str, ...] = ()
    accept: str | None = None


def close_gap(gap: str, word: Word, *, ports: ClosingPorts) -> Edited:
    """Close a gap. Raises `RefusedError` with everything that speaks against it."""
    with ports.registers.editing():
        before = ports.registers.read()
        held = before.governance.checked_registers()
        refuse_unknown(before, "gaps", gap)
        now = ports.record.clock.now()
        chain = sound_chain(ports.record.receipts, now=now)
        if held.gaps[gap].status != "open":
            return _brought_to_its_end(gap, before, [one for _, one in chain], word, ports)
        rests = resting(before.governance, ports.record, governed=sorted(before.policy.hosts), named=word.runs, chain=chain)
        recommendation = recommend(gap, rests)
        statements = () if word.accept else _statements(recommendation, word)
        closed: dict[str, Any] = {"at": now.strftime(STAMP), "by": word.by, "runs": [] if word.accept else list(recommendation.runs)}
        closed |= {"met": list(statements)} if statements else {}
        ended = _ended_with(gap, held)
        entries = _entries(gap, closed, ended, word)
        refuse_worse(before, with_edits(held, entries))
        texts = ports.registers.prepared(entries)
        key = make_run_key(ID, now, ports.entropy.four_hex())
        ledger, told = _ledger(key, before, word, ports), _told(gap, closed, ended, word.accept or word.attest)
        ledger.intend(key, host="*", capability=ID, step=gap, told=told)
        try:
            files = ports.registers.write(texts)
        except ControlPlaneError as error:
            ledger.close(key, host="*", capability=ID, step=gap, outcome="failed", reason=str(error))
            raise
        ledger.close(key, host="*", capability=ID, step=gap, outcome="done", reason=word.accept or word.attest, told=told)
        return Edited(id=gap, files=files, closed_findings=ended, receipt=key)


def _statements(recommendation: Recommendation, word: Word) -> tuple[str, ...]:
    """Return what the person says of each criterion that no check judges. Raises `RefusedError` with all that speaks against the closing."""
    told = list(recommendation.objections)
    if recommendation.unjudged and not (word.attest or "").strip():
        told.append(f"no check judges {', '.join(recommendation.unjudged)}: say why it is mended with --attest")
    found, strange = stated(word.met, recommendation.unstated)
    for criterion in recommendation.unstated:
        if criterion not in found:
            asked = shlex.quote(f"{' '.join(criterion.split())}: HOW IT WAS SHOWN")
            told.append(f"criteria: no check judges all of it, so say that it is met, and how that was shown: --met {asked}")
    told += [f"--met {shlex.quote(one)}: repeats no criterion that takes your word, with a colon and how it was shown" for one in strange]
    if told:
        listed = "\n  ".join(told)
        raise RefusedError(
            f"{recommendation.gap} can't be closed:\n  {listed}\nNothing was changed. Mend that, or accept it as it is: --accept REASON"
        )
    return tuple(found[criterion] for criterion in recommendation.unstated)


def _ended_with(gap: str, held: Registers) -> tuple[str, ...]:
    """Return the findings of which this is the last open gap."""
    return tuple(
        name
        for name, finding in held.findings.items()
        if gap in finding.gaps
        and finding.status != "closed"
        and not any(one != gap and one in held.gaps and held.gaps[one].is_open for one in finding.gaps)
    )


def _entries(gap: str, closed: dict[str, Any], ended: Sequence[str], word: Word) -> list[Entry]:
    # Findings first: stopped between the two files, the same call again closes the gap.
    entries = [Entry("findings", name, "status", "closed") for name in ended]
    entries += [Entry("gaps", gap, "status", "accepted" if word.accept else "fixed"), Entry("gaps", gap, "closed", closed)]
    reason = word.accept or word.attest
    return [*entries, Entry("gaps", gap, "reason", reason)] if reason else entries


def _told(gap: str, closed: dict[str, Any], ended: Sequence[str], reason: str | None) -> dict[str, Any]:
    """Return what receipts say of a closing."""
    return {"gap": gap, "closed": {"met": [], **closed}, "reason": reason, "findings": list(ended)}


def _brought_to_its_end(gap: str, before: SiteContent, chain: Sequence[Receipt], word: Word, ports: ClosingPorts) -> Edited:
    """Put on record a closing that was stopped once the register said it. Raises `RefusedError` where there is none."""
    held = before.governance.checked_registers().gaps[gap]
    ended = {one.key for one in chain if one.phase == "result"}
    says = held.closed.model_dump(mode="json") if held.closed is not None else None
    begun = [one for one in chain if one.phase == "intent" and one.capability == ID and one.step == gap and one.key not in ended]
    stopped = next((one for one in begun if (one.told or {}).get("closed") == says), None)
    if stopped is None:
        raise RefusedError(f"{gap} is {held.status} already. Nothing was changed.")
    told = dict(stopped.told or {})
    _ledger(stopped.key, before, word, ports).close(
        stopped.key, host="*", capability=ID, step=gap, outcome="done", reason=told.get("reason"), told=told
    )
    return Edited(id=gap, files=(), closed_findings=tuple(told.get("findings", ())), receipt=stopped.key)


def _ledger(key: str, site: SiteContent, word: Word, ports: ClosingPorts) -> Ledger:
    record = ports.record
    return Ledger(record.receipts, record.clock, run=key, site=site.site.name, plan="", policy=site.policy_digest, operator=word.by)
