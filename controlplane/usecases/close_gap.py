"""gaps close: close a gap on its evidence, or as accepted for a reason.

Rules:
- A gap is closed on runs whose findings are MET, for every finding that it serves and every check that its criteria name. What no check judges
  takes the word of who closes it. The program recommends; a person closes.
- Closing the last open gap of a finding closes the finding: else the two would contradict each other.
- What an attempt wrote that was stopped between the two registers, or did not end well there, counts as closed by the one that ends it, and is
  named with that attempt's key. One that is known to have written nothing is named for nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.domain.errors import RefusedError
from controlplane.domain.receipt import Receipt
from controlplane.domain.registers import Registers
from controlplane.domain.registers.closing import Recommendation, recommend
from controlplane.domain.registers.criteria import stated
from controlplane.ports.registers import Entry
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.closing_record import Closing, ClosingPorts, attempts, bring_to_its_end, carry_out, failures
from controlplane.usecases.edit_registers import STAMP, Earlier, Edited, refuse_unknown, refuse_worse, with_edits
from controlplane.usecases.read_registers import resting

ID = "gaps.close"


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
        receipts = [one for _, one in chain]
        if held.gaps[gap].status != "open":
            return bring_to_its_end(Closing(ID, gap, word.by), held.gaps[gap], before, receipts, ports)
        rests = resting(before.governance, ports.record, governed=sorted(before.policy.hosts), named=word.runs, chain=chain)
        recommendation = recommend(gap, rests)
        statements = () if word.accept else _statements(recommendation, word)
        closed: dict[str, Any] = {"at": now.strftime(STAMP), "by": word.by, "runs": [] if word.accept else list(recommendation.runs)}
        closed |= {"met": list(statements)} if statements else {}
        last_of, earlier = _last_of(gap, held), _written_before(gap, held, receipts)
        entries = _entries(gap, closed, [name for name in last_of if held.findings[name].status != "closed"], word)
        refuse_worse(before, with_edits(held, entries))
        there = {name for one in earlier.values() for name in one.findings}
        more: dict[str, Any] = {"findings": [name for name in last_of if name in there or held.findings[name].status != "closed"]}
        more |= {"written_before": {key: one.model_dump(mode="json") for key, one in earlier.items()}} if earlier else {}
        closing = Closing(ID, gap, word.by, closed, reason=word.accept or word.attest, more=more)
        return carry_out(closing, ports.registers.prepared(entries), before, now, ports)


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


def _last_of(gap: str, held: Registers) -> tuple[str, ...]:
    """Return the findings that have no other gap that is open."""
    return tuple(
        name
        for name, finding in held.findings.items()
        if gap in finding.gaps and not any(one != gap and one in held.gaps and held.gaps[one].is_open for one in finding.gaps)
    )


def _written_before(gap: str, held: Registers, chain: Sequence[Receipt]) -> dict[str, Earlier]:
    """Return what attempts at this closing closed before they were stopped or failed, by their keys."""
    closed = [name for name in _last_of(gap, held) if held.findings[name].status == "closed"]
    failed = failures(ID, gap, chain)
    found: dict[str, Earlier] = {}
    for one in attempts(ID, gap, chain):
        # What is closed now is the work of another then.
        if failed.get(one.key) is False:
            continue
        # What a first attempt wrote is also named by a second that was stopped in turn.
        mine = [name for name in closed if name in (one.told or {}).get("findings", ())]
        closed = [name for name in closed if name not in mine]
        if mine:
            found[one.key] = Earlier(findings=tuple(mine), ended="failed" if one.key in failed else "stopped")
    return found


def _entries(gap: str, closed: dict[str, Any], ended: Sequence[str], word: Word) -> list[Entry]:
    # Findings first: stopped between the two files, the same call again closes the gap.
    entries = [Entry("findings", name, "status", "closed") for name in ended]
    entries += [Entry("gaps", gap, "status", "accepted" if word.accept else "fixed"), Entry("gaps", gap, "closed", closed)]
    reason = word.accept or word.attest
    return [*entries, Entry("gaps", gap, "reason", reason)] if reason else entries
