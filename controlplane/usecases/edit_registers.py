"""File and link what stands in the registers. Closing leaves receipts (`close_gap`, `close_loop`).

Rules:
- No edit breaks a rule that held before it: it is refused, and nothing is written.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from controlplane.domain.checks import CHECKS
from controlplane.domain.errors import Fault, InputInvalidError, RefusedError
from controlplane.domain.faults import Nowhere, validated
from controlplane.domain.names import AsTuple
from controlplane.domain.registers import Gap, Loop, Registers
from controlplane.domain.registers.rules import broken_rules
from controlplane.domain.site import SiteContent
from controlplane.domain.values import Value
from controlplane.ports.registers import Added, Entry, RegisterStore

STAMP = "%Y-%m-%dT%H:%M:%SZ"
_KINDS: dict[str, type[Value]] = {"gaps": Gap, "loops": Loop}


class Earlier(Value):
    """What an attempt that was stopped or failed had written of what the one after it ended."""

    findings: Annotated[tuple[str, ...], AsTuple]
    ended: Literal["stopped", "failed"]


class Edited(Value):
    """What an edit did: the record, the files that it changed, and the key of its receipt, if it left one.

    `written_before` are those of `closed_findings` that an earlier attempt closed which came to no good end, by its key.
    """

    id: str
    files: tuple[str, ...]
    closed_findings: tuple[str, ...] = ()
    written_before: dict[str, Earlier] = Field(default={})
    receipt: str | None = None


def file_gap(store: RegisterStore, *, area: str, fields: Mapping[str, Any], findings: Sequence[str], given: str | None) -> Edited:
    """File a gap under the next free number of its area, or under the id that was given, and link findings to it."""
    with store.editing():
        before = store.read()
        held = before.governance.checked_registers()
        gap = given or _next_gap(held, area)
        _refuse_taken(before, "gaps", gap)
        # The gap first: stopped between the two files, no finding names one that is not there.
        edits: list[Added | Entry] = [
            Added("gaps", gap, fields),
            *(_linking(before, "findings", finding, "gaps", gap) for finding in dict.fromkeys(findings)),
        ]
        refuse_worse(before, with_edits(held, edits))
        return Edited(id=gap, files=store.write(store.prepared(edits)))


def file_loop(store: RegisterStore, *, fields: Mapping[str, Any], given: str | None) -> Edited:
    """File a loop under the id that was given, or under its title and day."""
    with store.editing():
        before = store.read()
        held = before.governance.checked_registers()
        loop = given or _next_loop(str(fields["title"]), str(fields["opened"]))
        _refuse_taken(before, "loops", loop)
        edits = [Added("loops", loop, fields)]
        refuse_worse(before, with_edits(held, edits))
        return Edited(id=loop, files=store.write(store.prepared(edits)))


def link(store: RegisterStore, about: str, links: Sequence[tuple[str, str, str, str]]) -> Edited:
    """Add links of what it is `about`, each (register, record, field, id that it names). What is linked already is left."""
    with store.editing():
        before = store.read()
        held = before.governance.checked_registers()
        wanted: dict[tuple[str, str, str], list[str]] = {}
        for register, record, field, name in links:
            wanted.setdefault((register, record, field), list(_field(before, register, record, field))).append(name)
        entries = [Entry(*place, list(dict.fromkeys(names))) for place, names in wanted.items()]
        refuse_worse(before, with_edits(held, entries))
        new = [entry for entry in entries if tuple(entry.value) != _field(before, entry.register, entry.record, entry.field)]
        return Edited(id=about, files=store.write(store.prepared(new)))


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


def refuse_unknown(site: SiteContent, register: str, name: str) -> None:
    """Raise `InputInvalidError` for a record that there is not, with the one that may be meant."""
    known = getattr(site.governance.checked_registers(), register)
    if name not in known:
        near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.85)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(list(known)[:5]) or 'none'}{', ...' if len(known) > 5 else ''}"
        raise InputInvalidError([Fault(_file(site, register), 0, register, f"there is no {name}; {hint}")])


def _refuse_taken(site: SiteContent, register: str, name: str) -> None:
    if name in getattr(site.governance.checked_registers(), register):
        raise RefusedError(f"{_file(site, register)} has {name} already: choose another id with --id. Nothing was changed.")


def _file(site: SiteContent, register: str) -> str:
    return f"{site.folder}/registers/{register}.yml"


def _field(site: SiteContent, register: str, record: str, field: str) -> tuple[str, ...]:
    refuse_unknown(site, register, record)
    return tuple(getattr(getattr(site.governance.checked_registers(), register)[record], field))


def _linking(site: SiteContent, register: str, record: str, field: str, name: str) -> Entry:
    return Entry(register, record, field, list(dict.fromkeys([*_field(site, register, record, field), name])))


def with_edits(held: Registers, edits: Sequence[Added | Entry]) -> Registers:
    """Return the registers with these edits, in memory only. Raises `InputInvalidError` for what may not stand there."""
    parts: dict[str, dict[str, Any]] = {"gaps": dict(held.gaps), "loops": dict(held.loops), "findings": dict(held.findings)}
    touched: dict[str, dict[str, Any]] = {name: {} for name in parts}
    for edit in edits:
        mine = touched[edit.register]
        if isinstance(edit, Added):
            _, wrong = validated(_KINDS[edit.register], dict(edit.fields), Nowhere(edit.record))
            if wrong:
                raise InputInvalidError(wrong)
            mine[edit.record] = dict(edit.fields)
        else:
            if edit.record not in mine:
                mine[edit.record] = parts[edit.register][edit.record].model_dump(mode="json", exclude_none=True)
            mine[edit.record][edit.field] = edit.value
    found, wrong = validated(Registers, touched, Nowhere("registers"))
    if found is None:
        raise InputInvalidError(wrong)
    return held.model_copy(update={name: {**part, **getattr(found, name)} for name, part in parts.items()})


def refuse_worse(before: SiteContent, after: Registers) -> None:
    """Raise `RefusedError` where a rule would be broken that holds now."""
    known = {(rule.file, rule.id, rule.message) for rule in before.governance.broken}
    rules = broken_rules(after, checks=[*CHECKS, *before.governance.gates.checks], governed=sorted(before.policy.hosts))
    new = [rule for rule in rules if (rule.file, rule.id, rule.message) not in known]
    if new:
        told = "\n  ".join(f"{rule.id} {rule.message}" for rule in new)
        raise RefusedError(f"that would leave the registers at odds with themselves:\n  {told}\nNothing was changed.")
