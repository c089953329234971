"""File, link and close what stands in the registers.

Rules:
- No edit breaks a rule that held before it: it is refused, and nothing is written.
- A gap is closed on evidence: runs whose findings are MET, for every finding that it serves. The program recommends; a person closes.
- Closing the last open gap of a finding closes the finding: else the two would contradict each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from controlplane.domain.checks import CHECKS
from controlplane.domain.errors import Fault, InputInvalidError, RefusedError
from controlplane.domain.faults import Nowhere, validated
from controlplane.domain.governance import Governance
from controlplane.domain.registers import Gap, Loop, Registers
from controlplane.domain.registers.closing import Resting, recommend
from controlplane.domain.registers.rules import broken_rules
from controlplane.domain.values import Value
from controlplane.ports.registers import Entry, RegisterStore

STAMP = "%Y-%m-%dT%H:%M:%SZ"
_KINDS: dict[str, type[Value]] = {"gaps": Gap, "loops": Loop}


class Edited(Value):
    """What an edit did: the record, and the files that it changed."""

    id: str
    files: tuple[str, ...]
    closed_findings: tuple[str, ...] = ()


def file_gap(store: RegisterStore, *, area: str, fields: Mapping[str, Any], findings: Sequence[str], given: str | None) -> Edited:
    """File a gap under the next free number of its area, or under the id that was given, and link findings to it."""
    with store.editing():
        before = store.read()
        held = before.checked_registers()
        gap = given or _next_gap(held, area)
        entries = [_linking(held, "findings", finding, "gaps", gap) for finding in findings]
        _refuse_worse(before, _with(_with_record(held, "gaps", gap, fields), entries))
        files = (store.add("gaps", gap, fields), *(store.change(entries) if entries else ()))
    return Edited(id=gap, files=tuple(dict.fromkeys(files)))


def file_loop(store: RegisterStore, *, fields: Mapping[str, Any], given: str | None) -> Edited:
    """File a loop under the id that was given, or under its title and day."""
    with store.editing():
        before = store.read()
        held = before.checked_registers()
        loop = given or _next_loop(str(fields["title"]), str(fields["opened"]))
        _refuse_worse(before, _with_record(held, "loops", loop, fields))
        return Edited(id=loop, files=(store.add("loops", loop, fields),))


def link(store: RegisterStore, links: Sequence[tuple[str, str, str, str]]) -> tuple[str, ...]:
    """Add links, each (register, record, field, id that it names); return the files. What is linked already is left."""
    with store.editing():
        before = store.read()
        held = before.checked_registers()
        wanted: dict[tuple[str, str, str], list[str]] = {}
        for register, record, field, name in links:
            wanted.setdefault((register, record, field), list(_field(held, register, record, field))).append(name)
        entries = [Entry(*place, list(dict.fromkeys(names))) for place, names in wanted.items()]
        _refuse_worse(before, _with(held, entries))
        return store.change([entry for entry in entries if tuple(entry.value) != _field(held, entry.register, entry.record, entry.field)])


def close_gap(
    store: RegisterStore,
    gap: str,
    *,
    rests: Callable[[Governance], Resting],
    by: str,
    now: datetime,
    attest: str | None,
    accept: str | None,
) -> Edited:
    """Close a gap as fixed on the runs that speak for it, or as accepted for a reason. Raises `RefusedError` with every objection.

    `rests` says what a closing rests on; it is asked under the lock, of the registers as they are then.
    """
    with store.editing():
        before = store.read()
        held = before.checked_registers()
        _refuse_unless_open(held, gap)
        recommendation = recommend(gap, rests(before))
        told = [] if accept else list(recommendation.objections)
        if not accept and recommendation.unjudged and not (attest or "").strip():
            told.append(f"no check judges {', '.join(recommendation.unjudged)}: say why it is mended with --attest")
        if told:
            listed = "\n  ".join(told)
            raise RefusedError(f"{gap} can't be closed:\n  {listed}\nNothing was changed. Mend that, or accept it as it is: --accept REASON")
        closed: dict[str, Any] = {"at": now.strftime(STAMP), "by": by, "runs": list(() if accept else recommendation.runs)}
        reason = accept or attest
        ended = tuple(
            name
            for name, finding in held.findings.items()
            if gap in finding.gaps and finding.status != "closed" and not any(_is_open(held, one) for one in finding.gaps if one != gap)
        )
        # Findings first: stopped between the two files, the same call again closes the gap.
        entries = [Entry("findings", name, "status", "closed") for name in ended]
        entries += [Entry("gaps", gap, "status", "accepted" if accept else "fixed"), Entry("gaps", gap, "closed", closed)]
        entries += [Entry("gaps", gap, "reason", reason)] if reason else []
        _refuse_worse(before, _with(held, entries))
        return Edited(id=gap, files=store.change(entries), closed_findings=ended)


def close_loop(store: RegisterStore, loop: str, *, by: str, now: datetime) -> Edited:
    """Close a loop in which nothing is open. The runs that its gaps were closed on go with it."""
    with store.editing():
        before = store.read()
        held = before.checked_registers()
        if loop not in held.loops:
            raise _unknown("loops", loop, list(held.loops))
        if held.loops[loop].status != "open":
            raise RefusedError(f"{loop} is {held.loops[loop].status} already. Nothing was changed.")
        gaps = [one for one in held.gaps.values() if loop in one.loops and one.closed is not None]
        runs = list(dict.fromkeys(run for one in gaps if one.closed for run in one.closed.runs))
        entries = [Entry("loops", loop, "status", "closed"), Entry("loops", loop, "closed", {"at": now.strftime(STAMP), "by": by, "runs": runs})]
        _refuse_worse(before, _with(held, entries))
        return Edited(id=loop, files=store.change(entries))


def _next_gap(held: Registers, area: str) -> str:
    numbers = [int(name.rpartition("-")[2]) for name in held.gaps if name.startswith(f"GAP-{area}-")]
    return f"GAP-{area}-{max(numbers, default=0) + 1}"


def _next_loop(title: str, opened: str) -> str:
    words = re.sub("[^A-Z0-9]+", "-", title.upper()).strip("-")[:60].strip("-")
    if not words:
        raise InputInvalidError(
            [Fault("--title", 0, "", "holds no Latin letter or digit to make an id of: give one, such as --id LOOP-STORAGE-20260226")]
        )
    return f"LOOP-{words}-{opened.replace('-', '')}"


def _refuse_unless_open(held: Registers, gap: str) -> None:
    if gap not in held.gaps:
        raise _unknown("gaps", gap, list(held.gaps))
    if held.gaps[gap].status != "open":
        raise RefusedError(f"{gap} is {held.gaps[gap].status} already. Nothing was changed.")


def _is_open(held: Registers, gap: str) -> bool:
    return gap in held.gaps and held.gaps[gap].is_open


def _unknown(register: str, name: str, known: Sequence[str]) -> InputInvalidError:
    shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return InputInvalidError([Fault(f"registers/{register}.yml", 0, "", f"there is no {name}; there are {shown or 'none'}")])


def _field(held: Registers, register: str, record: str, field: str) -> tuple[str, ...]:
    records: dict[str, Any] = getattr(held, register)
    if record not in records:
        raise _unknown(register, record, list(records))
    return tuple(getattr(records[record], field))


def _linking(held: Registers, register: str, record: str, field: str, name: str) -> Entry:
    return Entry(register, record, field, list(dict.fromkeys([*_field(held, register, record, field), name])))


def _with_record(held: Registers, register: str, record: str, fields: Mapping[str, Any]) -> Registers:
    found, wrong = validated(_KINDS[register], dict(fields), Nowhere(f"{record}"))
    if found is None:
        raise InputInvalidError(wrong)
    plain = {register: {**getattr(held, register), record: found}}
    return _registers({**_parts(held), **plain})


def _with(held: Registers, entries: Sequence[Entry]) -> Registers:
    """Return the registers with these fields changed, in memory only."""
    plain = {name: {record: one.model_dump(mode="json", exclude_none=True) for record, one in part.items()} for name, part in _parts(held).items()}
    for entry in entries:
        plain[entry.register][entry.record][entry.field] = entry.value
    return _registers(plain)


def _parts(held: Registers) -> dict[str, Any]:
    return {"gaps": held.gaps, "loops": held.loops, "findings": held.findings}


def _registers(parts: Mapping[str, Any]) -> Registers:
    found, wrong = validated(Registers, dict(parts), Nowhere("registers"))
    if found is None:
        raise InputInvalidError(wrong)
    return found


def _refuse_worse(before: Governance, after: Registers) -> None:
    """Raise `RefusedError` where a rule would be broken that holds now."""
    known = {(rule.file, rule.id, rule.message) for rule in before.broken}
    checks = [*CHECKS, *before.gates.checks]
    new = [rule for rule in broken_rules(after, checks=checks) if (rule.file, rule.id, rule.message) not in known]
    if new:
        told = "\n  ".join(f"{rule.id} {rule.message}" for rule in new)
        raise RefusedError(f"that would leave the registers at odds with themselves:\n  {told}\nNothing was changed.")
